// The passes over a whole row of logits that drawing an id needs. Compiled per instruction set; the same bits on each.
#include "runtime/kernels.h"
#include "runtime/simd.h"

namespace ponder::PONDER_NS {

bool maxima(const float* x, int64_t n, float* out) {
    bool numbers = true;
    for (int64_t start = 0; start < n; start += maxima_group) {
        int64_t end = start + maxima_group < n ? start + maxima_group : n, i = start;
        V best = set(-__builtin_inff()), strange = zero();  // x - x is 0, or not a number for infinities and NaN
        for (; i + V::N <= end; i += V::N) {
            V v = load(x + i);
            best = max(v, best);  // a NaN leaves `best` as it is
            strange = strange + max(zero(), v) * zero();
        }
        float top = largest(best), odd = sum(strange);
        for (; i < end; i++) {
            if (x[i] > top) top = x[i];
            numbers = numbers && x[i] < __builtin_inff();  // not of NaN either
        }
        out[start / maxima_group] = top;
        numbers = numbers && odd == odd;
    }
    return numbers;
}

// e^x for x <= 0 in double, within 2 units of the last place; 0 below e^-708.
static inline double exp_down(double x) {
    double shifted = x * 1.4426950408889634 + 6755399441055744.0;  // 1.5 * 2^52: the low bits now hold round(x / ln 2)
    double n = shifted - 6755399441055744.0;
    double r = x - n * 0.693147180369123816490;  // ln 2 in two parts, the first exact in few bits
    r = r - n * 1.90821492927058770002e-10;
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    uint64_t bits, exponent;
    memcpy(&bits, &p, 8);
    memcpy(&exponent, &shifted, 8);
    bits += exponent << 52;
    memcpy(&p, &bits, 8);
    return p;
}

void weights(const float* x, int64_t n, double peak, double temperature, double* out) {
    for (int64_t i = 0; i < n; i++) {
        double e = ((double)x[i] - peak) / temperature;
        double clamped = e > -708.0 ? e : -708.0;
        double w = exp_down(clamped);
        out[i] = e > -708.0 ? w : 0.0;
    }
}

void forbid(float* x, const uint8_t* allowed, int64_t n) {
    const float never = -__builtin_inff();
    int64_t i = 0;
#if defined(__AVX512F__)
    for (; i + 16 <= n; i += 16) {
        uint16_t bits;
        memcpy(&bits, allowed + i / 8, 2);
        _mm512_storeu_ps(x + i, _mm512_mask_loadu_ps(_mm512_set1_ps(never), bits, x + i));
    }
#endif
    for (; i < n; i++) x[i] = allowed[i / 8] >> (i % 8) & 1 ? x[i] : never;
}

}  // namespace ponder::PONDER_NS
