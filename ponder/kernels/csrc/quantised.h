// int8 and int4 weights in groups of 32 against activations quantised to int8 in the same groups: the vector paths.
//
// dpbusd multiplies unsigned by signed bytes, so weights are taken as w + 128 (int8) or as their nibble w + 8 (int4),
// and each integer sum starts from -offset * (sum of its activations), prepared once per token. The integer part is
// exact, equal on every path; a group's sum is scaled in float and added in order of k.
// A packed row is a run of steps, each: int8 q [q_step], int32 start [q_step/4], float scale [q_step/4] (one per lane).
#pragma once
#include "kernels.h"
#include "simd.h"

namespace ponder::PONDER_NS {

#if !defined(__AVX2__)

constexpr bool vector_groups = false;  // grouped.cpp does it
constexpr int64_t q_step = 32, q_bytes = 96;
static inline void pack_quantised(const Matrix&, const float*, char*) {}

#else

constexpr bool vector_groups = true;
constexpr int64_t q_step = 4 * V::N;         // two groups a step with AVX-512, one with AVX2
constexpr int64_t q_bytes = q_step * 3;
constexpr int64_t groups_per_step = q_step / 32;

#if defined(__AVX512F__)
typedef __m512i Bytes;
static inline Bytes load_bytes(const void* p) { return _mm512_loadu_si512(p); }
static inline Bytes add_offset(Bytes w) { return _mm512_xor_si512(w, _mm512_set1_epi8((char)0x80)); }
static inline Bytes dot4(Bytes start, Bytes w, Bytes x) { return _mm512_dpbusd_epi32(start, w, x); }
static inline V to_float(Bytes sums) { return {_mm512_cvtepi32_ps(sums)}; }
static inline Bytes unpack_nibbles(const void* p) {  // 2 groups of 16 bytes -> [low a, high a, low b, high b]
    __m512i w = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i*)p));
    w = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 1, 0, 1, 2, 3, 2, 3), w);
    w = _mm512_srlv_epi64(w, _mm512_setr_epi64(0, 0, 4, 4, 0, 0, 4, 4));
    return _mm512_and_si512(w, _mm512_set1_epi8(15));
}
static inline V load_scales(const uint16_t* p, int64_t groups) {  // lanes 0-7: first group, 8-15: second
    uint32_t two = *p;
    if (groups > 1) memcpy(&two, p, 4);
    __m512 both = _mm512_castps128_ps512(_mm_cvtph_ps(_mm_cvtsi32_si128((int)two)));
    return {_mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1), both)};
}
#else
typedef __m256i Bytes;
static inline Bytes load_bytes(const void* p) { return _mm256_loadu_si256((const __m256i*)p); }
static inline V to_float(Bytes sums) { return {_mm256_cvtepi32_ps(sums)}; }
#if defined(__AVXVNNI__)
static inline Bytes dot4(Bytes start, Bytes w, Bytes x) { return _mm256_dpbusd_avx_epi32(start, w, x); }
#else
// Products of two bytes summed in 16 bits would saturate for unsigned weights above 128, so even and odd bytes apart.
static inline Bytes dot4(Bytes start, Bytes w, Bytes x) {
    Bytes low = _mm256_set1_epi16(0xff), ones = _mm256_set1_epi16(1);
    Bytes even = _mm256_maddubs_epi16(_mm256_and_si256(w, low), x);
    Bytes odd = _mm256_maddubs_epi16(_mm256_andnot_si256(low, w), x);
    return _mm256_add_epi32(start, _mm256_add_epi32(_mm256_madd_epi16(even, ones), _mm256_madd_epi16(odd, ones)));
}
#endif
static inline Bytes add_offset(Bytes w) { return _mm256_xor_si256(w, _mm256_set1_epi8((char)0x80)); }
static inline Bytes unpack_nibbles(const void* p) {  // 16 bytes -> [low, high]
    __m128i w = _mm_loadu_si128((const __m128i*)p);
    __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(w), _mm_srli_epi16(w, 4), 1);
    return _mm256_and_si256(both, _mm256_set1_epi8(15));
}
static inline V load_scales(const uint16_t* p, int64_t) {
    return {_mm256_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(*p)))};
}
#endif

struct QuantisedRow {
    Bytes bytes;
    V scale;
};

