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

// Rows of W in one piece of work: about 128 KB, so that a piece stays in the L2 cache while all tokens pass over it,
// but enough pieces for the threads. A multiple of 4, the height of a tile.
int64_t panel_rows(const Matrix& w, int threads) {
    int64_t by_cache = 131072 / std::max<int64_t>(1, row_bytes(w));
    int64_t by_threads = w.n / (threads * 4);
    return std::max<int64_t>(4, std::min(by_cache, by_threads) / 4 * 4);
}

int64_t padded(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Small pieces of work are done in batches so that handing them out costs little.
template <class F>
void split(Operation& op, int64_t items, int64_t at_once, F work) {
    op.run((items + at_once - 1) / at_once, [&](int64_t piece, int) {
        for (int64_t i = piece * at_once; i < std::min(items, (piece + 1) * at_once); i++) work(i);
    });
}

}  // namespace

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
    split(op, tokens, 16, [&](int64_t t) { k.pack(w, x + t * w.k, packed + t * stride); });
    int64_t rows = panel_rows(w, op.pool.threads());
    op.run((w.n + rows - 1) / rows, [&](int64_t i, int) {
        k.linear(w, i * rows, std::min(w.n, (i + 1) * rows), xs.data(), tokens, ys.data(), bias);
    });
}

namespace {

void write_cache(Operation& op, const Kernels& kernel, const Attention& a, int64_t sequence) {
    int64_t row = a.kv_heads * a.c;
    int64_t start = a.starts[sequence], count = a.starts[sequence + 1] - start;
    const int32_t* table = a.tables + sequence * a.table_width;
    split(op, count, 64, [&](int64_t i) {
        int64_t t = start + i, p = a.positions[t];
        for (int64_t h = 0; h < a.kv_heads; h++) {
            int64_t to = (((int64_t)table[p / a.block_size] * a.kv_heads + h) * a.block_size + p % a.block_size) * a.c;
            const float *k = a.k + t * row + h * a.c, *v = a.v + t * row + h * a.c;
            if (a.bf16) {
                kernel.to_bf16(k, (uint16_t*)a.cache_k + to, a.c);
                kernel.to_bf16(v, (uint16_t*)a.cache_v + to, a.c);
            } else {
                std::copy(k, k + a.c, (float*)a.cache_k + to);
                std::copy(v, v + a.c, (float*)a.cache_v + to);
            }
        }
    });
}

}  // namespace

void attention(const Attention& a) {
    const Kernels& kernel = kernels();
    Operation op;
    int64_t ratio = a.heads / a.kv_heads, tokens_at_once = std::max<int64_t>(1, max_queries / ratio);
    AttentionUnit all = {a.q, a.out, a.k, a.v, false, nullptr, a.block_size, 0, a.heads, a.kv_heads, a.c, 0, 0, 0, 0};
    if (a.tables) {
        all.k = a.cache_k;
        all.v = a.cache_v;
        all.bf16 = a.bf16;
    }
    std::vector<AttentionUnit> units;
    for (int64_t b = 0; b < a.sequences; b++) {
        int64_t start = a.starts[b], end = a.starts[b + 1];
        if (a.tables) write_cache(op, kernel, a, b);
        for (int64_t t = start; t < end; t += tokens_at_once)
            for (int64_t h = 0; h < a.kv_heads; h++) {
                AttentionUnit u = all;
                u.table = a.tables ? a.tables + b * a.table_width : nullptr;
                u.start_token = start;
                u.kv_head = h;
                u.first_token = t;
                u.first_position = a.positions[t];
                u.tokens = std::min(tokens_at_once, end - t);
                units.push_back(u);
            }
    }
    // the longest first, so that threads end together
    std::sort(units.begin(), units.end(), [](const AttentionUnit& x, const AttentionUnit& y) {
        return x.first_position + x.tokens > y.first_position + y.tokens;
    });
    int64_t floats = (attention_scratch(a.c) + 15) / 16 * 16;
    float* scratch = (float*)op.pool.scratch(op.pool.threads() * floats * 4);
    op.run((int64_t)units.size(), [&](int64_t i, int thread) { kernel.attention(units[i], scratch + thread * floats); });
}

void route(const float* logits, int64_t tokens, int64_t experts, int64_t top_k, bool normalise, int32_t* ids,
           float* weights) {
    std::vector<float> p(experts);
    for (int64_t t = 0; t < tokens; t++, logits += experts, ids += top_k, weights += top_k) {
        float most = *std::max_element(logits, logits + experts), total = 0, chosen = 0;
        for (int64_t e = 0; e < experts; e++) total += p[e] = std::exp(logits[e] - most);
        for (int64_t e = 0; e < experts; e++) p[e] /= total;
        for (int64_t i = 0; i < top_k; i++) {
            int64_t best = std::max_element(p.begin(), p.end()) - p.begin();  // the first of equals
            ids[i] = (int32_t)best;
            chosen += weights[i] = p[best];
            p[best] = -1;
        }
        for (int64_t i = 0; normalise && i < top_k; i++) weights[i] /= chosen;
    }
}

