// int8 and int4 weights with any group size in plain C++: the scalar path, and the vector paths' answer to groups
// other than 32. Activations are quantised per token and group to int8; dot products of a group are exact integers.
#include <cmath>
#include <cstring>

#include "half.h"
#include "kernels.h"

namespace ponder {

// A packed row: float scale [k/group], then int8 q [k].
int64_t packed_bytes_grouped(const Matrix& w) { return w.k / w.group * 4 + w.k; }

void pack_grouped(const Matrix& w, const float* x, void* packed) {
    int64_t groups = w.k / w.group;
    float* scale = (float*)packed;
    int8_t* q = (int8_t*)(scale + groups);
    for (int64_t g = 0; g < groups; g++) {
        const float* xs = x + g * w.group;
        float largest = 0, bad = 0;  // bad: NaN when a value is not finite, and then so is the result
        for (int64_t i = 0; i < w.group; i++) {
            largest = std::fabs(xs[i]) > largest ? std::fabs(xs[i]) : largest;
            bad += xs[i] * 0.0f;
        }
        float inverse = largest > smallest_activation ? 127.0f / largest : 0.0f;
        scale[g] = largest * (1.0f / 127.0f) + bad;
        for (int64_t i = 0; i < w.group; i++)
            q[g * w.group + i] = bad == 0 ? (int8_t)(int)std::nearbyint(xs[i] * inverse) : 0;
    }
}

static int32_t dot_int8(const int8_t* w, const int8_t* x, int64_t n) {
    int32_t sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (int32_t)w[i] * x[i];
    return sum;
}

static int32_t dot_int4(const uint8_t* w, const int8_t* x, int64_t n) {
    int32_t sum = 0;
    for (int64_t i = 0; i < n / 2; i++)
        sum += ((int32_t)(w[i] & 15) - 8) * x[i] + ((int32_t)(w[i] >> 4) - 8) * x[i + n / 2];
    return sum;
}

void linear_grouped(const Matrix& w, int64_t n0, int64_t n1, const void* const* x, int64_t tokens, float* const* y,
                    const float* bias) {
    int64_t groups = w.k / w.group;
    for (int64_t n = n0; n < n1; n++)
        for (int64_t t = 0; t < tokens; t++) {
            const float* x_scale = (const float*)x[t];
            const int8_t* q = (const int8_t*)(x_scale + groups);
            float sum = 0;
            for (int64_t g = 0; g < groups; g++, q += w.group) {
                int64_t at = n * w.k + g * w.group;
                int32_t dot = w.kind == Kind::int8 ? dot_int8((const int8_t*)w.data + at, q, w.group)
                                                   : dot_int4((const uint8_t*)w.data + at / 2, q, w.group);
                sum += (float)dot * (from_half(w.scale[n * groups + g]) * x_scale[g]);
            }
            y[t][n] = bias ? sum + bias[n] : sum;
        }
}

}  // namespace ponder
