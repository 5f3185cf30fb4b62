// `I`: integer sums of V::N outputs, and the product of weight codes (panels.h) with quantised activations.
//
// dot(sum, w, x) adds four products a lane: codes w (value + offset, unsigned) times x (signed, the same four bytes for
// all lanes). `offset`: what a packed activation row must take off again, see linear_panels.cpp; 0 where the path takes
// it off the weights themselves. `Grid`: the 16 values of int4's codes, which load_code4 looks up. load_plain4 and dot_plain
// are for uint4's codes, which are the values. All of it is exact: equal on every path.
#pragma once
#include "packing/half.h"
#include "runtime/simd.h"
#if defined(PONDER_NEON)
#include "gemm/lanes_neon.h"
#endif

namespace ponder::PONDER_NS {

static inline int32_t four_bytes(const int8_t* p) {
    int32_t all;
    memcpy(&all, p, 4);
    return all;
}

#if defined(__AVX512F__)

struct I {
    __m512i v;
};
typedef I Code8;  // 16 outputs, 4 values each
typedef I Code4;
typedef I X;
typedef I Grid;
constexpr int32_t offset = 128;
static inline I set_int(int32_t x) { return {_mm512_set1_epi32(x)}; }
static inline X load_x(const int8_t* p) { return set_int(four_bytes(p)); }
static inline Code8 load_code8(const uint8_t* p) { return {_mm512_loadu_si512(p)}; }
static inline Grid load_grid(const uint8_t* p) {
    return {_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i*)p))};
}
static inline void load_code4(const uint8_t* p, Grid grid, Code4& low, Code4& high) {
    __m512i w = _mm512_loadu_si512(p), mask = _mm512_set1_epi8(15);
    low.v = _mm512_shuffle_epi8(grid.v, _mm512_and_si512(w, mask));
    high.v = _mm512_shuffle_epi8(grid.v, _mm512_and_si512(_mm512_srli_epi16(w, 4), mask));
}
static inline I dot(I sum, I w, X x) { return {_mm512_dpbusd_epi32(sum.v, w.v, x.v)}; }
typedef I Plain4;
static inline void load_plain4(const uint8_t* p, Plain4& low, Plain4& high) {
    __m512i w = _mm512_loadu_si512(p), mask = _mm512_set1_epi8(15);
    low.v = _mm512_and_si512(w, mask);
    high.v = _mm512_and_si512(_mm512_srli_epi16(w, 4), mask);
}
static inline I dot_plain(I sum, Plain4 w, X x) { return dot(sum, w, x); }
static inline V to_float(I a) { return {_mm512_cvtepi32_ps(a.v)}; }
static inline V load_halves(const uint16_t* p) { return {_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p))}; }
// V::N floats near -127..127 to bytes, to nearest even; -> the same as floats
static inline V round_to_bytes(V a, int8_t* out) {
    __m512i q = _mm512_cvtps_epi32(a.v);
    _mm_storeu_si128((__m128i*)out, _mm512_cvtepi32_epi8(q));
    return {_mm512_cvtepi32_ps(q)};
}

#elif defined(__AVX2__)

struct I {
    __m256i v;
};
typedef I X;
static inline I set_int(int32_t x) { return {_mm256_set1_epi32(x)}; }
static inline X load_x(const int8_t* p) { return set_int(four_bytes(p)); }
typedef I Grid;
static inline __m256i look_up(__m256i nibbles, Grid grid) {
    return _mm256_shuffle_epi8(grid.v, _mm256_and_si256(nibbles, _mm256_set1_epi8(15)));
}
#if defined(__AVXVNNI__)
typedef I Code8;
typedef I Code4;
constexpr int32_t offset = 128;
static inline Code8 load_code8(const uint8_t* p) { return {_mm256_loadu_si256((const __m256i*)p)}; }
static inline Grid load_grid(const uint8_t* p) {
    return {_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i*)p))};
}
static inline void load_code4(const uint8_t* p, Grid grid, Code4& low, Code4& high) {
    __m256i w = _mm256_loadu_si256((const __m256i*)p);
    low.v = look_up(w, grid);
    high.v = look_up(_mm256_srli_epi16(w, 4), grid);
}
static inline I dot(I sum, I w, X x) { return {_mm256_dpbusd_avx_epi32(sum.v, w.v, x.v)}; }
static inline I dot_plain(I sum, I w, X x) { return dot(sum, w, x); }
#else
// Two products are added in 16 bits there, which fits |w| * (sign of w) x for w -128..127 and x -127..127, but not codes
// up to 255.
struct Code8 {
    __m256i size, sign;
};
typedef Code8 Code4;
constexpr int32_t offset = 0;
static inline __m256i less_128(__m256i codes) { return _mm256_xor_si256(codes, _mm256_set1_epi8((char)0x80)); }
static inline Code8 load_code8(const uint8_t* p) {
    __m256i w = less_128(_mm256_loadu_si256((const __m256i*)p));
    return {_mm256_abs_epi8(w), w};
}
static inline Grid load_grid(const uint8_t* p) {
    return {less_128(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i*)p)))};
}
static inline void load_code4(const uint8_t* p, Grid grid, Code4& low, Code4& high) {
    __m256i w = _mm256_loadu_si256((const __m256i*)p);
    low.sign = look_up(w, grid);
    high.sign = look_up(_mm256_srli_epi16(w, 4), grid);
    low.size = _mm256_abs_epi8(low.sign);
    high.size = _mm256_abs_epi8(high.sign);
}
static inline I dot(I sum, Code8 w, X x) {
    __m256i pairs = _mm256_maddubs_epi16(w.size, _mm256_sign_epi8(x.v, w.sign));
    return {_mm256_add_epi32(sum.v, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))};
}
static inline I dot_plain(I sum, I w, X x) {  // codes up to 15 fit as they are
    __m256i pairs = _mm256_maddubs_epi16(w.v, x.v);
    return {_mm256_add_epi32(sum.v, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))};
}
#endif
typedef I Plain4;
static inline void load_plain4(const uint8_t* p, Plain4& low, Plain4& high) {
    __m256i w = _mm256_loadu_si256((const __m256i*)p), mask = _mm256_set1_epi8(15);
    low.v = _mm256_and_si256(w, mask);
    high.v = _mm256_and_si256(_mm256_srli_epi16(w, 4), mask);
}
static inline V to_float(I a) { return {_mm256_cvtepi32_ps(a.v)}; }
static inline V load_halves(const uint16_t* p) { return {_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p))}; }
static inline V round_to_bytes(V a, int8_t* out) {
    __m256i q = _mm256_cvtps_epi32(a.v);
    __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
    _mm_storel_epi64((__m128i*)out, _mm_packs_epi16(words, words));
    return {_mm256_cvtepi32_ps(q)};
}

