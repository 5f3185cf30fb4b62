// `V`: a vector of N floats with the same few operations on every instruction set, so that kernels are written once.
//
// The portable version uses the vector extension of GCC and Clang (four floats; SSE2, NEON or plain code).
// Included only by sources compiled per instruction set; everything sits in namespace ponder::PONDER_NS. `registers`: how
// many vectors the CPU holds. ARM's compilers always have NEON, so its tables say so themselves: PONDER_NEON.
#pragma once
#include <cstdint>
#include <cstring>
#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(PONDER_NEON)
#include "runtime/simd_neon.h"
#endif

namespace ponder::PONDER_NS {

#if defined(__AVX512F__)

struct V {
    static constexpr int N = 16, registers = 32;
    __m512 v;
};
static inline V zero() { return {_mm512_setzero_ps()}; }
static inline V set(float x) { return {_mm512_set1_ps(x)}; }
static inline V load(const float* p) { return {_mm512_loadu_ps(p)}; }
static inline void store(float* p, V a) { _mm512_storeu_ps(p, a.v); }
static inline V load(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps((1u << n) - 1, p)}; }
static inline void store(float* p, V a, int64_t n) { _mm512_mask_storeu_ps(p, (1u << n) - 1, a.v); }
static inline V fma(V a, V b, V c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
static inline V operator*(V a, V b) { return {_mm512_mul_ps(a.v, b.v)}; }
static inline V operator+(V a, V b) { return {_mm512_add_ps(a.v, b.v)}; }
static inline V operator-(V a, V b) { return {_mm512_sub_ps(a.v, b.v)}; }
static inline V operator/(V a, V b) { return {_mm512_div_ps(a.v, b.v)}; }
static inline V max(V a, V b) { return {_mm512_max_ps(a.v, b.v)}; }  // b when either is NaN
static inline V min(V a, V b) { return {_mm512_min_ps(a.v, b.v)}; }
static inline V abs(V a) { return {_mm512_abs_ps(a.v)}; }
// a * 2^n, n given as the low bits of the float `shifted`
static inline V scale2(V a, V shifted) {
    __m512i n = _mm512_slli_epi32(_mm512_castps_si512(shifted.v), 23);
    return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a.v), n))};
}
static inline V widen(const uint16_t* p) {  // N bf16 values
    __m512i w = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(w, 16))};
}
// 2N bf16 values: those at even and at odd places
static inline void widen_pairs(const uint16_t* p, V& even, V& odd) {
    __m512i w = _mm512_loadu_si512(p);
    even.v = _mm512_castsi512_ps(_mm512_slli_epi32(w, 16));
    odd.v = _mm512_castsi512_ps(_mm512_and_si512(w, _mm512_set1_epi32(0xffff0000)));
}
static inline void narrow(V a, uint16_t* p) {  // to N bf16 values, ties to even; a NaN stays one
    __m512i bits = _mm512_castps_si512(a.v), odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i near = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    near = _mm512_mask_mov_epi32(near, _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q), _mm512_set1_epi32(0x7fc0));
    _mm256_storeu_si256((__m256i*)p, _mm512_cvtepi32_epi16(near));
}
// The sums of four vectors; each is added in the same fixed order.
static inline void sum4(V a, V b, V c, V d, float* out) {
    __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a.v, b.v), _mm512_unpackhi_ps(a.v, b.v));
    __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c.v, d.v), _mm512_unpackhi_ps(c.v, d.v));
    __m512 low = _mm512_shuffle_ps(ab, cd, 0x44), high = _mm512_shuffle_ps(ab, cd, 0xee);
    __m512 lanes = _mm512_add_ps(low, high);  // [a, b, c, d] in each of four lanes
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1)));
}
static inline float largest(V a) { return _mm512_reduce_max_ps(a.v); }

#elif defined(__AVX2__)

struct V {
    static constexpr int N = 8, registers = 16;
    __m256 v;
};
static inline V zero() { return {_mm256_setzero_ps()}; }
static inline V set(float x) { return {_mm256_set1_ps(x)}; }
static inline V load(const float* p) { return {_mm256_loadu_ps(p)}; }
static inline void store(float* p, V a) { _mm256_storeu_ps(p, a.v); }
static inline __m256i first(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline V load(const float* p, int64_t n) { return {_mm256_maskload_ps(p, first(n))}; }
static inline void store(float* p, V a, int64_t n) { _mm256_maskstore_ps(p, first(n), a.v); }
static inline V fma(V a, V b, V c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
static inline V operator*(V a, V b) { return {_mm256_mul_ps(a.v, b.v)}; }
static inline V operator+(V a, V b) { return {_mm256_add_ps(a.v, b.v)}; }
static inline V operator-(V a, V b) { return {_mm256_sub_ps(a.v, b.v)}; }
static inline V operator/(V a, V b) { return {_mm256_div_ps(a.v, b.v)}; }
static inline V max(V a, V b) { return {_mm256_max_ps(a.v, b.v)}; }
static inline V min(V a, V b) { return {_mm256_min_ps(a.v, b.v)}; }
static inline V abs(V a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
static inline V scale2(V a, V shifted) {
    __m256i n = _mm256_slli_epi32(_mm256_castps_si256(shifted.v), 23);
    return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a.v), n))};
}
static inline V widen(const uint16_t* p) {
    __m256i w = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(w, 16))};
}
static inline void widen_pairs(const uint16_t* p, V& even, V& odd) {
    __m256i w = _mm256_loadu_si256((const __m256i*)p);
    even.v = _mm256_castsi256_ps(_mm256_slli_epi32(w, 16));
    odd.v = _mm256_castsi256_ps(_mm256_and_si256(w, _mm256_set1_epi32(0xffff0000)));
}
static inline void narrow(V a, uint16_t* p) {
    __m256i bits = _mm256_castps_si256(a.v), odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i near = _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q));
    near = _mm256_blendv_epi8(near, _mm256_set1_epi32(0x7fc0), nan);
    near = _mm256_permute4x64_epi64(_mm256_packus_epi32(near, near), 0xd8);
    _mm_storeu_si128((__m128i*)p, _mm256_castsi256_si128(near));
}
static inline void sum4(V a, V b, V c, V d, float* out) {
    __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(a.v, b.v), _mm256_unpackhi_ps(a.v, b.v));
    __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(c.v, d.v), _mm256_unpackhi_ps(c.v, d.v));
    __m256 lanes = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1)));
}
static inline float largest(V a) {
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}