namespace {

// The slots (token * top_k + slot) of each expert, and the panels of work over those experts.
struct Grouping {
    std::vector<std::vector<int64_t>> slots;  // [E][slots of the expert]
    std::vector<int64_t> used;                // experts with at least one token

    Grouping(const int32_t* ids, int64_t count, int64_t experts) : slots(experts) {
        for (int64_t s = 0; s < count; s++) slots[ids[s]].push_back(s);
        for (int64_t e = 0; e < experts; e++)
            if (!slots[e].empty()) used.push_back(e);
    }
};

struct Packed {
    char* base;
    int64_t stride;
    const void* row(int64_t i) const { return base + i * stride; }
};

// y[slot] = w[e] x[source(slot)] for every used expert e and its slots, split over panels of rows
template <class Source>
void expert_linear(Operation& op, const Grouping& g, const std::vector<const Matrix*>& w, Packed x, Source source,
                   float* y) {
    const Kernels& k = kernels();
    const Matrix& any = *w[0];
    int64_t rows = panel_rows(any, op.pool.threads()), panels = (any.n + rows - 1) / rows;
    op.run(panels * (int64_t)g.used.size(), [&](int64_t i, int) {
        const std::vector<int64_t>& slots = g.slots[g.used[i / panels]];
        const Matrix& m = *w[g.used[i / panels]];
        int64_t n0 = i % panels * rows, n1 = std::min(m.n, n0 + rows);
        constexpr int64_t at_once = 64;
        const void* xs[at_once];
        float* ys[at_once];
        for (int64_t first = 0; first < (int64_t)slots.size(); first += at_once) {
            int64_t count = std::min<int64_t>(at_once, (int64_t)slots.size() - first);
            for (int64_t j = 0; j < count; j++) {
                xs[j] = x.row(source(slots[first + j]));
                ys[j] = y + slots[first + j] * m.n;
            }
            k.linear(m, n0, n1, xs, count, ys, nullptr);
        }
    });
}

}  // namespace

void experts(const float* x, int64_t tokens, const int32_t* ids, const float* weights, int64_t top_k,
             const std::vector<const Matrix*>& gate, const std::vector<const Matrix*>& up,
             const std::vector<const Matrix*>& down, float* out) {
    const Kernels& k = kernels();
    Operation op;
    int64_t slots = tokens * top_k, d = gate[0]->k, inner = gate[0]->n;
    Grouping g(ids, slots, (int64_t)gate.size());
    int64_t x_stride = padded(k.packed_bytes(*gate[0])), h_stride = padded(k.packed_bytes(*down[0]));
    int64_t x_bytes = padded(tokens * x_stride), h_bytes = padded(slots * h_stride);
    int64_t inner_bytes = padded(slots * inner * 4), d_bytes = padded(slots * d * 4);
    char* scratch = op.pool.scratch(x_bytes + h_bytes + 2 * inner_bytes + d_bytes);
    Packed xs = {scratch, x_stride}, hs = {scratch + x_bytes, h_stride};
    float* gates = (float*)(hs.base + h_bytes);
    float* ups = (float*)((char*)gates + inner_bytes);
    float* parts = (float*)((char*)ups + inner_bytes);
    auto token = [&](int64_t slot) { return slot / top_k; };

    split(op, tokens, 16, [&](int64_t t) { k.pack(*gate[0], x + t * d, xs.base + t * x_stride); });
    expert_linear(op, g, gate, xs, token, gates);
    expert_linear(op, g, up, xs, token, ups);
    split(op, slots, 4, [&](int64_t s) {
        k.swiglu(gates + s * inner, ups + s * inner, inner, gates + s * inner);
        k.pack(*down[0], gates + s * inner, hs.base + s * h_stride);
    });
    expert_linear(op, g, down, hs, [](int64_t slot) { return slot; }, parts);
    split(op, tokens, 16, [&](int64_t t) {
        std::fill(out + t * d, out + (t + 1) * d, 0.0f);
        for (int64_t s = t * top_k; s < (t + 1) * top_k; s++) k.add_scaled(parts + s * d, weights[s], d, out + t * d);
    });
}

void rms_norm(const float* x, int64_t rows, int64_t n, const float* weight, float eps, float* out) {
    const Kernels& k = kernels();
    Operation op;
    split(op, rows, std::max<int64_t>(1, 16384 / n), [&](int64_t r) { k.rms_norm(x + r * n, weight, eps, n, out + r * n); });
}

void rope(const float* x, const float* cos, const float* sin, int64_t tokens, int64_t heads, int64_t c, float* out) {
    const Kernels& k = kernels();
    Operation op;
    split(op, tokens, std::max<int64_t>(1, 16384 / (heads * c)), [&](int64_t t) {
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
    split(op, n, std::max<int64_t>(1, 16384 / k), [&](int64_t row) {
        uint64_t a = splitmix(splitmix(seed) + (uint64_t)(first + row)), b = splitmix(a);
        kernel.normal((uint32_t)a, (uint32_t)(a >> 32), (uint32_t)b, spread, k, out + row * k);
    });
}

}  // namespace ponder
