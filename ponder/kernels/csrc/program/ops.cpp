#include "program/ops.h"

#include <algorithm>
#include <cmath>

#include "runtime/dispatch.h"
#include "packing/panels.h"
#include "runtime/pool.h"

namespace ponder {

int64_t row_bytes(const Matrix& w) {
    if (w.kind == Kind::f32) return w.k * 4;
    if (w.kind == Kind::bf16) return w.k * 2;
    return (four_bits(w) ? w.k / 2 : w.k) + w.k / w.group * group_scales(w) / panel_rows * 2;
}

namespace {
constexpr int64_t cached_bytes = 131072;
int64_t whole_panels(int64_t rows) { return std::max<int64_t>(32, rows / 32 * 32); }
}  // namespace

void cut(const Matrix& w, int64_t part, int64_t tokens, int threads, int64_t& left, std::vector<Piece>& pieces) {
    // A thread that is preempted keeps its piece waiting, so it must not be a large part of a long computation.
    int64_t least = 32768, most = std::max<int64_t>(cached_bytes, (4 << 20) / std::max<int64_t>(1, tokens));
    for (int64_t n0 = 0, n1; n0 < w.n; n0 = n1) {
        int64_t bytes = std::max(least, std::min(most, left / (threads * 2)));
        if (pieces.empty()) bytes = std::max(least, bytes / 2);  // so that threads take turns
        n1 = std::min(w.n, n0 + whole_panels(bytes / row_bytes(w)));
        left -= (n1 - n0) * row_bytes(w);
        pieces.push_back({part, n0, n1});
    }
}

void linear_piece(const Matrix& w, const Piece& piece, const void* const* x, int64_t tokens, float* const* y,
                  const float* bias, const Rows& next) {
    if (in_panels(w)) return kernels().linear(w, piece.n0, piece.n1, x, tokens, y, bias, next);
    int64_t rows = whole_panels(cached_bytes / row_bytes(w));
    for (int64_t n = piece.n0; n < piece.n1; n += rows)
        kernels().linear(w, n, std::min(piece.n1, n + rows), x, tokens, y, bias, {});
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
    std::vector<Piece> pieces;
    int64_t left = w.n * row_bytes(w);
    cut(w, 0, tokens, op.pool.threads(), left, pieces);
    op.run((int64_t)pieces.size(), [&](int64_t i, int) {
        linear_piece(w, pieces[i], xs.data(), tokens, ys.data(), bias, {});
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
