// Floats of a row to int8 or int4 in groups, bit-equal to Tensor.quantise (tensor.py). Compiled per instruction set.
#include "half.h"
#include "kernels.h"
#include "simd.h"

namespace ponder::PONDER_NS {

// rint(limited(x / step)) + offset as bytes, n <= 32. Adding 1.5 * 2^23 rounds to nearest even and leaves the integer,
// in two's complement, in the low bits.
static inline void round_bytes(const float* x, int64_t n, float step, float low, float high, int offset, uint8_t* out) {
    float rounded[32];
    for (int64_t i = 0; i < n; i += V::N) {
        int64_t m = n - i < V::N ? n - i : V::N;
        V q = (m == V::N ? load(x + i) : load(x + i, m)) / set(step);
        store(rounded + i, min(max(q, set(low)), set(high)) + set(12582912.0f));
    }
    uint32_t bits[32];
    memcpy(bits, rounded, sizeof bits);
    for (int64_t i = 0; i < n; i++) out[i] = (uint8_t)(bits[i] + offset);
}

// The scale of a group as float16 bits; flags otherwise. int4 lets the first largest value hit -8.
static inline int scale_of(const float* x, int64_t n, bool four, uint16_t& scale) {
    V most = zero(), least = zero(), bad = zero();  // bad: NaN when a value is not finite
    for (int64_t i = 0; i < n; i += V::N) {
        V v = n - i < V::N ? load(x + i, n - i) : load(x + i);
        most = max(v, most);
        least = max(zero() - v, least);
        bad = fma(v, zero(), bad);
    }
    if (!(sum(bad) == 0)) return bad_not_finite;
    float top = largest(most), bottom = largest(least), value = (top > bottom ? top : bottom) / 127.0f;
    if (four) {
        value = top > bottom ? top : -bottom;
        if (top == bottom) {
            int64_t first = 0;
            while (__builtin_fabsf(x[first]) != top) first++;
            value = x[first];
        }
        value = value / -8.0f;
    }
    if (__builtin_fabsf(value) > 65504.0f) return bad_too_large;
    scale = to_half(value);
    return 0;
}

static inline __attribute__((always_inline)) int quantise_groups(const float* x, int64_t k, bool four, int64_t group,
                                                                 uint8_t* data, uint16_t* scale) {
    int flags = 0;
    int64_t run = four ? group / 2 : group;  // int4: the low nibbles' values, then the high ones'
    for (int64_t g = 0; g < k / group; g++, x += group, data += run) {
        if (int bad = scale_of(x, group, four, scale[g])) {
            flags |= bad;
            continue;
        }
        float step = from_half(scale[g]);
        if (step == 0) {
            memset(data, four ? 0x88 : 0, (size_t)run);
            continue;
        }
        for (int64_t at = 0; at < run; at += 32) {
            int64_t n = run - at < 32 ? run - at : 32;
            if (!four) {
                round_bytes(x + at, n, step, -127.0f, 127.0f, 0, data + at);
                continue;
            }
            uint8_t low[32], high[32];
            round_bytes(x + at, n, step, -8.0f, 7.0f, 8, low);
            round_bytes(x + run + at, n, step, -8.0f, 7.0f, 8, high);
            for (int64_t i = 0; i < n; i++) data[at + i] = (uint8_t)(low[i] | high[i] << 4);
        }
    }
    return flags;
}

int quantise(const float* x, int64_t k, Kind kind, int64_t group, uint8_t* data, uint16_t* scale) {
    bool four = kind == Kind::int4;
    if (group != 32) return quantise_groups(x, k, four, group, data, scale);
    return four ? quantise_groups(x, k, true, 32, data, scale) : quantise_groups(x, k, false, 32, data, scale);
}

}  // namespace ponder::PONDER_NS
