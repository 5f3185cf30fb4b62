// Causal attention with grouped heads over the paged cache (kv.h). Compiled per instruction set.
//
// Keys are taken in spans of `key_span` positions counted from 0. Within a span a query's scores are softened around
// the span's own largest one; spans are then merged in order. What a query computes depends only on its position and
// the keys before it: chunks, neighbours, block size and the number of threads do not matter, and a span may be done
// by another thread than the next (`partial`).
//
// An int8 cache is multiplied in integers: queries are rounded to int8 (one scale a head), the softmax weights times
// the scales of the values to 16 bits, relative to the largest of the span. With a bf16 cache queries and weights are
// rounded to bf16 where the CPU multiplies bf16, else they stay float. A float cache stays float.
#include "tile_product.h"

namespace ponder::PONDER_NS {

void to_bf16(const float*, uint16_t*, int64_t);

constexpr int64_t span_tiles = key_span / key_tile;

// A unit's memory, cut from its scratch.
struct Rows {
    int64_t count, padded;
    char* queries;         // [count][padded] int8, bf16 or float
    float* scale;          // of int8 queries
    int32_t* shift;        // of int8 queries: what keys stored as value + 128 add to a dot product
    float* scores;         // [count][key_span], first integers for int8
    char* weights;         // [count][key_span] float or bf16; int8: [count][2][key_span] high and low bytes
    char* sums;            // [count][padded] float, int8: [count][2][padded] integers
    float* weight_scale;   // of int8 weights
    float* span;           // [count][padded + 2] of one span: output, maximum, total
    float* merged;         // the same of all spans so far
    char* gathered;        // tiles copied out of small blocks
};

static int64_t row_bytes(KvKind kind) { return kind == KvKind::int8 ? 1 : kind == KvKind::bf16 && bf16_products ? 2 : 4; }

static Rows cut(const AttentionUnit& u, int64_t count, char* scratch) {
    Rows r = {};
    r.count = count;
    r.padded = kv_padded(u.cache.c);
    auto take = [&](int64_t bytes) {
        char* at = scratch;
        scratch += round_up(bytes, 64);
        return at;
    };
    r.queries = take(count * r.padded * 4);
    r.scale = (float*)take(count * 4);
    r.shift = (int32_t*)take(count * 4);
    r.weight_scale = (float*)take(count * 4);
    r.scores = (float*)take(count * key_span * 4);
    r.weights = take(count * key_span * 4);
    r.sums = take(count * r.padded * 8);
    r.span = (float*)take(count * (r.padded + 2) * 4);
    r.merged = (float*)take(count * (r.padded + 2) * 4);
    r.gathered = scratch;
    return r;
}

// ---- writing ----

// One position's key or value [c] as int8; returns the scale. A value that is not finite makes the scale NaN.
static float quantise_row(const float* x, int64_t c, int64_t padded, int8_t* out) {
    V most_lanes = zero(), bad_lanes = zero();
    for (int64_t i = 0; i < c; i += V::N) {
        V v = load(x + i, c - i < V::N ? c - i : V::N);
        most_lanes = max(abs(v), most_lanes);
        bad_lanes = fma(v, zero(), bad_lanes);
    }
    float most = largest(most_lanes), bad = sum(bad_lanes);
    float inverse = most > smallest_activation ? 127.0f / most : 0.0f;
    for (int64_t i = 0; i < c; i++) {
        float scaled = x[i] * inverse + 12582912.0f;  // 1.5 * 2^23: the low bits now hold the nearest integer
        int32_t bits;
        memcpy(&bits, &scaled, 4);
        out[i] = (int8_t)bits;
    }
    memset(out + c, 0, (size_t)(padded - c));
    return most * (1.0f / 127.0f) + bad;
}

// Places one position's values, as they are stored, in the two matrices of a tile.
template <class T>
static void place(const T* k, const T* v, int64_t padded, int64_t slot, char* keys, char* values) {
    constexpr int64_t P = 4 / (int64_t)sizeof(T);
    for (int64_t i = 0; i < padded / P; i++) memcpy(keys + i * lane_row + slot * 4, k + i * P, 4);
    T* to = (T*)values + slot / P * 32 * P + slot % P;
    for (int64_t at = 0; at < padded; at += 32, to += 32 * key_tile)
        for (int64_t i = 0; i < 32; i++) {
            to[i * P] = v[at + i];
            // The rest of the lane is multiplied by weights of zero before it is written, so it must be finite.
            if (P == 2 && slot % 2 == 0) to[i * P + 1] = 0;
        }
}

void write_kv(KvKind kind, int64_t c, int64_t slot, const float* k, const float* v, char* tile) {
    int64_t padded = kv_padded(c), matrix = kv_matrix(kind, c);
    char* values = tile + matrix;
    if (kind == KvKind::int8) {
        uint8_t q[2][max_head];
        float* scales = (float*)(tile + 2 * matrix) + slot;
        scales[0] = quantise_row(k, c, padded, (int8_t*)q[0]);
        scales[key_tile] = quantise_row(v, c, padded, (int8_t*)q[1]);
        for (int64_t i = 0; i < padded; i++) q[0][i] ^= 0x80;
        place(q[0], q[1], padded, slot, tile, values);
    } else if (kind == KvKind::bf16) {
        uint16_t bits[2][max_head] = {};
        to_bf16(k, bits[0], c);
        to_bf16(v, bits[1], c);
        place(bits[0], bits[1], padded, slot, tile, values);
    } else {
        float x[2][max_head] = {};
        memcpy(x[0], k, 4 * (size_t)c);
        memcpy(x[1], v, 4 * (size_t)c);
        place(x[0], x[1], padded, slot, tile, values);
    }
}

// ---- reading ----

static void copy_slot(const KvCache& cache, const char* from, int64_t a, char* to, int64_t b) {
    int64_t padded = kv_padded(cache.c), size = kv_bytes(cache.kind), P = 4 / size, matrix = kv_matrix(cache.kind, cache.c);
    for (int64_t i = 0; i < padded / P; i++) memcpy(to + i * lane_row + b * 4, from + i * lane_row + a * 4, 4);
    from += matrix;
    to += matrix;
    for (int64_t i = 0; i < padded; i++) {
        int64_t column = i / 32 * key_tile * 32 + i % 32 * P;
        memcpy(to + (column + b / P * 32 * P + b % P) * size, from + (column + a / P * 32 * P + a % P) * size, (size_t)size);
    }
    if (cache.kind == KvKind::int8) {
        memcpy(to + matrix + b * 4, from + matrix + a * 4, 4);
        memcpy(to + matrix + (key_tile + b) * 4, from + matrix + (key_tile + a) * 4, 4);
    }
}

static const char* tile_of(const AttentionUnit& u, int64_t i) {
    int64_t in_block = u.cache.block_size / key_tile;
    return u.cache.tile(u.table[i / in_block], u.kv_head, i % in_block);
}

// The tiles of `count` positions from `first` on: where they lie, or copied together from blocks of another size.
static void find_tiles(const AttentionUnit& u, int64_t first, int64_t count, char* gathered, const char** tiles) {
    int64_t bytes = kv_tile(u.cache.kind, u.cache.c), n = (count + key_tile - 1) / key_tile;
    if (u.cache.block_size % key_tile == 0) {
        for (int64_t i = 0; i < n; i++) tiles[i] = tile_of(u, first / key_tile + i);
        return;
    }
    memset(gathered, 0, (size_t)(n * bytes));
    for (int64_t i = 0; i < n; i++) tiles[i] = gathered + i * bytes;
    for (int64_t p = first; p < first + count; p++) {
        int64_t slot = p % u.cache.block_size, i = p - first;
        const char* from = u.cache.tile(u.table[p / u.cache.block_size], u.kv_head, slot / key_tile);
        copy_slot(u.cache, from, slot % key_tile, gathered + i / key_tile * bytes, i % key_tile);
    }
}

// Asks for the tile that is used two tiles later. A block's part of one head is a few KB, then comes a jump.
static void prefetch_tile(const AttentionUnit& u, int64_t i, int64_t tiles) {
    if (i >= tiles || u.cache.block_size % key_tile) return;
    const char* at = tile_of(u, i);
    for (int64_t b = 0; b < kv_tile(u.cache.kind, u.cache.c); b += 64) __builtin_prefetch(at + b, 0, 2);
}

// ---- computing ----

static void read_queries(const AttentionUnit& u, const Rows& r) {
    int64_t ratio = u.heads / u.cache.heads, c = u.cache.c, bytes = row_bytes(u.cache.kind);
    for (int64_t i = 0; i < r.count; i++) {  // row i: token i / ratio, head i % ratio of the group
        const float* x = u.q + ((u.first_token + i / ratio) * u.heads + u.kv_head * ratio + i % ratio) * c;
        char* to = r.queries + i * r.padded * bytes;
        if (bytes == 1) {
            r.scale[i] = quantise_row(x, c, r.padded, (int8_t*)to);
            int32_t total = 0;
            for (int64_t j = 0; j < c; j++) total += ((int8_t*)to)[j];
            r.shift[i] = -128 * total;
            continue;
        }
        if (bytes == 2) to_bf16(x, (uint16_t*)to, c);
        else memcpy(to, x, (size_t)(c * 4));
        memset(to + c * bytes, 0, (size_t)((r.padded - c) * bytes));
    }
}

static V score_lanes(const Rows& r, const float* key_scales, int64_t i, int64_t j, V scale) {
    const float* at = r.scores + i * key_span + j;
    if (!key_scales) return load(at) * scale;
    return to_float(load_ints(at) + set_ints(r.shift[i])) * (load(key_scales) * scale);
}

#if defined(__AVX512F__)
static inline void narrow(const float* x, int64_t n, uint16_t* out) {  // to bf16, n a multiple of 16
#if defined(__AVX512BF16__)
    for (int64_t j = 0; j < n; j += 16) _mm256_storeu_si256((__m256i*)(out + j), (__m256i)_mm512_cvtneps_pbh(load(x + j).v));
#else
    to_bf16(x, out, n);
#endif
}
static inline void split_bytes(const float* x, V factor, int64_t n, uint8_t* high, uint8_t* low) {
    for (int64_t j = 0; j < n; j += 16) {
        __m512i q = _mm512_cvtps_epi32((load(x + j) * factor).v);
        _mm_storeu_si128((__m128i*)(high + j), _mm512_cvtepi32_epi8(_mm512_srli_epi32(q, 8)));
        _mm_storeu_si128((__m128i*)(low + j), _mm512_cvtepi32_epi8(q));
    }
}
#else
static inline void narrow(const float* x, int64_t n, uint16_t* out) { to_bf16(x, out, n); }
static inline void split_bytes(const float* x, V factor, int64_t n, uint8_t* high, uint8_t* low) {
    for (int64_t j = 0; j < n; j += V::N) {
        float scaled[V::N];
        store(scaled, fma(load(x + j), factor, set(8388608.0f)));  // 2^23: the low bits hold the nearest integer
        for (int64_t i = 0; i < V::N; i++) {
            uint32_t bits;
            memcpy(&bits, scaled + i, 4);
            high[j + i] = (uint8_t)(bits >> 8);
            low[j + i] = (uint8_t)bits;
        }
    }
}
#endif

// Scores of row i become weights exp(s - maximum) for the n visible keys and zero up to `end`, a multiple of 32.
static void soften(const AttentionUnit& u, const Rows& r, const char* const* tiles, int64_t i, int64_t n, int64_t end) {
    bool integers = u.cache.kind == KvKind::int8;
    int64_t scales = 2 * kv_matrix(u.cache.kind, u.cache.c);
    float* scores = r.scores + i * key_span;
    V scale = set((integers ? r.scale[i] : 1.0f) / __builtin_sqrtf((float)u.cache.c));
    V most_lanes = set(-3e38f);
    for (int64_t j = 0; j < n; j += V::N) {
        const float* key_scales = integers ? (const float*)(tiles[j / key_tile] + scales) + j % key_tile : nullptr;
        V s = score_lanes(r, key_scales, i, j, scale);
        store(scores + j, s);
        if (j + V::N > n) {
            for (int64_t k = n; k < j + V::N; k++) scores[k] = -3e38f;
            s = load(scores + j);
        }
        most_lanes = max(s, most_lanes);
    }
    float most = largest(most_lanes);
    V total_lanes = zero(), heavy_lanes = zero(), bad_lanes = zero();
    for (int64_t j = 0; j < n; j += V::N) {
        V w = exp(load(scores + j) - set(most));
        store(scores + j, w);
        if (j + V::N > n) {
            for (int64_t k = n; k < j + V::N; k++) scores[k] = 0;
            w = load(scores + j);
        }
        total_lanes = total_lanes + w;
        if (integers) {
            const float* value_scales = (const float*)(tiles[j / key_tile] + scales) + key_tile + j % key_tile;
            w = w * load(value_scales);
            store(scores + j, w);
            if (j + V::N > n) {
                for (int64_t k = n; k < j + V::N; k++) scores[k] = 0;  // a scale never written may be anything
                w = load(scores + j);
            }
            heavy_lanes = max(w, heavy_lanes);
            bad_lanes = fma(w, zero(), bad_lanes);
        }
    }
    int64_t whole = round_up(n, V::N);
    memset(scores + whole, 0, (size_t)(end - whole) * 4);
    float *span = r.span + i * (r.padded + 2), total = sum(total_lanes);
    span[r.padded] = most;
    span[r.padded + 1] = total;
    if (integers) {
        float heavy = largest(heavy_lanes);
        r.weight_scale[i] = heavy * (1.0f / 65535.0f) + sum(bad_lanes);  // NaN when a weight or a value is
        uint8_t* high = (uint8_t*)r.weights + i * 2 * key_span;
        split_bytes(scores, set(heavy > smallest_activation ? 65535.0f / heavy : 0.0f), end, high, high + key_span);
    } else if (row_bytes(u.cache.kind) == 2) {
        narrow(scores, end, (uint16_t*)r.weights + i * key_span);
    }
}

// Adds a span to what was merged before; both [padded + 2]: output, maximum, total.
static void merge(const float* span, int64_t padded, bool first, float* merged) {
    if (first) {
        memcpy(merged, span, (size_t)(padded + 2) * 4);
        return;
    }
    float most = span[padded] > merged[padded] ? span[padded] : merged[padded], old[V::N], now[V::N];
    V old_lanes = exp(set(merged[padded] - most)), now_lanes = exp(set(span[padded] - most));
    store(old, old_lanes);
    store(now, now_lanes);
    for (int64_t j = 0; j < padded; j += V::N)
        store(merged + j, fma(load(span + j), now_lanes, load(merged + j) * old_lanes));
    merged[padded] = most;
    merged[padded + 1] = merged[padded + 1] * old[0] + span[padded + 1] * now[0];
}

static void write_out(const AttentionUnit& u, int64_t i, const float* merged) {
    int64_t ratio = u.heads / u.cache.heads, c = u.cache.c;
    float* to = u.out + ((u.first_token + i / ratio) * u.heads + u.kv_head * ratio + i % ratio) * c;
    V share = set(1.0f / merged[kv_padded(c) + 1]);
    for (int64_t j = 0; j < c; j += V::N) {
        int64_t n = c - j < V::N ? c - j : V::N;
        store(to + j, load(merged + j, n) * share, n);
    }
}

// Keys visible to row i in the span that starts at `first`; none: 0 or less.
static int64_t visible(const AttentionUnit& u, int64_t i, int64_t first) {
    int64_t n = u.first_position + i / (u.heads / u.cache.heads) + 1 - first;
    return n < key_span ? n : key_span;
}

template <class Keys, class Values>
static void attend_span(const AttentionUnit& u, const Rows& r, int64_t first) {
    constexpr bool integers = Keys::integers;
    int64_t keys_end = u.first_position + u.tokens, left = keys_end - first;
    int64_t count = left < key_span ? left : key_span, n = (count + key_tile - 1) / key_tile;
    int64_t bytes = row_bytes(u.cache.kind), P = 4 / kv_bytes(u.cache.kind), matrix = kv_matrix(u.cache.kind, u.cache.c);
    const char* tiles[span_tiles];
    find_tiles(u, first, count, r.gathered, tiles);
    for (int64_t t = 0; t < n; t++) {
        prefetch_tile(u, first / key_tile + t + 2, (keys_end + key_tile - 1) / key_tile);
        product<Keys>(r.queries, r.count, r.padded * bytes, tiles + t, 0, r.padded / P, r.padded / P,
                      (char*)(r.scores + t * key_tile), key_span * 4);
    }
    for (int64_t i = 0; i < r.count; i++)
        if (visible(u, i, first) > 0) soften(u, r, tiles, i, visible(u, i, first), n * key_tile);
    const char* weights = bytes == 4 ? (const char*)r.scores : r.weights;
    int64_t planes = integers ? 2 : 1;
    for (int64_t at = 0; at < r.padded / 32; at++)
        product<Values>(weights, r.count * planes, key_span * bytes, tiles, matrix + at * key_tile / P * lane_row,
                        key_tile / P, (count + P - 1) / P, r.sums + at * lane_row, r.padded * 4);
    for (int64_t i = 0; i < r.count; i++) {
        float* span = r.span + i * (r.padded + 2);
        const char* sums = r.sums + i * planes * r.padded * 4;
        for (int64_t j = 0; j < r.padded; j += V::N) {
            if (!integers) {
                store(span + j, load((const float*)sums + j));
                continue;
            }
            I high = load_ints((const int32_t*)sums + j), low = load_ints((const int32_t*)sums + r.padded + j);
            store(span + j, to_float(times256(high) + low) * set(r.weight_scale[i]));
        }
    }
}

void attention(const AttentionUnit& u, char* scratch) {
    Rows r = cut(u, u.tokens * (u.heads / u.cache.heads), scratch);
    read_queries(u, r);
    for (int64_t span = u.first_span; span < u.end_span; span++) {
        int64_t first = span * key_span;
        if (u.cache.kind == KvKind::f32) attend_span<DotF32, DotF32>(u, r, first);
        else if (u.cache.kind == KvKind::bf16) attend_span<DotBf16, DotBf16>(u, r, first);
        else attend_span<DotKeys, DotValues>(u, r, first);
        for (int64_t i = 0; i < r.count; i++) {
            if (visible(u, i, first) <= 0) continue;
            const float* part = r.span + i * (r.padded + 2);
            if (u.partial) memcpy(u.partial + ((span - u.first_span) * r.count + i) * (r.padded + 2), part, (size_t)(r.padded + 2) * 4);
            else merge(part, r.padded, span == 0, r.merged + i * (r.padded + 2));
        }
    }
    for (int64_t i = 0; i < r.count && !u.partial; i++) write_out(u, i, r.merged + i * (r.padded + 2));
}

// u.partial: all spans of the unit, as `attention` left them.
void merge_spans(const AttentionUnit& u, char* scratch) {
    int64_t rows = u.tokens * (u.heads / u.cache.heads), size = kv_padded(u.cache.c) + 2;
    float* merged = (float*)scratch;
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t span = 0; span < u.end_span && visible(u, i, span * key_span) > 0; span++)
            merge(u.partial + (span * rows + i) * size, kv_padded(u.cache.c), span == 0, merged);
        write_out(u, i, merged);
    }
}

}  // namespace ponder::PONDER_NS
