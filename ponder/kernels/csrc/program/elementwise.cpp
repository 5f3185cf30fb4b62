// Norm, rotation, activation and conversions of one row. Compiled per instruction set.
#include "runtime/kernels.h"
#include "runtime/simd.h"

namespace ponder::PONDER_NS {

void to_bf16(const float* x, uint16_t* out, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, 4);
        uint32_t nearest_even = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
        bool nan = (bits & 0x7fffffff) > 0x7f800000;
        out[i] = (uint16_t)(nan ? (bits >> 16) | 0x40 : nearest_even);
    }
}

void rms_norm(const float* x, const float* weight, float eps, int64_t n, float* out) {
    int64_t full = n / V::N * V::N;
    V squares = zero();
    for (int64_t i = 0; i < full; i += V::N) squares = fma(load(x + i), load(x + i), squares);
    if (full < n) {
        V tail = load(x + full, n - full);
        squares = fma(tail, tail, squares);
    }
    V scale = set(1.0f / __builtin_sqrtf(sum(squares) / (float)n + eps));
    for (int64_t i = 0; i < full; i += V::N) store(out + i, load(x + i) * scale * load(weight + i));
    if (full < n) store(out + full, load(x + full, n - full) * scale * load(weight + full, n - full), n - full);
}

void rope(const float* x, const float* cos, const float* sin, int64_t c, float* out) {
    int64_t half = c / 2;
    for (int64_t i = 0; i < half; i += V::N) {
        int64_t n = half - i < V::N ? half - i : V::N;
        V a = load(x + i, n), b = load(x + half + i, n), co = load(cos + i, n), si = load(sin + i, n);
        store(out + i, a * co - b * si, n);
        store(out + half + i, b * co + a * si, n);
    }
}

void swiglu(const float* gate, const float* up, int64_t n, float* out) {
    for (int64_t i = 0; i < n; i += V::N) {
        int64_t m = n - i < V::N ? n - i : V::N;
        V g = max(set(-1e4f), load(gate + i, m));  // exp stops at e^88; below -1e4 the result is 0 to 34 digits
        store(out + i, g / (set(1.0f) + exp(zero() - g)) * load(up + i, m), m);
    }
}

void add_scaled(const float* x, float scale, int64_t n, float* out) {
    for (int64_t i = 0; i < n; i += V::N) {
        int64_t m = n - i < V::N ? n - i : V::N;
        store(out + i, fma(load(x + i, m), set(scale), load(out + i, m)), m);
    }
}

#define KERNEL(result, name, arguments) result name arguments;
#include "runtime/kernel_list.h"
#undef KERNEL

static const Kernels table = {
    PONDER_NAME,
#define KERNEL(result, name, arguments) name,
#include "runtime/kernel_list.h"
#undef KERNEL
};

}  // namespace ponder::PONDER_NS

namespace ponder {
#define PONDER_JOIN_(a, b) a##b
#define PONDER_JOIN(a, b) PONDER_JOIN_(a, b)
const Kernels& PONDER_JOIN(kernels_, PONDER_NS)() { return PONDER_NS::table; }
}  // namespace ponder
