// `V` of simd.h with NEON, which every 64-bit ARM CPU has: four floats, 32 registers.
#pragma once
#include <arm_neon.h>

#include <cstdint>
#include <cstring>

namespace ponder::PONDER_NS {

struct V {
    static constexpr int N = 4, registers = 32;
    float32x4_t v;
};
static inline V zero() { return {vdupq_n_f32(0)}; }
static inline V set(float x) { return {vdupq_n_f32(x)}; }
static inline V load(const float* p) { return {vld1q_f32(p)}; }
static inline void store(float* p, V a) { vst1q_f32(p, a.v); }
static inline V load(const float* p, int64_t n) {
    if (n >= 4) return load(p);
    float32x4_t v = vdupq_n_f32(0);
    if (n > 0) v = vsetq_lane_f32(p[0], v, 0);
    if (n > 1) v = vsetq_lane_f32(p[1], v, 1);
    if (n > 2) v = vsetq_lane_f32(p[2], v, 2);
    return {v};
}
static inline void store(float* p, V a, int64_t n) {
    if (n >= 4) return store(p, a);
    if (n > 0) p[0] = vgetq_lane_f32(a.v, 0);
    if (n > 1) p[1] = vgetq_lane_f32(a.v, 1);
    if (n > 2) p[2] = vgetq_lane_f32(a.v, 2);
}
static inline V fma(V a, V b, V c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
static inline V operator*(V a, V b) { return {vmulq_f32(a.v, b.v)}; }
static inline V operator+(V a, V b) { return {vaddq_f32(a.v, b.v)}; }
static inline V operator-(V a, V b) { return {vsubq_f32(a.v, b.v)}; }
static inline V operator/(V a, V b) { return {vdivq_f32(a.v, b.v)}; }
static inline V max(V a, V b) { return {vbslq_f32(vcgtq_f32(a.v, b.v), a.v, b.v)}; }  // fmax would keep a NaN of a
static inline V min(V a, V b) { return {vbslq_f32(vcltq_f32(a.v, b.v), a.v, b.v)}; }
static inline V abs(V a) { return {vabsq_f32(a.v)}; }
static inline V scale2(V a, V shifted) {
    uint32x4_t n = vshlq_n_u32(vreinterpretq_u32_f32(shifted.v), 23);
    return {vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(a.v), n))};
}
static inline V widen(const uint16_t* p) { return {vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16))}; }
static inline void widen_pairs(const uint16_t* p, V& even, V& odd) {
    uint32x4_t w = vreinterpretq_u32_u16(vld1q_u16(p));
    even.v = vreinterpretq_f32_u32(vshlq_n_u32(w, 16));
    odd.v = vreinterpretq_f32_u32(vandq_u32(w, vdupq_n_u32(0xffff0000)));
}
static inline void narrow(V a, uint16_t* p) {
    uint32x4_t bits = vreinterpretq_u32_f32(a.v), odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    uint32x4_t near = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    near = vbslq_u32(vceqq_f32(a.v, a.v), near, vdupq_n_u32(0x7fc00000));
    vst1_u16(p, vshrn_n_u32(near, 16));
}
static inline void sum4(V a, V b, V c, V d, float* out) {
    vst1q_f32(out, vpaddq_f32(vpaddq_f32(a.v, b.v), vpaddq_f32(c.v, d.v)));
}
static inline float largest(V a) { return vmaxvq_f32(a.v); }

}  // namespace ponder::PONDER_NS
