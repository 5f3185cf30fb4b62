// y = x W^T by dot products along K, so that weights stay as they lie in the file. Compiled per instruction set.
//
// A tile of R rows x T tokens keeps R*T vector accumulators in registers. An output's accumulator sees the same
// operations in the same order in every tile shape, so a token's result does not depend on its neighbours (DT-1).
// A `Dot` says how one kind is loaded and multiplied, in steps of `step` values of K; packed activations are padded
// with zeros to whole steps, a weight row's tail is copied into a padded buffer.
#include "runtime/kernels.h"
#include "gemm/linear.h"
#include "runtime/simd.h"

namespace ponder::PONDER_NS {

struct DotF32 {
    static constexpr int64_t step = V::N, x_bytes = 4 * V::N;
    typedef V Row;
    static const char* address(const Matrix& w, int64_t n, int64_t k) {
        return (const char*)w.data + 4 * (n * w.k + k);
    }
    static Row load_row(const Matrix& w, int64_t n, int64_t k) { return load((const float*)w.data + n * w.k + k); }
    static Row load_tail(const Matrix& w, int64_t n, int64_t k) {
        return load((const float*)w.data + n * w.k + k, w.k - k);
    }
    static V add(V sum, Row w, const char* x) { return fma(w, load((const float*)x), sum); }
};

// bf16 widens to float by a shift; even and odd places apart, and activations are packed in that order.
struct DotBf16 {
    static constexpr int64_t step = 2 * V::N, x_bytes = 8 * V::N;
    struct Row {
        V even, odd;
    };
    static const char* address(const Matrix& w, int64_t n, int64_t k) {
        return (const char*)w.data + 2 * (n * w.k + k);
    }
    static Row load_row(const Matrix& w, int64_t n, int64_t k) {
        Row row;
        widen_pairs((const uint16_t*)w.data + n * w.k + k, row.even, row.odd);
        return row;
    }
    static Row load_tail(const Matrix& w, int64_t n, int64_t k) {
        uint16_t padded[2 * V::N] = {};
        memcpy(padded, (const uint16_t*)w.data + n * w.k + k, 2 * (w.k - k));
        Row row;
        widen_pairs(padded, row.even, row.odd);
        return row;
    }
    static V add(V sum, const Row& w, const char* x) {
        sum = fma(w.even, load((const float*)x), sum);
        return fma(w.odd, load((const float*)x + V::N), sum);
    }
};

// Rows of a few KB are too short for the hardware to foresee, so the first pass over W asks for it this far ahead.
constexpr int64_t prefetch_bytes = 8192;

template <class Dot, int R, int T, bool First>
static inline void tile(const Matrix& w, int64_t n, const void* const* x, float* const* y, const float* bias) {
    V sums[R][T];
    for (int r = 0; r < R; r++)
        for (int t = 0; t < T; t++) sums[r][t] = zero();
    int64_t full = w.k / Dot::step * Dot::step, at = 0;
    for (int64_t k = 0; k < full; k += Dot::step, at += Dot::x_bytes) {
        typename Dot::Row rows[R];
        for (int r = 0; r < R; r++) {
            if (First) __builtin_prefetch(Dot::address(w, n + r, k) + prefetch_bytes);
            rows[r] = Dot::load_row(w, n + r, k);
        }
        for (int t = 0; t < T; t++)
            for (int r = 0; r < R; r++) sums[r][t] = Dot::add(sums[r][t], rows[r], (const char*)x[t] + at);
    }
    if (full < w.k)
        for (int r = 0; r < R; r++) {
            typename Dot::Row row = Dot::load_tail(w, n + r, full);
            for (int t = 0; t < T; t++) sums[r][t] = Dot::add(sums[r][t], row, (const char*)x[t] + at);
        }
    for (int t = 0; t < T; t++) {
        float totals[4];
        sum4(sums[0][t], sums[R > 1 ? 1 : 0][t], sums[R > 2 ? 2 : 0][t], sums[R > 3 ? 3 : 0][t], totals);
        for (int r = 0; r < R; r++) y[t][n + r] = bias ? totals[r] + bias[n + r] : totals[r];
    }
}

template <class Dot, int T, bool First>
static void tile_rows(const Matrix& w, int64_t n0, int64_t n1, const void* const* x, float* const* y,
                      const float* bias) {
    int64_t n = n0;
    for (; n + 4 <= n1; n += 4) tile<Dot, 4, T, First>(w, n, x, y, bias);
    for (; n < n1; n++) tile<Dot, 1, T, First>(w, n, x, y, bias);
}

// All whole tiles of T tokens from t on; returns the first token left.
template <class Dot, int T>
static int64_t tiles_of(int64_t t, const Matrix& w, int64_t n0, int64_t n1, const void* const* x, int64_t tokens,
                        float* const* y, const float* bias) {
    for (; t + T <= tokens; t += T)
        if (t == 0) tile_rows<Dot, T, true>(w, n0, n1, x, y, bias);
        else tile_rows<Dot, T, false>(w, n0, n1, x + t, y + t, bias);
    return t;
}

template <class Dot>
static void tiles(const Matrix& w, int64_t n0, int64_t n1, const void* const* x, int64_t tokens, float* const* y,
                  const float* bias) {
    int64_t t = 0;
    if (V::registers == 32) t = tiles_of<Dot, 4>(t, w, n0, n1, x, tokens, y, bias);  // 16 carry only 2 tokens
    t = tiles_of<Dot, 2>(t, w, n0, n1, x, tokens, y, bias);
    tiles_of<Dot, 1>(t, w, n0, n1, x, tokens, y, bias);
}

int64_t packed_bytes(const Matrix& w) {
    if (w.kind == Kind::f32) return round_up(w.k, DotF32::step) * 4;
#if defined(__AMX_BF16__)
    if (w.kind == Kind::bf16) return packed_bytes_bf16_tiles(w);
#endif
    if (w.kind == Kind::bf16) return round_up(w.k, DotBf16::step) * 4;
    return packed_bytes_panels(w);
}

void pack(const Matrix& w, const float* x, void* packed) {
    float* out = (float*)packed;
    if (w.kind == Kind::f32) {
        for (int64_t k = 0; k < w.k; k += V::N) store(out + k, load(x + k, w.k - k < V::N ? w.k - k : V::N));
    } else if (w.kind == Kind::bf16) {
#if defined(__AMX_BF16__)
        return pack_bf16_tiles(w, x, (uint16_t*)packed);
#endif
        for (int64_t k = 0; k < w.k; k += 2 * V::N)
            for (int64_t i = 0; i < V::N; i++) {
                out[k + i] = k + 2 * i < w.k ? x[k + 2 * i] : 0.0f;
                out[k + V::N + i] = k + 2 * i + 1 < w.k ? x[k + 2 * i + 1] : 0.0f;
            }
    } else {
        pack_panels(w, x, (char*)packed);
    }
}

void linear(const Matrix& w, int64_t n0, int64_t n1, const void* const* x, int64_t tokens, float* const* y,
            const float* bias, const Rows& next) {
    if (w.kind == Kind::f32) tiles<DotF32>(w, n0, n1, x, tokens, y, bias);
#if defined(__AMX_BF16__)
    else if (w.kind == Kind::bf16) linear_bf16_tiles(w, n0, n1, (const char* const*)x, tokens, y, bias);
#else
    else if (w.kind == Kind::bf16) tiles<DotBf16>(w, n0, n1, x, tokens, y, bias);
#endif
    else linear_panels(w, n0, n1, (const char* const*)x, tokens, y, bias, next);
}

}  // namespace ponder::PONDER_NS
