// Floats of a row to int4 with scales that minimise the weighted squared error, bit-equal to reference/scale_search.py on
// every instruction set: sums run in 16 lanes, whatever a vector holds. Compiled per instruction set.
#include "packing/half.h"
#include "runtime/kernels.h"
#include "runtime/simd.h"

namespace ponder::PONDER_NS {

constexpr int parts = 16 / V::N;  // vectors of a block of 16 values

static inline V part(const float* p, int64_t n) { return n >= V::N ? load(p) : n <= 0 ? zero() : load(p, n); }

// The value of the code nearest to v, by its nearest integer. Even: the codes are all integers from first to last.
template <bool Even>
static inline V code_value(V v, const CodeTable& t) {
    if (Even) {
        V limited = min(max(v, set(t.first)), set(t.last));
        return limited + set(12582912.0f) - set(12582912.0f);  // 1.5 * 2^23 rounds to nearest even
    }
#if defined(__AVX512F__)  // down the tree, which takes half the time of a gather
    __m512 rounded = _mm512_roundscale_ps(v.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 split = _mm512_loadu_ps(t.split), value = _mm512_loadu_ps(t.value);
    __m512i node = _mm512_set1_epi32(1), one = node;
    for (int level = 0; level < 4; level++) {
        __mmask16 right = _mm512_cmp_ps_mask(rounded, _mm512_permutexvar_ps(node, split), _CMP_GE_OQ);
        node = _mm512_add_epi32(node, node);
        node = _mm512_mask_add_epi32(node, right, node, one);
    }
    return {_mm512_permutexvar_ps(node, value)};
#else
    V limited = min(max(v, set(-128.0f)), set(127.0f));
    const float* nearest = t.nearest + 128;  // of 0
#if defined(__AVX2__)
    return {_mm256_i32gather_ps(nearest, _mm256_cvtps_epi32(limited.v), 4)};
#else
    float at[V::N];
    store(at, limited + set(12582912.0f));
    for (int i = 0; i < V::N; i++) at[i] = nearest[(int)(at[i] - 12582912.0f)];
    return load(at);
#endif
#endif
}

// Lane i + lane i + 8, then i + 4, i + 2, i + 1.
static inline float sum16(V* v) {
    for (int half = parts / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) v[i] = v[i] + v[i + half];
#if defined(__AVX2__)
#if defined(__AVX512F__)
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(v[0].v), _mm512_extractf32x8_ps(v[0].v, 1));
#else
    __m256 h = v[0].v;
#endif
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
#else
    return (v[0].v[0] + v[0].v[2]) + (v[0].v[1] + v[0].v[3]);
#endif
}

// Of the codes q nearest to x * factor: sum of p x q and of p q q.
template <bool Even>
static inline void fit(const float* x, const float* p, int64_t n, float factor, const CodeTable& t, float& pxq,
                       float& pqq) {
    V a[parts], b[parts];
    for (int j = 0; j < parts; j++) a[j] = b[j] = zero();
    for (int64_t i = 0; i < n; i += 16)
        for (int j = 0; j < parts; j++) {
            int64_t at = i + j * V::N;
            V xs = part(x + at, n - at), ps = part(p + at, n - at), q = code_value<Even>(xs * set(factor), t);
            a[j] = a[j] + ps * xs * q;
            b[j] = b[j] + ps * q * q;
        }
    pxq = sum16(a);
    pqq = sum16(b);
}

// Sum of p (x - q scale)^2, q nearest to x / scale.
template <bool Even>
static inline float error(const float* x, const float* p, int64_t n, float scale, const CodeTable& t) {
    if (scale == 0) return __builtin_inff();
    V sums[parts];
    for (int j = 0; j < parts; j++) sums[j] = zero();
    for (int64_t i = 0; i < n; i += 16)
        for (int j = 0; j < parts; j++) {
            int64_t at = i + j * V::N;
            V xs = part(x + at, n - at);
            V off = xs - code_value<Even>(xs / set(scale), t) * set(scale);
            sums[j] = sums[j] + part(p + at, n - at) * off * off;
        }
    return sum16(sums);
}

// The value of largest size, the first of equals; NaN when one is not finite.
static inline float extreme(const float* x, int64_t n) {
    V most = zero(), bad = zero();
    for (int64_t i = 0; i < n; i += V::N) {
        V v = part(x + i, n - i);
        most = max(abs(v), most);
        bad = fma(v, zero(), bad);
    }
    if (!(sum(bad) == 0)) return __builtin_nanf("");
    float top = largest(most);
    while (__builtin_fabsf(*x) != top) x++;
    return *x;
}

template <bool Even>
static inline uint16_t best_scale(const float* x, const float* p, int64_t n, float m, const CodeTable& t) {
    uint16_t plain = to_half(m / t.first), fitted = 0;
    if ((plain & 0x7fff) == 0) return plain;
    float best = 0;
    for (int i = 0; i < 2 * search_steps; i++) {
        float end = i < search_steps ? t.first : t.last, pxq, pqq;
        fit<Even>(x, p, n, end * search_factors[i % search_steps] / m, t, pxq, pqq);
        float gain = pxq * pxq / pqq, scale = pxq / pqq;
        if (!(gain > best) || !(__builtin_fabsf(scale) <= 65504.0f)) continue;
        best = gain;
        fitted = to_half(scale);
    }
    bool better = error<Even>(x, p, n, from_half(fitted), t) < error<Even>(x, p, n, from_half(plain), t);
    return better ? fitted : plain;
}

// How much each error counts: importance * sqrt(2 mean of the row's squares + x x).
static inline void weigh(const float* x, const float* importance, int64_t k, float* weights) {
    V sums[parts];
    for (int j = 0; j < parts; j++) sums[j] = zero();
    for (int64_t i = 0; i < k; i += 16)
        for (int j = 0; j < parts; j++) {
            V xs = part(x + i + j * V::N, k - i - j * V::N);
            sums[j] = sums[j] + xs * xs;
        }
    float base = sum16(sums) / (float)k * 2.0f;
    for (int64_t i = 0; i < k; i++) weights[i] = importance[i] * __builtin_sqrtf(base + x[i] * x[i]);
}

template <bool Even>
static inline __attribute__((always_inline)) int search_groups(const float* x, const float* p, int64_t k, int64_t group,
                                                               const CodeTable& t, uint8_t* data, uint16_t* scale) {
    int flags = 0;
    int64_t half = group / 2;
    for (int64_t g = 0; g < k / group; g++, x += group, p += group, data += half) {
        float m = extreme(x, group);
        if (m != m || __builtin_fabsf(m / t.first) > 65504.0f) {
            flags |= m != m ? bad_not_finite : bad_too_large;
            continue;
        }
        scale[g] = best_scale<Even>(x, p, group, m, t);
        float step = from_half(scale[g]);
        for (int64_t i = 0; i < group; i += V::N) {
            int64_t n = group - i < V::N ? group - i : V::N;
            float v[V::N];
            store(v, min(max(part(x + i, n) / set(step), set(-128.0f)), set(127.0f)) + set(12582912.0f));
            for (int64_t j = 0; j < n; j++) {
                int64_t at = i + j;
                uint8_t code = t.index[step == 0 ? 128 : (int)(v[j] - 12582912.0f) + 128];
                if (at < half) data[at] = code;
                else data[at - half] = (uint8_t)(data[at - half] | code << 4);
            }
        }
    }
    return flags;
}

int search(const float* x, const float* importance, int64_t k, int64_t group, const CodeTable& t, float* p,
           uint8_t* data, uint16_t* scale) {
    weigh(x, importance, k, p);
    bool even = t.last - t.first == 15;
    if (even && group == 32) return search_groups<true>(x, p, k, 32, t, data, scale);
    return even ? search_groups<true>(x, p, k, group, t, data, scale)
                : search_groups<false>(x, p, k, group, t, data, scale);
}

}  // namespace ponder::PONDER_NS
