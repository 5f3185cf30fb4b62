// lanes.h with NEON: sums of four outputs, codes as signed bytes.
//
// Without dot products (`__ARM_FEATURE_DOTPROD`) four instructions stand for one: two products of bytes are added in 16
// bits, which fits for w -128..127 and x -127..127, then two such sums in 32.
#pragma once
#include "runtime/simd.h"

namespace ponder::PONDER_NS {

struct I {
    int32x4_t v;
};
struct X {
    int8x16_t v;
};
typedef X Code8;
typedef X Code4;
typedef X Plain4;
typedef X Grid;
constexpr int32_t offset = 0;
static inline I set_int(int32_t x) { return {vdupq_n_s32(x)}; }
static inline X load_x(const int8_t* p) {
    int32_t four;
    memcpy(&four, p, 4);
    return {vreinterpretq_s8_s32(vdupq_n_s32(four))};
}
static inline X less_128(uint8x16_t codes) { return {vreinterpretq_s8_u8(veorq_u8(codes, vdupq_n_u8(0x80)))}; }
static inline Code8 load_code8(const uint8_t* p) { return less_128(vld1q_u8(p)); }
static inline Grid load_grid(const uint8_t* p) { return less_128(vld1q_u8(p)); }
static inline void load_code4(const uint8_t* p, Grid grid, Code4& low, Code4& high) {
    uint8x16_t w = vld1q_u8(p);
    low.v = vqtbl1q_s8(grid.v, vandq_u8(w, vdupq_n_u8(15)));
    high.v = vqtbl1q_s8(grid.v, vshrq_n_u8(w, 4));
}
static inline void load_plain4(const uint8_t* p, Plain4& low, Plain4& high) {
    uint8x16_t w = vld1q_u8(p);
    low.v = vreinterpretq_s8_u8(vandq_u8(w, vdupq_n_u8(15)));
    high.v = vreinterpretq_s8_u8(vshrq_n_u8(w, 4));
}
#if defined(__ARM_FEATURE_DOTPROD)
static inline I dot(I sum, X w, X x) { return {vdotq_s32(sum.v, w.v, x.v)}; }
#else
static inline I dot(I sum, X w, X x) {
    int16x8_t low = vmull_s8(vget_low_s8(w.v), vget_low_s8(x.v)), high = vmull_high_s8(w.v, x.v);
    return {vpadalq_s16(sum.v, vpaddq_s16(low, high))};
}
#endif
static inline I dot_plain(I sum, X w, X x) { return dot(sum, w, x); }
static inline V to_float(I a) { return {vcvtq_f32_s32(a.v)}; }
static inline V load_halves(const uint16_t* p) { return {vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)))}; }
static inline V round_to_bytes(V a, int8_t* out) {
    int32x4_t q = vcvtnq_s32_f32(a.v);
    int16x4_t words = vmovn_s32(q);
    int32_t four = vget_lane_s32(vreinterpret_s32_s8(vmovn_s16(vcombine_s16(words, words))), 0);
    memcpy(out, &four, 4);
    return {vcvtq_f32_s32(q)};
}

}  // namespace ponder::PONDER_NS
