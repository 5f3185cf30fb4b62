// Causal attention with grouped heads over the paged cache or packed sequences. Compiled per instruction set.
//
// Keys are taken in tiles of `key_tile` by absolute position, copied (widened, gathered from blocks) into scratch once
// for all queries of the unit; each query keeps a running maximum, sum and output (online softmax). What a query
// computes depends only on its position and the keys before it, so chunks, neighbours and block size do not matter.
#include "kernels.h"
#include "simd.h"

namespace ponder::PONDER_NS {

// Where the key or value at position p of this head lies.
static inline const char* row_of(const AttentionUnit& u, const void* base, int64_t p) {
    int64_t row = (u.start_token + p) * u.kv_heads + u.kv_head;
    if (u.table)
        row = ((int64_t)u.table[p / u.block_size] * u.kv_heads + u.kv_head) * u.block_size + p % u.block_size;
    return (const char*)base + row * u.c * (u.bf16 ? 2 : 4);
}

// Keys or values at positions first .. first+count to out [key_tile, padded]; columns past c are left as they are.
// A head's part of a block is a few KB, then comes a jump: memory is asked for the tile after this one, up to `end`.
static void gather(const AttentionUnit& u, const void* base, int64_t first, int64_t count, int64_t end, int64_t padded,
                   float* out) {
    int64_t row_bytes = u.c * (u.bf16 ? 2 : 4);
    for (int64_t p = first; p < first + count; p++, out += padded) {
        if (p + key_tile < end) {
            const char* next = row_of(u, base, p + key_tile);
            for (int64_t at = 0; at < row_bytes; at += 64) __builtin_prefetch(next + at);
        }
        const char* row = row_of(u, base, p);
        if (!u.bf16) {
            memcpy(out, row, row_bytes);
            continue;
        }
        const uint16_t* bits = (const uint16_t*)row;
        int64_t i = 0;
        for (; i + V::N <= u.c; i += V::N) store(out + i, widen(bits + i));
        for (; i < u.c; i++) {
            uint32_t wide = (uint32_t)bits[i] << 16;
            memcpy(out + i, &wide, 4);
        }
    }
}

// scores[q][j] = dot(queries[q], keys[j]) for Q queries and all keys of the tile
template <int Q>
static inline void dot_tile(const float* queries, const float* keys, int64_t padded, float* scores) {
    for (int64_t j = 0; j < key_tile; j += 4) {
        V sums[Q][4];
        for (int q = 0; q < Q; q++)
            for (int i = 0; i < 4; i++) sums[q][i] = zero();
        for (int64_t k = 0; k < padded; k += V::N) {
            V key[4];
            for (int i = 0; i < 4; i++) key[i] = load(keys + (j + i) * padded + k);
            for (int q = 0; q < Q; q++) {
                V query = load(queries + q * padded + k);
                for (int i = 0; i < 4; i++) sums[q][i] = fma(query, key[i], sums[q][i]);
            }
        }
        for (int q = 0; q < Q; q++)
            sum4(sums[q][0], sums[q][1], sums[q][2], sums[q][3], scores + q * key_tile + j);
    }
}

// Scores of the n visible keys become weights exp(s - maximum), the rest zero; returns the factor for what was summed.
static inline float soften(float* scores, int64_t n, float scale, float& maximum, float& total) {
    for (int64_t j = n; j < key_tile; j++) scores[j] = -3e38f;
    V most_lanes = set(maximum);
    for (int64_t j = 0; j < key_tile; j += V::N) {
        V scaled = load(scores + j) * set(scale);
        store(scores + j, scaled);
        most_lanes = max(scaled, most_lanes);
    }
    float most = largest(most_lanes);
    for (int64_t j = 0; j < key_tile; j += V::N) store(scores + j, exp(load(scores + j) - set(most)));
    for (int64_t j = n; j < key_tile; j++) scores[j] = 0;
    V weights_sum = zero();
    for (int64_t j = 0; j < key_tile; j += V::N) weights_sum = weights_sum + load(scores + j);
    float last[V::N];
    store(last, exp(set(maximum - most)));
    total = total * last[0] + sum(weights_sum);
    maximum = most;
    return last[0];
}

// out = out * factor + sum of weights[j] * values[j], j < n, in order; up to 8 vectors of the head at a time
template <int W>
static inline void mix_columns(const float* weights, const float* values, int64_t n, int64_t padded, float factor,
                               float* out) {
    V sums[W];
    for (int i = 0; i < W; i++) sums[i] = load(out + i * V::N) * set(factor);
    for (int64_t j = 0; j < n; j++) {
        V weight = set(weights[j]);
        for (int i = 0; i < W; i++) sums[i] = fma(weight, load(values + j * padded + i * V::N), sums[i]);
    }
    for (int i = 0; i < W; i++) store(out + i * V::N, sums[i]);
}

static void mix(const float* weights, const float* values, int64_t n, int64_t padded, float factor, float* out) {
    int64_t at = 0;
    for (; at + 8 * V::N <= padded; at += 8 * V::N)
        mix_columns<8>(weights, values + at, n, padded, factor, out + at);
    for (; at < padded; at += V::N) mix_columns<1>(weights, values + at, n, padded, factor, out + at);
}

void attention(const AttentionUnit& u, float* scratch) {
    int64_t ratio = u.heads / u.kv_heads, queries = u.tokens * ratio, padded = round_up(u.c, 16);
    float *keys = scratch, *values = keys + key_tile * padded, *q = values + key_tile * padded;
    float *out = q + max_queries * padded, *scores = out + max_queries * padded;
    float *maximum = scores + max_queries * key_tile, *total = maximum + max_queries;
    if (padded != u.c) memset(scratch, 0, (size_t)(out - scratch) * 4);  // the columns past c
    memset(out, 0, (size_t)queries * padded * 4);
    for (int64_t i = 0; i < queries; i++) {  // query i: token i / ratio, head i % ratio of the group
        int64_t token = u.first_token + i / ratio, head = u.kv_head * ratio + i % ratio;
        memcpy(q + i * padded, u.q + (token * u.heads + head) * u.c, 4 * u.c);
        maximum[i] = -3e38f;
        total[i] = 0;
    }
    float scale = 1.0f / __builtin_sqrtf((float)u.c);
    int64_t keys_end = u.first_position + u.tokens;
    for (int64_t first = 0; first < keys_end; first += key_tile) {
        int64_t count = keys_end - first < key_tile ? keys_end - first : key_tile;
        gather(u, u.k, first, count, keys_end, padded, keys);
        gather(u, u.v, first, count, keys_end, padded, values);
        int64_t i = 0;
        for (; i + 4 <= queries; i += 4) dot_tile<4>(q + i * padded, keys, padded, scores + i * key_tile);
        for (; i + 2 <= queries; i += 2) dot_tile<2>(q + i * padded, keys, padded, scores + i * key_tile);
        for (; i < queries; i++) dot_tile<1>(q + i * padded, keys, padded, scores + i * key_tile);
        for (i = 0; i < queries; i++) {
            int64_t seen = u.first_position + i / ratio + 1 - first, n = seen < key_tile ? seen : key_tile;
            if (n <= 0) continue;
            float factor = soften(scores + i * key_tile, n, scale, maximum[i], total[i]);
            mix(scores + i * key_tile, values, n, padded, factor, out + i * padded);
        }
    }
    for (int64_t i = 0; i < queries; i++) {
        float* to = u.out + ((u.first_token + i / ratio) * u.heads + u.kv_head * ratio + i % ratio) * u.c;
        for (int64_t j = 0; j < u.c; j++) to[j] = out[i * padded + j] / total[i];
    }
}

}  // namespace ponder::PONDER_NS
