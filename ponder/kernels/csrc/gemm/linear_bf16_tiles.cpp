// y = x W^T for bf16 weights by AMX tiles, for any number of tokens. Compiled for `amx` alone.
//
// Tiles multiply bf16 by bf16, so an activation is split into the nearest bf16 and the nearest bf16 of what is left: 16
// bits of it, for two multiplications. Weights stay as they lie in the file; a chunk of K of 32 outputs at a time is
// turned into right operands (pairs of values of 16 outputs in a row). A sum sees the same instructions for one token
// as for many, with K in steps of 32 (DT-1).
#include "gemm/amx.h"
#include "gemm/linear.h"
#include "runtime/simd.h"

namespace ponder::PONDER_NS {

constexpr int64_t step = 32, chunk_steps = 16, step_bytes = 2 * step;  // values of K of one tile, tiles of one chunk
static_assert(V::N == tile_rows && step_bytes == tile_bytes, "an output has a lane");

static int64_t padded_k(const Matrix& w) { return round_up(w.k, step); }

int64_t packed_bytes_bf16_tiles(const Matrix& w) { return padded_k(w) * 4; }

// bf16 [padded_k] of the upper parts, then of the lower ones
void pack_bf16_tiles(const Matrix& w, const float* x, uint16_t* packed) {
    int64_t padded = padded_k(w);
    for (int64_t k = 0; k < padded; k += V::N) {
        V v = k >= w.k ? zero() : load(x + k, w.k - k < V::N ? w.k - k : V::N);
        _mm256_storeu_si256((__m256i*)(packed + k), (__m256i)_mm512_cvtneps_pbh(v.v));
        V rest = v - widen(packed + k);
        _mm256_storeu_si256((__m256i*)(packed + padded + k), (__m256i)_mm512_cvtneps_pbh(rest.v));
    }
}

// 16 rows of 16 pairs to 16 pairs of 16 rows
static inline void transpose(__m512i (&r)[16]) {
    __m512i t[16], u[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            u[i + 2 * j] = _mm512_unpacklo_epi64(t[i + j], t[i + 2 + j]);
            u[i + 2 * j + 1] = _mm512_unpackhi_epi64(t[i + j], t[i + 2 + j]);
        }
    for (int j = 0; j < 4; j++) {  // u[i + j]: columns j, 4 + j, 8 + j, 12 + j of rows i .. i + 3
        __m512i a = _mm512_shuffle_i32x4(u[j], u[4 + j], 0x88), b = _mm512_shuffle_i32x4(u[8 + j], u[12 + j], 0x88);
        __m512i c = _mm512_shuffle_i32x4(u[j], u[4 + j], 0xdd), d = _mm512_shuffle_i32x4(u[8 + j], u[12 + j], 0xdd);
        r[j] = _mm512_shuffle_i32x4(a, b, 0x88);
        r[4 + j] = _mm512_shuffle_i32x4(c, d, 0x88);
        r[8 + j] = _mm512_shuffle_i32x4(a, b, 0xdd);
        r[12 + j] = _mm512_shuffle_i32x4(c, d, 0xdd);
    }
}

// The right operand for K from k on and the outputs from n on; zero where the matrix ends.
static void turn(const Matrix& w, int64_t n, int64_t n1, int64_t k, char* out) {
    const uint16_t* row = (const uint16_t*)w.data + n * w.k + k;
    __mmask32 there = w.k - k < step ? ((__mmask32)1 << (w.k - k)) - 1 : ~(__mmask32)0;
    __m512i r[16];
    for (int i = 0; i < 16; i++, row += w.k)
        r[i] = n + i < n1 ? _mm512_maskz_loadu_epi16(there, row) : _mm512_setzero_si512();
    transpose(r);
    for (int i = 0; i < 16; i++) _mm512_store_si512(out + i * tile_bytes, r[i]);
}

// Up to 32 outputs and a chunk of K: `steps` right operands of each half.
struct Chunk {
    alignas(64) char weights[2][chunk_steps][tile_rows * tile_bytes];
    int64_t steps;
    const char* ahead;  // rows of what comes next, for memory to fetch while the first tokens are worked on; or null
    int64_t row_bytes;
};

// A tile of tokens: the chunk of upper and lower parts.
struct SplitRows {
    LeftRows upper, lower;
};

// C tiles 0 and 1: the first tokens, two halves of the outputs; 2 and 3: the second ones.
template <int A, int P, bool upper>
static inline void multiply_step(const Chunk& c, const SplitRows* x, int64_t s) {
    const LeftRows &first = upper ? x[0].upper : x[0].lower, &second = upper ? x[1].upper : x[1].lower;
    load_tile<4>(first.base + s * step_bytes, first.stride);
    if (A > 1) load_tile<5>(second.base + s * step_bytes, second.stride);
    if (upper) load_tile<6>(c.weights[0][s], tile_bytes);
    if (upper && P > 1) load_tile<7>(c.weights[1][s], tile_bytes);
    multiply_bf16<0, 4, 6>();
    if (P > 1) multiply_bf16<1, 4, 7>();
    if (A > 1) multiply_bf16<2, 5, 6>();
    if (A > 1 && P > 1) multiply_bf16<3, 5, 7>();
}

// Sums of two tiles of tokens and two halves of outputs, in memory before and after.
typedef float Sums[2][2][tile_rows][tile_rows];

template <int A, int P>
static void multiply(const Chunk& c, const SplitRows* x, Sums& sums) {
    load_tile<0>(sums[0][0], tile_bytes);
    if (P > 1) load_tile<1>(sums[0][1], tile_bytes);
    if (A > 1) load_tile<2>(sums[1][0], tile_bytes);
    if (A > 1 && P > 1) load_tile<3>(sums[1][1], tile_bytes);
    for (int64_t s = 0; s < c.steps; s++) {
        for (int64_t r = 0; c.ahead && r < P * tile_rows; r++)
            __builtin_prefetch(c.ahead + r * c.row_bytes + s * step_bytes);
        multiply_step<A, P, true>(c, x, s);
        multiply_step<A, P, false>(c, x, s);
    }
    store_tile<0>(sums[0][0], tile_bytes);
    if (P > 1) store_tile<1>(sums[0][1], tile_bytes);
    if (A > 1) store_tile<2>(sums[1][0], tile_bytes);
    if (A > 1 && P > 1) store_tile<3>(sums[1][1], tile_bytes);
}

// One or two tiles of `rows` tokens through a chunk: y[a] their results from output n on, `count` of them, the sums of
// earlier chunks before if `begun`. done: rows of the last tile that need nothing any more.
struct Work {
    int64_t tiles, rows, done, n, count;
    float* const* y[2];
    bool begun;
    const float* bias;  // of output n, in the last chunk
};

static void work_through(const Chunk& c, const SplitRows* x, const Work& to) {
    alignas(64) Sums sums;
    for (int64_t a = 0; a < to.tiles; a++)
        for (int64_t p = 0; p * tile_rows < to.count; p++)
            for (int64_t r = 0; r < to.rows; r++) {
                int64_t left = to.count - p * tile_rows, n = to.n + p * tile_rows;
                V before = to.begun ? load(to.y[a][r] + n, left < V::N ? left : V::N) : zero();
                store(sums[a][p][r], before);
            }
    bool halves = to.count > tile_rows;
    if (to.tiles > 1 && halves) multiply<2, 2>(c, x, sums);
    else if (to.tiles > 1) multiply<2, 1>(c, x, sums);
    else if (halves) multiply<1, 2>(c, x, sums);
    else multiply<1, 1>(c, x, sums);
    for (int64_t a = 0; a < to.tiles; a++)
        for (int64_t p = 0; p * tile_rows < to.count; p++)
            for (int64_t r = a + 1 == to.tiles ? to.done : 0; r < to.rows; r++) {
                int64_t left = to.count - p * tile_rows, n = p * tile_rows, m = left < V::N ? left : V::N;
                V sum = load(sums[a][p][r]);
                store(to.y[a][r] + to.n + n, to.bias ? sum + load(to.bias + n, m) : sum, m);
            }
}

// Of all outputs n0 .. n1: what one chunk of K adds, from k on.
static void chunk_of(const Matrix& w, int64_t k, int64_t n0, int64_t n1, Chunk& c, const SplitRows& all, int64_t tokens,
                     float* const* y, const float* bias) {
    constexpr int64_t outputs = 2 * tile_rows;
    int64_t rows = tokens < tile_rows ? tokens : tile_rows;
    for (int64_t n = n0; n < n1; n += outputs) {
        int64_t count = n1 - n < outputs ? n1 - n : outputs;
        for (int64_t p = 0; p * tile_rows < count; p++)
            for (int64_t i = 0; i < c.steps; i++) turn(w, n + p * tile_rows, n1, k + i * step, c.weights[p][i]);
        c.ahead = (const char*)w.data + ((n + outputs) * w.k + k) * 2;
        for (int64_t t = 0; t < tokens; t += 2 * rows, c.ahead = nullptr) {
            Work to = {tokens - t > rows ? 2 : 1, rows, 0, n, count, {}, k > 0, bias ? bias + n : nullptr};
            SplitRows its[2];
            for (int64_t a = 0; a < to.tiles; a++) {
                // The last tile begins earlier to be a whole one, and leaves alone what is done.
                int64_t t0 = t + a * rows, from = t0 + rows <= tokens ? t0 : tokens - rows;
                to.done = t0 - from;
                to.y[a] = y + from;
                its[a].upper = {all.upper.base + from * all.upper.stride, all.upper.stride};
                its[a].lower = {all.lower.base + from * all.lower.stride, all.lower.stride};
            }
            work_through(c, its, to);
        }
    }
}

void linear_bf16_tiles(const Matrix& w, int64_t n0, int64_t n1, const char* const* x, int64_t tokens, float* const* y,
                       const float* bias) {
    if (tokens == 0) return;  // a tile without rows is an error
    alignas(64) char copies[2][scattered_rows * chunk_steps * step_bytes];
    bool even = evenly_spaced(x, tokens);
    Chunk c;
    c.row_bytes = w.k * 2;
    int64_t rows = tokens < tile_rows ? tokens : tile_rows, steps = padded_k(w) / step;
    TileConfig config;
    for (int i = 0; i < 8; i++) config.shape(i, i < 6 ? rows : tile_rows, tile_bytes);
    Tiles tiles(config);
    for (int64_t s = 0; s < steps; s += chunk_steps) {
        bool last = s + chunk_steps >= steps;
        c.steps = last ? steps - s : chunk_steps;
        int64_t from = s * step_bytes, bytes = c.steps * step_bytes;
        SplitRows all = {left_rows(x, tokens, from, bytes, even ? nullptr : copies[0]),
                    left_rows(x, tokens, padded_k(w) * 2 + from, bytes, even ? nullptr : copies[1])};
        chunk_of(w, s * step, n0, n1, c, all, tokens, y, last ? bias : nullptr);
    }
}

}  // namespace ponder::PONDER_NS
