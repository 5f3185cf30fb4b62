#include "ops.h"

#include <algorithm>
#include <cmath>

#include "dispatch.h"
#include "pool.h"

namespace ponder {

namespace {

int64_t row_bytes(const Matrix& w) {
    if (w.kind == Kind::f32) return w.k * 4;
    if (w.kind == Kind::bf16) return w.k * 2;
    return (w.kind == Kind::int8 ? w.k : w.k / 2) + w.k / w.group * 2;
}

}  // namespace

int64_t piece_rows(const Matrix& w, int64_t tokens, int threads) {
    int64_t most = (tokens < 8 ? 32768 : 131072) / row_bytes(w), least = 8192 / row_bytes(w);
    return std::max<int64_t>(32, std::max(least, std::min(most, w.n / (threads * 4))) / 32 * 32);
}

void linear(const float* x, int64_t tokens, const Matrix& w, const float* bias, float* y) {
    const Kernels& k = kernels();
    Operation op;
    int64_t stride = padded(k.packed_bytes(w));
    char* packed = op.pool.scratch(tokens * stride);
    std::vector<const void*> xs(tokens);
    std::vector<float*> ys(tokens);
    for (int64_t t = 0; t < tokens; t++) {
        xs[t] = packed + t * stride;
        ys[t] = y + t * w.n;
    }
    op.split(tokens, 16, [&](int64_t t) { k.pack(w, x + t * w.k, packed + t * stride); });
    int64_t rows = piece_rows(w, tokens, op.pool.threads());
    op.run((w.n + rows - 1) / rows, [&](int64_t i, int) {
        k.linear(w, i * rows, std::min(w.n, (i + 1) * rows), xs.data(), tokens, ys.data(), bias);
    });
}

// The first of equals is chosen. p: [experts]
static void route_one(const float* logits, int64_t experts, int64_t top_k, bool normalise, float* p, int32_t* ids,
                      float* weights) {
    float most = *std::max_element(logits, logits + experts), total = 0, chosen = 0;
    for (int64_t e = 0; e < experts; e++) total += p[e] = std::exp(logits[e] - most);
    for (int64_t e = 0; e < experts; e++) p[e] /= total;
    for (int64_t i = 0; i < top_k; i++) {
        int64_t best = std::max_element(p, p + experts) - p;
        ids[i] = (int32_t)best;
        chosen += weights[i] = p[best];
        p[best] = -1;
    }
    for (int64_t i = 0; normalise && i < top_k; i++) weights[i] /= chosen;
}

void route(const float* logits, int64_t tokens, int64_t experts, int64_t top_k, bool normalise, int32_t* ids,
           float* weights) {
    Operation op;
    int64_t at_once = std::max<int64_t>(1, 4096 / experts), stride = padded(experts * 4);
    char* scratch = op.pool.scratch(op.pool.threads() * stride);
    op.run((tokens + at_once - 1) / at_once, [&](int64_t piece, int thread) {
        float* p = (float*)(scratch + thread * stride);
        for (int64_t t = piece * at_once; t < std::min(tokens, (piece + 1) * at_once); t++)
            route_one(logits + t * experts, experts, top_k, normalise, p, ids + t * top_k, weights + t * top_k);
    });
}

void rms_norm(const float* x, int64_t rows, int64_t n, const float* weight, float eps, float* out) {
    const Kernels& k = kernels();
    Operation op;
    op.split(rows, std::max<int64_t>(1, 16384 / n), [&](int64_t r) { k.rms_norm(x + r * n, weight, eps, n, out + r * n); });
}

void rope(const float* x, const float* cos, const float* sin, int64_t tokens, int64_t heads, int64_t c, float* out) {
    const Kernels& k = kernels();
    Operation op;
    op.split(tokens, std::max<int64_t>(1, 16384 / (heads * c)), [&](int64_t t) {
        for (int64_t h = t * heads; h < (t + 1) * heads; h++)
            k.rope(x + h * c, cos + t * (c / 2), sin + t * (c / 2), c, out + h * c);
    });
}

void swiglu(const float* gate, const float* up, int64_t n, float* out) {
    const Kernels& k = kernels();
    Operation op;
    constexpr int64_t piece = 4096;
    op.run((n + piece - 1) / piece, [&](int64_t i, int) {
        int64_t at = i * piece;
        k.swiglu(gate + at, up + at, std::min(piece, n - at), out + at);
    });
}

namespace {

uint64_t splitmix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

}  // namespace

void normal(uint64_t seed, int64_t first, float spread, int64_t n, int64_t k, float* out) {
    const Kernels& kernel = kernels();
    Operation op;
    op.split(n, std::max<int64_t>(1, 16384 / k), [&](int64_t row) {
        uint64_t a = splitmix(splitmix(seed) + (uint64_t)(first + row)), b = splitmix(a);
        kernel.normal((uint32_t)a, (uint32_t)(a >> 32), (uint32_t)b, spread, k, out + row * k);
    });
}

}  // namespace ponder
