// Causal attention with grouped heads over the paged cache (kv.h). Compiled per instruction set.
//
// Keys come in spans of `key_span` positions counted from 0. A query has a softmax of its own in each span, around the
// span's largest score; spans are then combined in order. What a query computes depends only on its position and
// the keys before it: chunks, neighbours, block size and the number of threads do not matter, and a span may be done
// by another thread than the next (`partial`).
//
// An int8 cache is multiplied in integers: queries are rounded to int8 (one scale a head), the softmax weights times
// the scales of the values to 16 bits, relative to the largest of the span. With a bf16 cache queries and weights are
// rounded to bf16 where the CPU multiplies bf16, else they stay float. A float cache stays float.
#include "gemm/tile_product.h"

namespace ponder::PONDER_NS {

void to_bf16(const float*, uint16_t*, int64_t);

constexpr int64_t span_tiles = key_span / key_tile;

// A unit's memory, cut from its scratch.
struct UnitRows {
    int64_t count, padded;
    char* queries;         // [count][padded] int8, bf16 or float
    int32_t* token;        // of the unit, each row's
    float* scale;          // of int8 queries
    int32_t* shift;        // of int8 queries: what keys stored as value + 128 add to a dot product
    float* scores;         // [count][key_span], first integers for int8
    char* weights;         // [count][key_span] float or bf16; int8: [count][2][key_span] high and low bytes
    char* sums;            // of int8 products: [count][2][32], for few rows such for every 32 channels
    float* weight_scale;   // of int8 weights
    float* span;           // [count][padded + 2] of one span: output, maximum, total
    float* combined;         // the same of all spans so far
    char* gathered;        // tiles copied out of small blocks
};

static int64_t row_bytes(KvKind kind) { return kind == KvKind::int8 ? 1 : kind == KvKind::bf16 && bf16_products ? 2 : 4; }

static UnitRows cut(const AttentionUnit& u, int64_t count, char* scratch) {
    UnitRows r = {};
    r.count = count;
    r.padded = kv_padded(u.cache.c);
    auto carve = [&](int64_t bytes) {
        char* at = scratch;
        scratch += round_up(bytes, 64);
        return at;
    };
    r.queries = carve(count * r.padded * 4);
    r.token = (int32_t*)carve(count * 4);
    r.scale = (float*)carve(count * 4);
    r.shift = (int32_t*)carve(count * 4);
    r.weight_scale = (float*)carve(count * 4);
    r.scores = (float*)carve(count * key_span * 4);
    r.weights = carve(count * key_span * 4);
    r.sums = carve(count * 2 * lane_row > max_rows * r.padded * 4 ? count * 2 * lane_row : max_rows * r.padded * 4);
    r.span = (float*)carve(count * (r.padded + 2) * 4);
    r.combined = (float*)carve(count * (r.padded + 2) * 4);
    r.gathered = scratch;
    return r;
}

// ---- writing ----

// One position's key or value [c], times `factors` if there are any, as int8; returns the scale. A value that is not
// finite makes the scale NaN.
static float quantise_row(const float* x, const float* factors, int64_t c, int64_t padded, int8_t* out) {
    float balanced[max_head];
    if (factors) {
        for (int64_t i = 0; i < c; i++) balanced[i] = x[i] * factors[i];
        x = balanced;
    }
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

void write_kv(const KvCache& cache, int64_t head, int64_t slot, const float* k, const float* v, char* tile) {
    KvKind kind = cache.kind;
    int64_t c = cache.c, padded = kv_padded(c), matrix = kv_matrix(kind, c);
    char* values = tile + matrix;
    if (kind == KvKind::int8) {
        uint8_t q[2][max_head];
        float* scales = (float*)(tile + 2 * matrix) + slot;
        scales[0] = quantise_row(k, cache.balance + (cache.heads + head) * c, c, padded, (int8_t*)q[0]);
        scales[key_tile] = quantise_row(v, nullptr, c, padded, (int8_t*)q[1]);
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

// Places to ask for: the keys of the span from `first` on, or what the next unit begins with.
static void find_ahead(const AttentionUnit& u, int64_t first, const char** tiles) {
    const AttentionUnit* of = &u;
    int64_t end = u.first_position + u.tokens;
    if (first >= u.end_span * key_span || first >= end) {
        if (!u.next) return;
        of = u.next;
        first = of->first_span * key_span;
        end = of->first_position + of->tokens;
    }
    if (of->cache.block_size % key_tile) return;
    int64_t last = (end - 1) / key_tile;
    for (int64_t i = 0; i < span_tiles; i++) {
        int64_t tile = first / key_tile + i;
        tiles[i] = tile_of(*of, tile < last ? tile : last);
    }
}

// ---- computing ----

static void read_queries(const AttentionUnit& u, const UnitRows& r) {
    int64_t ratio = u.heads / u.cache.heads, c = u.cache.c, bytes = row_bytes(u.cache.kind);
    for (int64_t i = 0; i < r.count; i++) {  // row i: token i / ratio, head i % ratio of the group
        const float* x = u.q + ((u.first_token + i / ratio) * u.heads + u.kv_head * ratio + i % ratio) * c;
        char* to = r.queries + i * r.padded * bytes;
        r.token[i] = (int32_t)(i / ratio);
        if (bytes == 1) {
            r.scale[i] = quantise_row(x, u.cache.balance + u.kv_head * c, c, r.padded, (int8_t*)to);
            int32_t total = 0;
            for (int64_t j = 0; j < c; j++) total += ((int8_t*)to)[j];
            r.shift[i] = -key_offset * total;
            continue;
        }
        if (bytes == 2) to_bf16(x, (uint16_t*)to, c);
        else memcpy(to, x, (size_t)(c * 4));
        memset(to + c * bytes, 0, (size_t)((r.padded - c) * bytes));
    }
}

// 2^y, relative error below 2e-7
static inline V exp2(V y) {
#if defined(__AVX512F__)
    __m512 whole = _mm512_roundscale_ps(y.v, 0);
    V f = {_mm512_sub_ps(y.v, whole)};
#else
    y = max(set(-126.0f), y);  // NaN stays
    V shifted = y + set(12582912.0f), f = y - (shifted - set(12582912.0f));  // 1.5 * 2^23: the low bits hold round(y)
#endif
    V p = set(1.326471883e-3f);  // of 2^f on -0.5 .. 0.5
    p = fma(p, f, set(9.671513747e-3f));
    p = fma(p, f, set(5.550733776e-2f));
    p = fma(p, f, set(2.402224206e-1f));
    p = fma(p, f, set(6.931469776e-1f));
    p = fma(p, f, set(1.0f));
#if defined(__AVX512F__)
    return {_mm512_scalef_ps(p.v, whole)};
#else
    return scale2(p, shifted);
#endif
}

// a with `rest` in all lanes from n on
static inline V first_lanes(V a, int64_t n, float rest) {
    if (n >= V::N) return a;
    float lanes[V::N];
    store(lanes, a);
    for (int64_t i = n; i < V::N; i++) lanes[i] = rest;
    return load(lanes);
}

static inline void store_bf16(uint16_t* out, V a) {
#if defined(__AVX512BF16__)
    _mm256_storeu_si256((__m256i*)out, (__m256i)_mm512_cvtneps_pbh(a.v));
#else
    narrow(a, out);
#endif
}

// x * factor, whole numbers below 2^16, as high and low bytes
static inline void split_bytes(const float* x, float factor, int64_t n, uint8_t* high, uint8_t* low) {
    for (int64_t j = 0; j < n; j += V::N) {
        V scaled = load(x + j) * set(factor);
#if defined(__AVX512F__)
        __m512i q = _mm512_cvtps_epi32(scaled.v);
        _mm_storeu_si128((__m128i*)(high + j), _mm512_cvtepi32_epi8(_mm512_srli_epi32(q, 8)));
        _mm_storeu_si128((__m128i*)(low + j), _mm512_cvtepi32_epi8(q));
#else
        float lanes[V::N];
        store(lanes, scaled + set(8388608.0f));  // 2^23: the low bits hold the nearest integer
        for (int64_t i = 0; i < V::N; i++) {
            uint32_t bits;
            memcpy(&bits, lanes + i, 4);
            high[j + i] = (uint8_t)(bits >> 8);
            low[j + i] = (uint8_t)bits;
        }
#endif
    }
}

// Scores of row i become weights 2^(s - maximum) for the n visible keys and zero up to `end`, a multiple of 32. scales:
// of each tile's keys, then of its values, for integers.
template <bool integers>
static void softmax_span(const AttentionUnit& u, const UnitRows& r, const float* const* scales, int64_t i, int64_t n, int64_t end) {
    float* scores = r.scores + i * key_span;
    float scale = 1.44269504f / __builtin_sqrtf((float)u.cache.c) * (integers ? r.scale[i] : 1.0f);
    V most_lanes = set(-3e38f);
    for (int64_t j = 0; j < n; j += V::N) {
        V s;
        if (integers) {
            s = to_float(load_ints(scores + j) + set_ints(r.shift[i])) * load(scales[j / key_tile] + j % key_tile);
            store(scores + j, s);
        } else {
            s = load(scores + j);
        }
        most_lanes = max(first_lanes(s, n - j, -3e38f), most_lanes);
    }
    float most = largest(most_lanes) * scale;
    V total_lanes = zero(), heavy_lanes = zero(), bad_lanes = zero();
    uint16_t* bits = (uint16_t*)r.weights + i * key_span;
    bool narrow = row_bytes(u.cache.kind) == 2;
    for (int64_t j = 0; j < n; j += V::N) {
        V w = first_lanes(exp2(fma(load(scores + j), set(scale), set(-most))), n - j, 0);
        total_lanes = total_lanes + w;
        if (integers) {  // a scale that was never written may be anything
            w = first_lanes(w * load(scales[j / key_tile] + key_tile + j % key_tile), n - j, 0);
            heavy_lanes = max(w, heavy_lanes);
            bad_lanes = fma(w, zero(), bad_lanes);
        }
        if (narrow) store_bf16(bits + j, w);
        else store(scores + j, w);
    }
    int64_t whole = round_up(n, V::N);
    if (narrow) memset(bits + whole, 0, (size_t)(end - whole) * 2);
    else memset(scores + whole, 0, (size_t)(end - whole) * 4);
    float* span = r.span + i * (r.padded + 2);
    span[r.padded] = most;
    span[r.padded + 1] = sum(total_lanes);
    if (integers) {
        float heavy = largest(heavy_lanes);
        r.weight_scale[i] = heavy * (1.0f / 65535.0f) + sum(bad_lanes);  // NaN when a weight or a value is
        uint8_t* high = (uint8_t*)r.weights + i * 2 * key_span;
        split_bytes(scores, heavy > smallest_activation ? 65535.0f / heavy : 0.0f, end, high, high + key_span);
    }
}

// Adds a span to what was combined before; both [padded + 2]: output, maximum (to base 2), total.
static void combine(const float* span, int64_t padded, bool first, float* combined) {
    if (first) {
        memcpy(combined, span, (size_t)(padded + 2) * 4);
        return;
    }
    float most = span[padded] > combined[padded] ? span[padded] : combined[padded], old[V::N], now[V::N];
    V old_lanes = exp2(set(combined[padded] - most)), now_lanes = exp2(set(span[padded] - most));
    store(old, old_lanes);
    store(now, now_lanes);
    for (int64_t j = 0; j < padded; j += V::N)
        store(combined + j, fma(load(span + j), now_lanes, load(combined + j) * old_lanes));
    combined[padded] = most;
    combined[padded + 1] = combined[padded + 1] * old[0] + span[padded + 1] * now[0];
}

static void write_out(const AttentionUnit& u, int64_t i, const float* combined) {
    int64_t ratio = u.heads / u.cache.heads, c = u.cache.c;
    float* to = u.out + ((u.first_token + i / ratio) * u.heads + u.kv_head * ratio + i % ratio) * c;
    V share = set(1.0f / combined[kv_padded(c) + 1]);
    for (int64_t j = 0; j < c; j += V::N) {
        int64_t n = c - j < V::N ? c - j : V::N;
        store(to + j, load(combined + j, n) * share, n);
    }
}

// Keys visible to row i in the span that starts at `first`; none: 0 or less.
static int64_t visible(const AttentionUnit& u, const UnitRows& r, int64_t i, int64_t first) {
    int64_t n = u.first_position + r.token[i] + 1 - first;
    return n < key_span ? n : key_span;
}

// The tiles of a span, and how they are walked.
struct Span {
    int64_t first, count, tiles;  // position of the first key, keys, tiles of keys
    const char *keys[span_tiles], *values[span_tiles];
    const float* scales[span_tiles];
    const char* ahead[span_tiles];  // what comes after this span; null if nothing
};

// Few rows (decode) read memory as fast as it can: matrix after matrix, each asking for the next. The CPU drops requests
// that come faster than memory answers, so those must keep the pace of the reading.
static bool streams(const UnitRows& r, int64_t planes) { return r.count * planes <= max_rows; }

// Weights times values to r.span; integers come as high and low bytes.
template <class Values>
static void multiply_values(const UnitRows& r, const Span& s, int64_t steps, int64_t bytes) {
    constexpr bool integers = Values::integers;
    const char* weights = bytes == 4 ? (const char*)r.scores : r.weights;
    int64_t planes = integers ? 2 : 1, slices = r.padded / 32, per = key_tile / (4 / Values::value_bytes);
    int64_t slice = per * lane_row, span_bytes = (r.padded + 2) * 4, rows = r.count * planes;
    // integers of one slice [rows][32], or of all when the slices of a tile follow each other
    auto sums = [&](int64_t at) { return integers ? r.sums + at * rows * lane_row : (char*)(r.span + at * 32); };
    auto finish = [&](int64_t at, const int32_t* from) {
        for (int64_t i = 0; integers && i < r.count; i++)
            for (int64_t j = 0; j < 32; j += V::N) {
                V sum = to_float(times256(load_ints(from + i * 64 + j)) + load_ints(from + i * 64 + 32 + j));
                store(r.span + i * (r.padded + 2) + at * 32 + j, sum * set(r.weight_scale[i]));
            }
    };
    int64_t out_bytes = integers ? lane_row : span_bytes;
    if (streams(r, planes)) {
        for (int64_t t = 0; t < s.tiles; t++) {
            int64_t left = steps - t * per;
            const char* next = t + 1 < s.tiles ? s.values[t + 1] : s.ahead[0];
            for (int64_t at = 0; at < slices; at++) {
                const char* ahead = next + at * slice;
                product<Values>(weights + t * per * Values::row_step, rows, key_span * bytes,
                                {s.values + t, next ? &ahead : nullptr, at * slice, per, left < per ? left : per, t > 0},
                                sums(at), out_bytes);
            }
        }
        for (int64_t at = 0; at < slices; at++) finish(at, (const int32_t*)sums(at));
        return;
    }
    for (int64_t at = 0; at < slices; at++) {
        const char* piece[span_tiles];  // of the keys ahead, one after the other
        for (int64_t t = 0; s.ahead[0] && t < s.tiles; t++)
            piece[t] = s.ahead[(at * s.tiles + t) / slices] + (at * s.tiles + t) % slices * slice;
        product<Values>(weights, rows, key_span * bytes,
                        {s.values, s.ahead[0] ? piece : nullptr, at * slice, per, steps, false}, sums(integers ? 0 : at),
                        out_bytes);
        finish(at, (const int32_t*)r.sums);
    }
}

template <class Keys, class Values>
static void attend_span(const AttentionUnit& u, const UnitRows& r, int64_t first) {
    constexpr bool integers = Keys::integers;
    int64_t left = u.first_position + u.tokens - first, matrix = kv_matrix(u.cache.kind, u.cache.c);
    int64_t bytes = row_bytes(u.cache.kind), P = 4 / kv_bytes(u.cache.kind);
    Span s = {};
    s.first = first;
    s.count = left < key_span ? left : key_span;
    s.tiles = (s.count + key_tile - 1) / key_tile;
    find_tiles(u, first, s.count, r.gathered, s.keys);
    find_ahead(u, first + key_span, s.ahead);
    for (int64_t t = 0; t < s.tiles; t++) {
        s.values[t] = s.keys[t] + matrix;
        s.scales[t] = (const float*)(s.values[t] + matrix);
        for (int64_t i = 0; integers && i < 2 * key_tile; i += 16) __builtin_prefetch(s.scales[t] + i);
    }
    bool stream = streams(r, integers ? 2 : 1);
    for (int64_t t = 0; t < s.tiles; t++) {
        const char* next = !stream ? s.values[t] : t + 1 < s.tiles ? s.keys[t + 1] : s.values[0];
        product<Keys>(r.queries, r.count, r.padded * bytes, {s.keys + t, &next, 0, r.padded / P, r.padded / P, false},
                      (char*)(r.scores + t * key_tile), key_span * 4);
    }
    for (int64_t i = 0; i < r.count; i++)
        if (visible(u, r, i, first) > 0) softmax_span<integers>(u, r, s.scales, i, visible(u, r, i, first), s.tiles * key_tile);
    multiply_values<Values>(r, s, (s.count + P - 1) / P, bytes);
}

void attention(const AttentionUnit& u, char* scratch) {
    UnitRows r = cut(u, u.tokens * (u.heads / u.cache.heads), scratch);
    read_queries(u, r);
    for (int64_t span = u.first_span; span < u.end_span; span++) {
        int64_t first = span * key_span;
        if (u.cache.kind == KvKind::f32) attend_span<DotF32, DotF32>(u, r, first);
        else if (u.cache.kind == KvKind::bf16) attend_span<DotBf16, DotBf16>(u, r, first);
        else attend_span<DotKeys, DotValues>(u, r, first);
        for (int64_t i = 0; i < r.count; i++) {
            if (visible(u, r, i, first) <= 0) continue;
            const float* part = r.span + i * (r.padded + 2);
            if (u.partial) memcpy(u.partial + ((span - u.first_span) * r.count + i) * (r.padded + 2), part, (size_t)(r.padded + 2) * 4);
            else combine(part, r.padded, span == 0, r.combined + i * (r.padded + 2));
        }
    }
    for (int64_t i = 0; i < r.count && !u.partial; i++) write_out(u, i, r.combined + i * (r.padded + 2));
}

// u.partial: all spans of the unit, as `attention` left them.
void combine_spans(const AttentionUnit& u, char* scratch) {
    int64_t rows = u.tokens * (u.heads / u.cache.heads), size = kv_padded(u.cache.c) + 2;
    float* combined = (float*)scratch;
    for (int64_t i = 0; i < rows; i++) {
        int64_t spans = (u.first_position + i * u.tokens / rows) / key_span + 1;
        for (int64_t span = 0; span < spans; span++)
            combine(u.partial + (span * rows + i) * size, kv_padded(u.cache.c), span == 0, combined);
        write_out(u, i, combined);
    }
}

}  // namespace ponder::PONDER_NS
