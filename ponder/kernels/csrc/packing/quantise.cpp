// Floats of a row to int8 in groups, bit-equal to Tensor.quantise (tensor.py). Compiled per instruction set.
#include "packing/half.h"
#include "runtime/kernels.h"
#include "runtime/simd.h"

namespace ponder::PONDER_NS {

// rint(limited(x / step)) as bytes, n <= 32. Adding 1.5 * 2^23 rounds to nearest even and leaves the integer, in two's
// complement, in the low bits.
static inline void round_bytes(const float* x, int64_t n, float step, uint8_t* out) {
    float rounded[32];
    for (int64_t i = 0; i < n; i += V::N) {
        int64_t m = n - i < V::N ? n - i : V::N;
        V q = (m == V::N ? load(x + i) : load(x + i, m)) / set(step);
        store(rounded + i, min(max(q, set(-127.0f)), set(127.0f)) + set(12582912.0f));
    }
    uint32_t bits[32];
    memcpy(bits, rounded, sizeof bits);
    for (int64_t i = 0; i < n; i++) out[i] = (uint8_t)bits[i];
}

// The scale of a group as float16 bits; flags otherwise.
static inline int scale_of(const float* x, int64_t n, uint16_t& scale) {
    V most = zero(), bad = zero();  // bad: NaN when a value is not finite
    for (int64_t i = 0; i < n; i += V::N) {
        V v = n - i < V::N ? load(x + i, n - i) : load(x + i);
        most = max(abs(v), most);
        bad = fma(v, zero(), bad);
    }
    if (!(sum(bad) == 0)) return bad_not_finite;
    float value = largest(most) / 127.0f;
    if (value > 65504.0f) return bad_too_large;
    scale = to_half(value);
    return 0;
}

static inline __attribute__((always_inline)) int quantise_groups(const float* x, int64_t k, int64_t group,
                                                                 uint8_t* data, uint16_t* scale) {
    int flags = 0;
    for (int64_t g = 0; g < k / group; g++, x += group, data += group) {
        if (int bad = scale_of(x, group, scale[g])) {
            flags |= bad;
            continue;
        }
        float step = from_half(scale[g]);
        if (step == 0) memset(data, 0, (size_t)group);
        else
            for (int64_t at = 0; at < group; at += 32)
                round_bytes(x + at, group - at < 32 ? group - at : 32, step, data + at);
    }
    return flags;
}

int quantise(const float* x, int64_t k, int64_t group, uint8_t* data, uint16_t* scale) {
    return group == 32 ? quantise_groups(x, k, 32, data, scale) : quantise_groups(x, k, group, data, scale);
}

}  // namespace ponder::PONDER_NS
