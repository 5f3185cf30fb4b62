// The integer products of tile_product.h with NEON, and bf16's where the CPU has them. Bytes are multiplied signed, so
// what is stored as value + 128 loses it here.
#pragma once
#include "runtime/simd.h"

namespace ponder::PONDER_NS {

struct I {
    int32x4_t v;
};
static inline I load_ints(const void* p) { return {vreinterpretq_s32_u8(vld1q_u8((const uint8_t*)p))}; }
static inline I set_ints(int32_t x) { return {vdupq_n_s32(x)}; }
static inline void store(int32_t* p, I a) { vst1q_s32(p, a.v); }
static inline I operator+(I a, I b) { return {vaddq_s32(a.v, b.v)}; }
static inline I times256(I a) { return {vshlq_n_s32(a.v, 8)}; }
static inline V to_float(I a) { return {vcvtq_f32_s32(a.v)}; }
constexpr int max_rows = 12;  // 2 vectors of lanes each: 24 of 32 registers
constexpr int32_t key_offset = 0;

static inline int8x16_t bytes_of(I a) { return vreinterpretq_s8_s32(a.v); }
static inline I less_128(I bytes) { return {veorq_s32(bytes.v, vdupq_n_s32((int32_t)0x80808080))}; }
// For any bytes: unused places of a cache may hold -128, whose products by themselves do not fit 16 bits in pairs.
static inline int32x4_t dot4(int32x4_t sum, int8x16_t a, int8x16_t b) {
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(sum, a, b);
#else
    int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b)), high = vmull_high_s8(a, b);
    return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
#endif
}

template <class T>
static inline T read(const char* p);

struct DotKeys {  // matrix: key + 128, rows: int8
    static constexpr bool integers = true;
    static constexpr int64_t value_bytes = 1;
    typedef I Sum;
    typedef I Lanes;
    typedef I Row;
    static constexpr int64_t row_step = 4;
    static Sum start() { return set_ints(0); }
    static Sum load_sum(const char* p) { return load_ints(p); }
    static Lanes lanes(const char* p) { return less_128(load_ints(p)); }
    static Row row(const char* p) { return set_ints(read<int32_t>(p)); }
    static Sum add(Sum sum, const Lanes& b, const Row& a) { return {dot4(sum.v, bytes_of(b), bytes_of(a))}; }
};

struct DotValues : DotKeys {  // matrix: int8, rows: uint8
    struct Lanes {
        I bytes, times128;  // four values, and 128 times their sum, which a row less 128 lacks
    };
    static Lanes lanes(const char* p) {
        I bytes = load_ints(p);
        int8x16_t ones = vdupq_n_s8(1);
        return {bytes, {vshlq_n_s32(dot4(vdupq_n_s32(0), bytes_of(bytes), ones), 7)}};
    }
    static Row row(const char* p) { return less_128(DotKeys::row(p)); }
    static Sum add(Sum sum, const Lanes& b, const Row& a) {
        return {dot4(vaddq_s32(sum.v, b.times128.v), bytes_of(b.bytes), bytes_of(a))};
    }
};

#if defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
constexpr bool bf16_products = true;
struct DotBf16 {
    static constexpr bool integers = false;
    static constexpr int64_t value_bytes = 2;
    typedef V Sum;
    typedef bfloat16x8_t Lanes;
    typedef bfloat16x8_t Row;
    static constexpr int64_t row_step = 4;
    static Sum start() { return zero(); }
    static Sum load_sum(const char* p) { return load((const float*)p); }
    static Lanes lanes(const char* p) { return vreinterpretq_bf16_s32(load_ints(p).v); }
    static Row row(const char* p) { return vreinterpretq_bf16_s32(vdupq_n_s32(read<int32_t>(p))); }
    static Sum add(Sum sum, const Lanes& b, const Row& a) { return {vbfdotq_f32(sum.v, b, a)}; }
};
#endif

}  // namespace ponder::PONDER_NS
