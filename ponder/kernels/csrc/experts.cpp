// Mixture of experts: tokens grouped by expert, each expert's matrices read once for all of its tokens.
//
// A slot is one choice of one token: token * top_k + place. Work is shared out by (expert, panel of rows).
#include <algorithm>

#include "dispatch.h"
#include "ops.h"
#include "pool.h"

namespace ponder {

namespace {

// The slots of each expert, one expert after the other, and the experts that have any.
struct Grouping {
    std::vector<int32_t> slots, starts, used;

    Grouping(const int32_t* ids, int64_t count, int64_t experts) : slots(count), starts(experts + 1) {
        for (int64_t s = 0; s < count; s++) starts[ids[s] + 1]++;
        for (int64_t e = 0; e < experts; e++) {
            if (starts[e + 1]) used.push_back((int32_t)e);
            starts[e + 1] += starts[e];
        }
        std::vector<int32_t> next(starts.begin(), starts.end() - 1);
        for (int64_t s = 0; s < count; s++) slots[next[ids[s]]++] = (int32_t)s;
    }
};

constexpr int64_t at_once = 64;  // slots of one call of a kernel, which bounds a thread's scratch

// work(expert, n0, n1, slots, count, thread) for all rows of every used expert
template <class F>
void over_experts(Operation& op, const Grouping& g, int64_t n, int64_t rows, F work) {
    int64_t panels = (n + rows - 1) / rows;
    op.run(panels * (int64_t)g.used.size(), [&](int64_t i, int thread) {
        int64_t e = g.used[i / panels], n0 = i % panels * rows, n1 = std::min(n, n0 + rows);
        for (int64_t s = g.starts[e]; s < g.starts[e + 1]; s += at_once)
            work(e, n0, n1, g.slots.data() + s, std::min<int64_t>(at_once, g.starts[e + 1] - s), thread);
    });
}

}  // namespace

void experts(const PackedRows& x, int64_t tokens, const int32_t* ids, const float* weights, int64_t top_k,
             const ExpertWeights& w, float* out) {
    const Kernels& k = kernels();
    Operation op;
    int64_t slots = tokens * top_k, d = w.gate[0]->k, inner = w.gate[0]->n;
    Grouping g(ids, slots, (int64_t)w.gate.size());
    if (w.chosen) w.chosen(w, g.used);
    int64_t gate_rows = piece_rows(*w.gate[0], tokens, op.pool.threads());
    int64_t down_rows = piece_rows(*w.down[0], tokens, op.pool.threads());
    int64_t h_stride = padded(k.packed_bytes(*w.down[0])), panel = at_once * gate_rows;
    int64_t h_bytes = slots * h_stride, inner_bytes = padded(slots * inner * 4), d_bytes = padded(slots * d * 4);
    int64_t panel_bytes = padded(2 * panel * 4) * op.pool.threads();
    char* packed = op.pool.scratch(h_bytes + inner_bytes + d_bytes + panel_bytes);
    float* h = (float*)(packed + h_bytes);
    float* parts = (float*)((char*)h + inner_bytes);
    char* panels = (char*)parts + d_bytes;

    over_experts(op, g, inner, gate_rows,
                 [&](int64_t e, int64_t n0, int64_t n1, const int32_t* slot, int64_t count, int thread) {
        float *gate = (float*)(panels + thread * padded(2 * panel * 4)), *up = gate + panel;
        const void* xs[at_once];
        float *gates[at_once], *ups[at_once];
        for (int64_t j = 0; j < count; j++) {
            xs[j] = x.base + slot[j] / top_k * x.stride;
            gates[j] = gate + j * gate_rows - n0;
            ups[j] = up + j * gate_rows - n0;
        }
        k.linear(*w.gate[e], n0, n1, xs, count, gates, nullptr);
        k.linear(*w.up[e], n0, n1, xs, count, ups, nullptr);
        for (int64_t j = 0; j < count; j++) k.swiglu(gates[j] + n0, ups[j] + n0, n1 - n0, h + slot[j] * inner + n0);
    });
    op.split(slots, 4, [&](int64_t s) { k.pack(*w.down[0], h + s * inner, packed + s * h_stride); });
    over_experts(op, g, d, down_rows, [&](int64_t e, int64_t n0, int64_t n1, const int32_t* slot, int64_t count, int) {
        const void* xs[at_once];
        float* ys[at_once];
        for (int64_t j = 0; j < count; j++) {
            xs[j] = packed + slot[j] * h_stride;
            ys[j] = parts + slot[j] * d;
        }
        k.linear(*w.down[e], n0, n1, xs, count, ys, nullptr);
    });
    op.split(tokens, 16, [&](int64_t t) {
        std::fill(out + t * d, out + (t + 1) * d, 0.0f);
        for (int64_t s = t * top_k; s < (t + 1) * top_k; s++) k.add_scaled(parts + s * d, weights[s], d, out + t * d);
    });
}

void experts(const float* x, int64_t tokens, const int32_t* ids, const float* weights, int64_t top_k,
             const ExpertWeights& w, float* out) {
    const Kernels& k = kernels();
    Operation op;
    int64_t d = w.gate[0]->k, stride = padded(k.packed_bytes(*w.gate[0]));
    std::vector<char> rows(tokens * stride + 64);
    char* aligned = rows.data() + 64 - (uintptr_t)rows.data() % 64;
    op.split(tokens, 16, [&](int64_t t) { k.pack(*w.gate[0], x + t * d, aligned + t * stride); });
    experts({aligned, stride}, tokens, ids, weights, top_k, w, out);
}

}  // namespace ponder