#elif !defined(PONDER_NEON)

typedef float Float4 __attribute__((vector_size(16)));
typedef uint32_t Bits4 __attribute__((vector_size(16)));
struct V {
    static constexpr int N = 4, registers = 16;
    Float4 v;
};
static inline V zero() { return {Float4{0, 0, 0, 0}}; }
static inline V set(float x) { return {Float4{x, x, x, x}}; }
static inline V load(const float* p) {
    V r;
    memcpy(&r.v, p, 16);
    return r;
}
static inline void store(float* p, V a) { memcpy(p, &a.v, 16); }
static inline V load(const float* p, int64_t n) {
    V r = zero();
    memcpy(&r.v, p, 4 * n);
    return r;
}
static inline void store(float* p, V a, int64_t n) { memcpy(p, &a.v, 4 * n); }
static inline V fma(V a, V b, V c) { return {a.v * b.v + c.v}; }
static inline V operator*(V a, V b) { return {a.v * b.v}; }
static inline V operator+(V a, V b) { return {a.v + b.v}; }
static inline V operator-(V a, V b) { return {a.v - b.v}; }
static inline V operator/(V a, V b) { return {a.v / b.v}; }
static inline V max(V a, V b) { return {a.v > b.v ? a.v : b.v}; }
static inline V min(V a, V b) { return {a.v < b.v ? a.v : b.v}; }
static inline V abs(V a) { return {(Float4)((Bits4)a.v & 0x7fffffffu)}; }
static inline V scale2(V a, V shifted) { return {(Float4)((Bits4)a.v + ((Bits4)shifted.v << 23))}; }
static inline V widen(const uint16_t* p) { return {(Float4)(Bits4{p[0], p[1], p[2], p[3]} << 16)}; }
static inline void widen_pairs(const uint16_t* p, V& even, V& odd) {
    even.v = (Float4)(Bits4{p[0], p[2], p[4], p[6]} << 16);
    odd.v = (Float4)(Bits4{p[1], p[3], p[5], p[7]} << 16);
}
static inline void narrow(V a, uint16_t* p) {
    Bits4 bits = (Bits4)a.v, near = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    for (int i = 0; i < 4; i++) p[i] = (bits[i] & 0x7fffffffu) > 0x7f800000u ? 0x7fc0 : (uint16_t)near[i];
}
static inline void sum4(V a, V b, V c, V d, float* out) {
    out[0] = (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]);
    out[1] = (b.v[0] + b.v[2]) + (b.v[1] + b.v[3]);
    out[2] = (c.v[0] + c.v[2]) + (c.v[1] + c.v[3]);
    out[3] = (d.v[0] + d.v[2]) + (d.v[1] + d.v[3]);
}
static inline float largest(V a) {
    float x = a.v[0] > a.v[2] ? a.v[0] : a.v[2], y = a.v[1] > a.v[3] ? a.v[1] : a.v[3];
    return x > y ? x : y;
}

#endif

static inline float sum(V a) {
    float out[4];
    sum4(a, a, a, a, out);
    return out[0];
}

static inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// e^x, relative error below 2e-7 (degree 6 on half an octave); limited to 2^-126 .. 2^127; NaN stays NaN.
static inline V exp(V x) {
    x = min(set(88.0f), max(set(-87.3f), x));
    V shifted = fma(x, set(1.44269504f), set(12582912.0f));  // 1.5 * 2^23: the low bits now hold round(x / ln 2)
    V n = shifted - set(12582912.0f);
    V r = fma(n, set(-0.693359375f), x);  // ln 2 in two parts, the first exact in few bits
    r = fma(n, set(2.12194440e-4f), r);
    V p = set(1.3888889e-3f);
    p = fma(p, r, set(8.3333333e-3f));
    p = fma(p, r, set(4.1666667e-2f));
    p = fma(p, r, set(1.6666667e-1f));
    p = fma(p, r, set(0.5f));
    p = fma(p, r, set(1.0f));
    p = fma(p, r, set(1.0f));
    return scale2(p, shifted);
}

}  // namespace ponder::PONDER_NS
