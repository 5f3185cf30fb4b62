// Normal random numbers for untrained weights: a hash of the position, then Box-Muller. Compiled per instruction set, and
// equal on all of them: only operations that round exactly, none contracted.
#include "runtime/kernels.h"
#include "runtime/simd.h"

namespace ponder::PONDER_NS {

static inline uint32_t mix(uint32_t x) {  // Chris Wellons' lowbias32: every input bit changes every output bit
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}

// ln x, x > 0 and normal (Cephes logf)
static inline float ln(float x) {
    int32_t bits;
    memcpy(&bits, &x, 4);
    int32_t exponent = (bits - 0x3f3504f3) >> 23;  // x = m * 2^exponent, m between sqrt(1/2) and sqrt(2)
    bits -= exponent * (1 << 23);
    float m, e = (float)exponent;
    memcpy(&m, &bits, 4);
    float f = m - 1.0f, z = f * f, p = 7.0376836292e-2f;
    p = p * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    return (f + (p * f * z - e * 2.12194440e-4f - 0.5f * z)) + e * 0.693359375f;
}

// n numbers of mean 0 and deviation `spread`; the keys name the sequence. At most 5.8 deviations from 0.
void normal(uint32_t key0, uint32_t key1, uint32_t key2, float spread, int64_t n, float* out) {
    constexpr int half = 64;
    for (int64_t start = 0; start < n; start += 2 * half) {
        float pair[2 * half];
        for (int i = 0; i < half; i++) {
            uint32_t at = mix((uint32_t)start / 2 + (uint32_t)i + key0), a = mix(at ^ key1), b = mix(at + key2);
            float u = ((float)(int32_t)(a >> 8) + 1.0f) * 5.9604644775390625e-8f;  // in (0, 1]
            float radius = spread * __builtin_sqrtf(-2.0f * ln(u));
            // an angle between -45 and 45 degrees, its sine and cosine (Cephes), then one of four quarters
            float x = ((float)(int32_t)(b >> 8) * 5.9604644775390625e-8f - 0.5f) * 1.57079632679f, z = x * x;
            float s = x + x * z * (-1.6666654611e-1f + z * (8.3321608736e-3f - z * 1.9515295891e-4f));
            float c = 1.0f - 0.5f * z +
                      z * z * (4.166664568298827e-2f + z * (-1.388731625493765e-3f + z * 2.443315711809948e-5f));
            radius = radius * (float)(1 - (int32_t)(b & 2));
            pair[i] = radius * (b & 1 ? s : c);
            pair[half + i] = radius * (b & 1 ? c : s);
        }
        memcpy(out + start, pair, 4 * (size_t)(n - start < 2 * half ? n - start : 2 * half));
    }
}

}  // namespace ponder::PONDER_NS
