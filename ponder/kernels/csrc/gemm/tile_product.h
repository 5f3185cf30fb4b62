// The product inside attention: rows of queries (or of softmax weights) times cache matrices of 32 lanes (kv.h).
//
// A `Dot` says how a lane of four bytes is multiplied: one float, two bf16, or four bytes into an integer. An output is
// summed along the steps in order, in one accumulator, whatever the number of rows at a time (DT-1); integer sums are
// exact. With AMX bf16 always goes through tiles (amx_product.h), whose order of sums is their own, and integers do when
// there are many rows.
#pragma once
#include "runtime/kernels.h"
#include "runtime/simd.h"
#if defined(__AMX_INT8__)
#include "gemm/amx.h"
#elif defined(PONDER_NEON)
#include "gemm/tile_product_neon.h"
#endif

namespace ponder::PONDER_NS {

// Vectors of 32-bit integers, as many as V has floats.
#if defined(__AVX512F__)
struct I {
    __m512i v;
};
static inline I load_ints(const void* p) { return {_mm512_loadu_si512(p)}; }
static inline I set_ints(int32_t x) { return {_mm512_set1_epi32(x)}; }
static inline void store(int32_t* p, I a) { _mm512_storeu_si512(p, a.v); }
static inline I operator+(I a, I b) { return {_mm512_add_epi32(a.v, b.v)}; }
static inline I times256(I a) { return {_mm512_slli_epi32(a.v, 8)}; }
static inline V to_float(I a) { return {_mm512_cvtepi32_ps(a.v)}; }
static inline I dot4(I sum, I bytes, I signed_bytes) { return {_mm512_dpbusd_epi32(sum.v, bytes.v, signed_bytes.v)}; }
constexpr int max_rows = 12;  // 2 vectors of lanes each: 24 of 32 registers
#elif defined(__AVX2__)
struct I {
    __m256i v;
};
static inline I load_ints(const void* p) { return {_mm256_loadu_si256((const __m256i*)p)}; }
static inline I set_ints(int32_t x) { return {_mm256_set1_epi32(x)}; }
static inline void store(int32_t* p, I a) { _mm256_storeu_si256((__m256i*)p, a.v); }
static inline I operator+(I a, I b) { return {_mm256_add_epi32(a.v, b.v)}; }
static inline I times256(I a) { return {_mm256_slli_epi32(a.v, 8)}; }
static inline V to_float(I a) { return {_mm256_cvtepi32_ps(a.v)}; }
#if defined(__AVXVNNI__)
static inline I dot4(I sum, I bytes, I signed_bytes) {
    return {_mm256_dpbusd_avx_epi32(sum.v, bytes.v, signed_bytes.v)};
}
#else
// Two products of bytes may not fit 16 bits, so even and odd bytes apart.
static inline I dot4(I sum, I bytes, I signed_bytes) {
    __m256i low = _mm256_set1_epi16(0xff), ones = _mm256_set1_epi16(1);
    __m256i even = _mm256_maddubs_epi16(_mm256_and_si256(bytes.v, low), signed_bytes.v);
    __m256i odd = _mm256_maddubs_epi16(_mm256_andnot_si256(low, bytes.v), signed_bytes.v);
    __m256i both = _mm256_add_epi32(_mm256_madd_epi16(even, ones), _mm256_madd_epi16(odd, ones));
    return {_mm256_add_epi32(sum.v, both)};
}
#endif
constexpr int max_rows = 4;
#elif !defined(PONDER_NEON)
typedef int32_t Ints4 __attribute__((vector_size(16)));
struct I {
    Ints4 v;
};
static inline I load_ints(const void* p) {
    I r;
    memcpy(&r.v, p, 16);
    return r;
}
static inline I set_ints(int32_t x) { return {Ints4{x, x, x, x}}; }
static inline void store(int32_t* p, I a) { memcpy(p, &a.v, 16); }
static inline I operator+(I a, I b) { return {a.v + b.v}; }
static inline I times256(I a) { return {a.v << 8}; }
static inline V to_float(I a) { return {Float4{(float)a.v[0], (float)a.v[1], (float)a.v[2], (float)a.v[3]}}; }
static inline I dot4(I sum, I bytes, I signed_bytes) {
    for (int i = 0; i < 4; i++) {
        Ints4 u = bytes.v >> 8 * i & 255, s = signed_bytes.v << (24 - 8 * i) >> 24;
        sum.v += u * s;
    }
    return sum;
}
constexpr int max_rows = 4;
#endif
#if !defined(PONDER_NEON)
constexpr int32_t key_offset = 128;  // what load_ints of keys leaves on them
#endif

template <class T>
static inline T read(const char* p) {
    T x;
    memcpy(&x, p, sizeof(T));
    return x;
}

struct DotF32 {
    static constexpr bool integers = false;
    static constexpr int64_t value_bytes = 4;
    typedef V Sum;
    typedef V Lanes;  // of the matrix: one vector of lanes
    typedef V Row;    // of a row: one step, the same in every lane
    static constexpr int64_t row_step = 4;  // bytes of a row that one step takes
    static Sum start() { return zero(); }
    static Sum load_sum(const char* p) { return load((const float*)p); }
    static Lanes lanes(const char* p) { return load((const float*)p); }
    static Row row(const char* p) { return set(read<float>(p)); }
    static Sum add(Sum sum, const Lanes& b, const Row& a) { return fma(a, b, sum); }
};

#if defined(__AVX512BF16__)
constexpr bool bf16_products = true;  // rows are rounded to bf16; else they stay float and the matrix is widened
struct DotBf16 {
    static constexpr bool integers = false;
    static constexpr int64_t value_bytes = 2;
    typedef V Sum;
    typedef __m512i Lanes;
    typedef __m512i Row;
    static constexpr int64_t row_step = 4;
    static Sum start() { return zero(); }
    static Sum load_sum(const char* p) { return load((const float*)p); }
    static Lanes lanes(const char* p) { return _mm512_loadu_si512(p); }
    static Row row(const char* p) { return _mm512_set1_epi32(read<int32_t>(p)); }
    static Sum add(Sum sum, const Lanes& b, const Row& a) {
        return {_mm512_dpbf16_ps(sum.v, (__m512bh)a, (__m512bh)b)};
    }
#if defined(__AMX_BF16__)
    template <int C, int A, int B>
    static void multiply() {
        multiply_bf16<C, A, B>();
    }
#endif
};
#elif !defined(PONDER_NEON) || !defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
constexpr bool bf16_products = false;
struct DotBf16 {
    static constexpr bool integers = false;
    static constexpr int64_t value_bytes = 2;
    typedef V Sum;
    struct Lanes {
        V first, second;
    };
    typedef Lanes Row;
    static constexpr int64_t row_step = 8;
    static Sum start() { return zero(); }
    static Sum load_sum(const char* p) { return load((const float*)p); }
    static Lanes lanes(const char* p) {
        Lanes pair;
        widen_pairs((const uint16_t*)p, pair.first, pair.second);
        return pair;
    }
    static Row row(const char* p) { return {set(read<float>(p)), set(read<float>(p + 4))}; }
    static Sum add(Sum sum, const Lanes& b, const Row& a) {
        return fma(a.second, b.second, fma(a.first, b.first, sum));
    }
};
#endif

#if !defined(PONDER_NEON)
struct DotKeys {  // matrix: key + 128, rows: int8
    static constexpr bool integers = true;
    static constexpr int64_t value_bytes = 1;
    typedef I Sum;
    typedef I Lanes;
    typedef I Row;
    static constexpr int64_t row_step = 4;
    static Sum start() { return set_ints(0); }
    static Sum load_sum(const char* p) { return load_ints(p); }
    static Lanes lanes(const char* p) { return load_ints(p); }
    static Row row(const char* p) { return set_ints(read<int32_t>(p)); }
    static Sum add(Sum sum, const Lanes& b, const Row& a) { return dot4(sum, b, a); }
#if defined(__AMX_INT8__)
    template <int C, int A, int B>
    static void multiply() {
        multiply_signed_unsigned<C, A, B>();
    }
#endif
};

struct DotValues : DotKeys {  // matrix: int8, rows: uint8
    static Sum add(Sum sum, const Lanes& b, const Row& a) { return dot4(sum, a, b); }
#if defined(__AMX_INT8__)
    template <int C, int A, int B>
    static void multiply() {
        multiply_unsigned_signed<C, A, B>();
    }
#endif
};
#endif

static inline void store(void* p, V a) { store((float*)p, a); }
static inline void store(void* p, I a) { store((int32_t*)p, a); }

// What to multiply: `steps` rows of lanes in all, `per` in each of the matrices, which begin at `offset` of a tile. ahead:
// null, or a place for each matrix that memory is asked for meanwhile, as many bytes. more: add to what is there.
struct Matrices {
    const char* const* tiles;
    const char* const* ahead;
    int64_t offset, per, steps;
    bool more;
};

}  // namespace ponder::PONDER_NS

