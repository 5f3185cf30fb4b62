// Rows of a training step: norm, rotation, activation and loss, forward and back. Compiled per instruction set.
#include "runtime/kernels.h"
#include "training/rows.h"

namespace ponder::PONDER_NS {

template <class S>
static void norm_rows(const typename S::T* x, const float* weight, float eps, int64_t rows, int64_t n, typename S::T* out,
                      float* inverse) {
    for (int64_t r = 0; r < rows; r++, x += n, out += n) {
        V squares = zero();
        vectors(n, [&](int64_t i, auto get, auto) {
            V a = get(S(), x + i);
            squares = fma(a, a, squares);
        });
        inverse[r] = 1.0f / __builtin_sqrtf(sum(squares) / (float)n + eps);
        V scale = set(inverse[r]);
        vectors(n, [&](int64_t i, auto get, auto put) { put(S(), out + i, get(S(), x + i) * scale * get(F32(), weight + i)); });
    }
}

template <class S>
static void norm_rows_back(const typename S::T* grad, const typename S::T* x, const float* weight, const float* inverse,
                           int64_t rows, int64_t n, typename S::T* dx, float* dw) {
    for (int64_t r = 0; r < rows; r++, grad += n, x += n, dx += n) {
        V scale = set(inverse[r]), along = zero();
        vectors(n, [&](int64_t i, auto get, auto put) {
            V g = get(S(), grad + i), unit = get(S(), x + i) * scale;
            along = fma(g * get(F32(), weight + i), unit, along);
            put(F32(), dw + i, fma(g, unit, get(F32(), dw + i)));
        });
        V mean = set(sum(along) / (float)n * inverse[r]);  // of the unit vector, which is x * scale
        vectors(n, [&](int64_t i, auto get, auto put) {
            V g = get(S(), grad + i) * get(F32(), weight + i);
            put(S(), dx + i, (g - get(S(), x + i) * mean) * scale);
        });
    }
}

template <class S>
static void rotate_heads(const typename S::T* x, const float* cos, const float* sin, float way, int64_t heads, int64_t c,
                         typename S::T* out) {
    int64_t half = c / 2;
    for (int64_t h = 0; h < heads; h++, x += c, out += c)
        vectors(half, [&](int64_t i, auto get, auto put) {
            V a = get(S(), x + i), b = get(S(), x + half + i), co = get(F32(), cos + i), si = get(F32(), sin + i) * set(way);
            put(S(), out + i, a * co - b * si);
            put(S(), out + half + i, b * co + a * si);
        });
}

static inline V sigmoid(V x) { return set(1.0f) / (set(1.0f) + exp(zero() - x)); }

template <class S>
static void swiglu_row(const typename S::T* gate, const typename S::T* up, int64_t n, typename S::T* out) {
    vectors(n, [&](int64_t i, auto get, auto put) {
        V g = get(S(), gate + i);
        put(S(), out + i, g * sigmoid(g) * get(S(), up + i));
    });
}

template <class S>
static void swiglu_row_back(const typename S::T* grad, const typename S::T* gate, const typename S::T* up, int64_t n,
                            typename S::T* dgate, typename S::T* dup) {
    vectors(n, [&](int64_t i, auto get, auto put) {
        V d = get(S(), grad + i), g = get(S(), gate + i), s = sigmoid(g);
        put(S(), dup + i, d * g * s);
        put(S(), dgate + i, d * get(S(), up + i) * s * fma(g, set(1.0f) - s, set(1.0f)));
    });
}

template <class S>
static void loss_row(const typename S::T* z, int64_t target, int64_t n, float* logprob, float* entropy, float* total) {
    V most = set(-__builtin_inff());
    int64_t i = 0;
    for (; i + V::N <= n; i += V::N) most = max(S::get(z + i), most);
    float peak = largest(most);
    for (; i < n; i++) {
        float one[V::N] = {};
        store(one, S::get(z + i, 1));
        peak = one[0] > peak ? one[0] : peak;
    }
    V all = zero(), weighted = zero(), top = set(peak);
    for (i = 0; i + V::N <= n; i += V::N) {
        V d = S::get(z + i) - top, e = exp(d);
        all = all + e;
        weighted = fma(e, d, weighted);
    }
    float sum_all = sum(all), sum_weighted = sum(weighted), one[V::N];
    for (; i < n; i++) {
        store(one, S::get(z + i, 1));
        float d = one[0] - peak, e = __builtin_expf(d);
        sum_all += e;
        sum_weighted += e * d;
    }
    float log_sum = __builtin_logf(sum_all);
    store(one, S::get(z + target, 1));
    *total = peak + log_sum;
    *logprob = one[0] - peak - log_sum;
    *entropy = log_sum - sum_weighted / sum_all;
}

template <class S>
static void loss_row_back(const typename S::T* z, int64_t target, int64_t n, float entropy, float total, float d_logprob,
                          float d_entropy, typename S::T* out) {
    vectors(n, [&](int64_t i, auto get, auto put) {
        V logp = get(S(), z + i) - set(total);
        put(S(), out + i, exp(logp) * (zero() - fma(logp + set(entropy), set(d_entropy), set(d_logprob))));
    });
    float one[V::N];
    store(one, S::get(z + target, 1));
    V logp = set(one[0] - total);  // the target's own value again: what was put may be rounded
    S::put(out + target, set(d_logprob) - exp(logp) * fma(logp + set(entropy), set(d_entropy), set(d_logprob)), 1);
}

#define BOTH(function, ...)                    \
    if (type == Stored::bf16) {                      \
        typedef uint16_t T;                          \
        function<Bf16>(__VA_ARGS__);                 \
    } else {                                         \
        typedef float T;                             \
        function<F32>(__VA_ARGS__);                  \
    }

void norm_forward(Stored type, const void* x, const float* weight, float eps, int64_t rows, int64_t n, void* out,
                  float* inverse) {
    BOTH(norm_rows, (const T*)x, weight, eps, rows, n, (T*)out, inverse)
}
void norm_backward(Stored type, const void* grad, const void* x, const float* weight, const float* inverse, int64_t rows,
                   int64_t n, void* dx, float* dw) {
    BOTH(norm_rows_back, (const T*)grad, (const T*)x, weight, inverse, rows, n, (T*)dx, dw)
}
void rotate(Stored type, const void* x, const float* cos, const float* sin, float way, int64_t heads, int64_t c, void* out) {
    BOTH(rotate_heads, (const T*)x, cos, sin, way, heads, c, (T*)out)
}
void swiglu_forward(Stored type, const void* gate, const void* up, int64_t n, void* out) {
    BOTH(swiglu_row, (const T*)gate, (const T*)up, n, (T*)out)
}
void swiglu_backward(Stored type, const void* grad, const void* gate, const void* up, int64_t n, void* dgate, void* dup) {
    BOTH(swiglu_row_back, (const T*)grad, (const T*)gate, (const T*)up, n, (T*)dgate, (T*)dup)
}
void loss_forward(Stored type, const void* logits, int64_t target, int64_t n, float* logprob, float* entropy, float* total) {
    BOTH(loss_row, (const T*)logits, target, n, logprob, entropy, total)
}
void loss_backward(Stored type, const void* logits, int64_t target, int64_t n, float entropy, float total, float d_logprob,
                   float d_entropy, void* out) {
    BOTH(loss_row_back, (const T*)logits, target, n, entropy, total, d_logprob, d_entropy, (T*)out)
}

}  // namespace ponder::PONDER_NS