#elif !defined(PONDER_NEON)

typedef int32_t Words __attribute__((vector_size(16)));
struct I {
    Words v;
};
typedef I Code8;
typedef I Code4;
struct Grid {
    uint8_t v[16];
};
constexpr int32_t offset = 128;
static inline I set_int(int32_t x) { return {Words{x, x, x, x}}; }
static inline Code8 load_code8(const uint8_t* p) {
    I r;
    memcpy(&r.v, p, 16);
    return r;
}
static inline Grid load_grid(const uint8_t* p) {
    Grid grid;
    memcpy(grid.v, p, 16);
    return grid;
}
static inline void load_code4(const uint8_t* p, const Grid& grid, Code4& low, Code4& high) {
    uint8_t codes[2][16];
    for (int i = 0; i < 16; i++) {
        codes[0][i] = grid.v[p[i] & 15];
        codes[1][i] = grid.v[p[i] >> 4];
    }
    memcpy(&low.v, codes[0], 16);
    memcpy(&high.v, codes[1], 16);
}
// Bytes 0 and 2, and 1 and 3, of each lane as 16-bit numbers: what x86-64 always has is a product of those (pmaddwd).
struct X {
    Words even, odd;
};
#if defined(__SSE2__)
typedef short Short8 __attribute__((vector_size(16)));
static inline X load_x(const int8_t* p) {
    auto pair = [](int a, int b) { return (a & 0xffff) | (int)((uint32_t)b << 16); };
    int even = pair(p[0], p[2]), odd = pair(p[1], p[3]);
    return {Words{even, even, even, even}, Words{odd, odd, odd, odd}};
}
static inline Words products(Words w, Words x) { return (Words)__builtin_ia32_pmaddwd128((Short8)w, (Short8)x); }
#else
static inline X load_x(const int8_t* p) {
    return {Words{p[0], p[0], p[2], p[2]}, Words{p[1], p[1], p[3], p[3]}};
}
static inline Words products(Words w, Words x) { return (w & 0xffff) * x[0] + (w >> 16) * x[2]; }
#endif
static inline I dot(I sum, I w, X x) {
    return {sum.v + products(w.v & 0x00ff00ff, x.even) + products(w.v >> 8 & 0x00ff00ff, x.odd)};
}
typedef I Plain4;
static inline void load_plain4(const uint8_t* p, Plain4& low, Plain4& high) {
    I w = load_code8(p);
    low.v = w.v & 0x0f0f0f0f;
    high.v = w.v >> 4 & 0x0f0f0f0f;
}
static inline I dot_plain(I sum, Plain4 w, X x) { return dot(sum, w, x); }
static inline V to_float(I a) { return {Float4{(float)a.v[0], (float)a.v[1], (float)a.v[2], (float)a.v[3]}}; }
static inline V load_halves(const uint16_t* p) {
    return {Float4{from_half(p[0]), from_half(p[1]), from_half(p[2]), from_half(p[3])}};
}
static inline V round_to_bytes(V a, int8_t* out) {
    V shifted = a + set(12582912.0f);  // 1.5 * 2^23: the low bits now hold the rounded number
    for (int i = 0; i < 4; i++) {
        uint32_t bits;
        float one = shifted.v[i];
        memcpy(&bits, &one, 4);
        out[i] = (int8_t)bits;
    }
    return shifted - set(12582912.0f);
}

#endif

}  // namespace ponder::PONDER_NS