static inline V add_quantised(V sum, const QuantisedRow& w, const char* x) {
    Bytes dots = dot4(load_bytes(x + q_step), w.bytes, load_bytes(x));
    return fma(to_float(dots), w.scale * load((const float*)(x + 2 * q_step)), sum);
}

struct DotInt8 {
    static constexpr int64_t step = q_step, x_bytes = q_bytes;
    typedef QuantisedRow Row;
    static const char* address(const Matrix& w, int64_t n, int64_t k) { return (const char*)w.data + n * w.k + k; }
    static Row load_row(const Matrix& w, int64_t n, int64_t k) {
        int64_t at = n * w.k + k;
        return {add_offset(load_bytes((const char*)w.data + at)), load_scales(w.scale + at / 32, groups_per_step)};
    }
    static Row load_tail(const Matrix& w, int64_t n, int64_t k) {  // the one group left of a step of two
        int64_t at = n * w.k + k;
        char padded[q_step] = {};
        memcpy(padded, (const char*)w.data + at, 32);
        return {add_offset(load_bytes(padded)), load_scales(w.scale + at / 32, 1)};
    }
    static V add(V sum, const Row& w, const char* x) { return add_quantised(sum, w, x); }
};

struct DotInt4 {
    static constexpr int64_t step = q_step, x_bytes = q_bytes;
    typedef QuantisedRow Row;
    static const char* address(const Matrix& w, int64_t n, int64_t k) { return (const char*)w.data + (n * w.k + k) / 2; }
    static Row load_row(const Matrix& w, int64_t n, int64_t k) {
        int64_t at = n * w.k + k;
        return {unpack_nibbles((const char*)w.data + at / 2), load_scales(w.scale + at / 32, groups_per_step)};
    }
    static Row load_tail(const Matrix& w, int64_t n, int64_t k) {
        int64_t at = n * w.k + k;
        char padded[q_step / 2] = {};
        memcpy(padded, (const char*)w.data + at / 2, 16);
        return {unpack_nibbles(padded), load_scales(w.scale + at / 32, 1)};
    }
    static V add(V sum, const Row& w, const char* x) { return add_quantised(sum, w, x); }
};

// One row of activations [k] to steps; the second group of a half-filled last step is zero.
static inline void pack_quantised(const Matrix& w, const float* x, char* packed) {
    int32_t offset = w.kind == Kind::int8 ? 128 : 8;
    for (int64_t g = 0; g < round_up(w.k, q_step) / 32; g++) {
        int64_t in_step = g % groups_per_step;
        char* step = packed + g / groups_per_step * q_bytes;
        int8_t* q = (int8_t*)step + in_step * 32;
        int32_t* start = (int32_t*)(step + q_step) + in_step * 8;
        float* scale = (float*)(step + 2 * q_step) + in_step * 8;
        if (g * 32 >= w.k) {
            memset(q, 0, 32);
            memset(start, 0, 32);
            memset(scale, 0, 32);
            continue;
        }
        const float* xs = x + g * 32;
        V largest_lanes = zero(), bad_lanes = zero();  // bad: NaN when a value is not finite, and then so is the result
        for (int i = 0; i < 32; i += V::N) {
            largest_lanes = max(abs(load(xs + i)), largest_lanes);
            bad_lanes = fma(load(xs + i), zero(), bad_lanes);
        }
        float most = largest(largest_lanes), bad = sum(bad_lanes);
        float inverse = most > smallest_activation ? 127.0f / most : 0.0f;
        float value = most * (1.0f / 127.0f) + bad;
        for (int i = 0; i < 32; i += 8) {
            __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(xs + i), _mm256_set1_ps(inverse));
            int32_t rounded[8];  // to nearest even; a value that is not finite gives a number that `bad` overrides
            _mm256_storeu_si256((__m256i*)rounded, _mm256_cvtps_epi32(scaled));
            for (int j = 0; j < 8; j++) q[i + j] = (int8_t)rounded[j];
        }
        for (int i = 0; i < 8; i++) {
            start[i] = -offset * (q[4 * i] + q[4 * i + 1] + q[4 * i + 2] + q[4 * i + 3]);
            scale[i] = value;
        }
    }
}

#endif

}  // namespace ponder::PONDER_NS