#if defined(__AMX_INT8__)
#include "gemm/amx_product.h"
#endif

namespace ponder::PONDER_NS {

// Q rows times 32 lanes. Numbers of bytes are those from one row to the next.
template <class Dot, int Q, bool Ahead>
static inline void product_rows(const char* rows, int64_t row_bytes, const Matrices& b, char* out, int64_t out_bytes) {
    for (int64_t at = 0; at < lane_row; at += 8 * V::N) {  // two vectors of lanes at a time
        typename Dot::Sum sums[Q][2];
        for (int q = 0; q < Q; q++)
            for (int i = 0; i < 2; i++)
                sums[q][i] = b.more ? Dot::load_sum(out + q * out_bytes + at + i * 4 * V::N) : Dot::start();
        const char* row = rows;
        for (int64_t left = b.steps, i = 0; left > 0; left -= b.per, i++) {
            const char *m = b.tiles[i] + b.offset + at, *ahead = Ahead ? b.ahead[i] + at : nullptr;
            for (int64_t s = 0; s < (left < b.per ? left : b.per); s++, m += lane_row, row += Dot::row_step) {
                if (Ahead) {
                    for (int64_t line = 0; line < 8 * V::N; line += 64) __builtin_prefetch(ahead + line);
                    ahead += lane_row;
                }
                typename Dot::Lanes first = Dot::lanes(m), second = Dot::lanes(m + 4 * V::N);
                for (int q = 0; q < Q; q++) {
                    typename Dot::Row a = Dot::row(row + q * row_bytes);
                    sums[q][0] = Dot::add(sums[q][0], first, a);
                    sums[q][1] = Dot::add(sums[q][1], second, a);
                }
            }
        }
        for (int q = 0; q < Q; q++) {
            store((void*)(out + q * out_bytes + at), sums[q][0]);
            store((void*)(out + q * out_bytes + at + 4 * V::N), sums[q][1]);
        }
    }
}

// out[i][0..32) = rows[i] times the matrices
template <class Dot>
static void product(const char* rows, int64_t count, int64_t row_bytes, const Matrices& b, char* out, int64_t out_bytes) {
#if defined(__AMX_INT8__)
    if constexpr (Dot::value_bytes < 4)
        if (!Dot::integers || count > max_rows) return product_by_tiles<Dot>(rows, count, row_bytes, b, out, out_bytes);
#endif
    int64_t i = 0;
#define ROWS(Q)                                                                                                        \
    for (; i + Q <= count; i += Q)                                                                                     \
        if (i == 0 && b.ahead) product_rows<Dot, Q, true>(rows, row_bytes, b, out, out_bytes);                         \
        else product_rows<Dot, Q, false>(rows + i * row_bytes, row_bytes, b, out + i * out_bytes, out_bytes);
    ROWS(max_rows)
    if (max_rows > 8) ROWS(8)
    if (max_rows > 4) ROWS(4)
    ROWS(2)
    ROWS(1)
#undef ROWS
}

}  // namespace ponder::PONDER_NS
