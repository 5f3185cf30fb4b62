// Mixture of experts: tokens grouped by expert, each expert's matrices read once for all of its tokens.
//
// A slot is one choice of one token: token * top_k + place. Work is shared out by (expert, panel of rows).
#include <algorithm>
#include <stdexcept>
#include <string>

#include "runtime/dispatch.h"
#include "program/ops.h"
#include "runtime/pool.h"

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

constexpr int64_t at_once = scattered_rows;  // slots of one call of a kernel, which bounds a thread's scratch

// The rows of every used expert's matrix, cut into pieces; part: the expert. `w`: any of these matrices.
std::vector<Piece> cut_all(const Grouping& g, const Matrix& w, int threads) {
    std::vector<Piece> pieces;
    int64_t left = (int64_t)g.used.size() * w.n * row_bytes(w);
    for (int32_t e : g.used) cut(w, e, g.starts[e + 1] - g.starts[e], threads, left, pieces);
    return pieces;
}

// work(piece, slots, count, thread) for all slots of the expert of every piece
template <class F>
void over_experts(Operation& op, const Grouping& g, const std::vector<Piece>& pieces, F work) {
    op.run((int64_t)pieces.size(), [&](int64_t i, int thread) {
        int64_t first = g.starts[pieces[i].part], end = g.starts[pieces[i].part + 1];
        for (int64_t s = first; s < end; s += at_once)
            work(pieces[i], g.slots.data() + s, std::min(at_once, end - s), thread);
    });
}

}  // namespace

static void check_alike(const std::vector<const Matrix*>& all, const std::string& name, int64_t n, int64_t k) {
    for (const Matrix* m : all) {
        if (m->n != n || m->k != k) throw std::invalid_argument(name + " matrices of the experts differ in shape");
        if (m->kind != all[0]->kind || m->group != all[0]->group)
            throw std::invalid_argument(name + " matrices of the experts differ in kind");
    }
}

void check_experts(const ExpertWeights& w, int64_t d) {
    if (w.gate.empty()) throw std::invalid_argument("there are no experts");
    if (w.gate.size() != w.up.size() || w.gate.size() != w.down.size())
        throw std::invalid_argument("gate, up and down differ in length");
    int64_t inner = w.gate[0]->n;
    check_alike(w.gate, "gate", inner, d);
    check_alike(w.up, "up", inner, d);
    check_alike(w.down, "down", d, inner);
    if (w.gate[0]->kind != w.up[0]->kind || w.gate[0]->group != w.up[0]->group)
        throw std::invalid_argument("gate and up differ in kind");
}

void experts(const PackedRows& x, int64_t tokens, const int32_t* ids, const float* weights, int64_t top_k,
             const ExpertWeights& w, float* out) {
    const Kernels& k = kernels();
    Operation op;
    int64_t slots = tokens * top_k, d = w.gate[0]->k, inner = w.gate[0]->n;
    Grouping g(ids, slots, (int64_t)w.gate.size());
    if (w.chosen) w.chosen(w, g.used);
    std::vector<Piece> gate_pieces = cut_all(g, *w.gate[0], op.pool.threads());
    std::vector<Piece> down_pieces = cut_all(g, *w.down[0], op.pool.threads());
    int64_t height = 0;
    for (const Piece& piece : gate_pieces) height = std::max(height, piece.n1 - piece.n0);
    int64_t h_stride = padded(k.packed_bytes(*w.down[0])), panel = std::min(at_once, slots) * height;
    int64_t h_bytes = slots * h_stride, inner_bytes = padded(slots * inner * 4), d_bytes = padded(slots * d * 4);
    int64_t panel_bytes = padded(2 * panel * 4) * op.pool.threads();
    char* packed = op.pool.scratch(h_bytes + inner_bytes + d_bytes + panel_bytes);
    float* h = (float*)(packed + h_bytes);
    float* parts = (float*)((char*)h + inner_bytes);
    char* panels = (char*)parts + d_bytes;

    over_experts(op, g, gate_pieces, [&](const Piece& piece, const int32_t* slot, int64_t count, int thread) {
        int64_t n0 = piece.n0, n1 = piece.n1;
        float *gate = (float*)(panels + thread * padded(2 * panel * 4)), *up = gate + panel;
        const void* xs[at_once];
        float *gates[at_once], *ups[at_once];
        for (int64_t j = 0; j < count; j++) {
            xs[j] = x.base + slot[j] / top_k * x.stride;
            gates[j] = gate + j * height - n0;
            ups[j] = up + j * height - n0;
        }
        linear_piece(*w.gate[piece.part], piece, xs, count, gates, nullptr, {w.up[piece.part], n0});
        linear_piece(*w.up[piece.part], piece, xs, count, ups, nullptr, {});
        for (int64_t j = 0; j < count; j++) k.swiglu(gates[j] + n0, ups[j] + n0, n1 - n0, h + slot[j] * inner + n0);
    });
    op.split(slots, 4, [&](int64_t s) { k.pack(*w.down[0], h + s * inner, packed + s * h_stride); });
    over_experts(op, g, down_pieces, [&](const Piece& piece, const int32_t* slot, int64_t count, int) {
        const void* xs[at_once];
        float* ys[at_once];
        for (int64_t j = 0; j < count; j++) {
            xs[j] = packed + slot[j] * h_stride;
            ys[j] = parts + slot[j] * d;
        }
        linear_piece(*w.down[piece.part], piece, xs, count, ys, nullptr, {});
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
