// The instructions of a program, each told here and nowhere else in C++ (the long one in linear_instruction.cpp): what it
// works on, what must hold, what it does. A new one is a struct, and a line of the table at the end.
#include <algorithm>
#include <cstring>

#include "packing/panels.h"
#include "program/program.h"
#include "runtime/dispatch.h"

namespace ponder {

namespace {

struct Embed : Instruction {  // out = rows of the table, for the ids of the batch
    const Matrix* table;
    BufferId out;

    void fields(Fields& f) override { f("table", table), f("out", out); }

    void check(Program& p) override {
        p.check_plain(out, table->k, out);
        ponder::check(!p.buffer(out).wanted, "the embedding has a row for each token");
        p.table_rows = table->n;
        p.needs_batch = true;
    }

    void run(Operation&, Program& p) const override { embed(*table, p.in->ids, p.in->tokens, p.row<float>(out, 0)); }
};

// Row by row: x (its logit rows only if `gather`), + add -> sum, norm -> out, and packed for what comes next.
struct Prepare : Instruction {
    BufferId x, add, sum, out;
    bool gather;
    Floats norm;
    float eps;
    std::vector<BufferId> packed;

    void fields(Fields& f) override {
        f("x", x), f("gather", gather), f("add", add), f("sum", sum);
        f("norm", norm), f("eps", eps), f("out", out), f("packed", packed);
    }

    void check(Program& p) override {
        int64_t width = p.buffer(x).width;
        int like = add >= 0 ? sum : out >= 0 ? out : packed.empty() ? BufferId() : packed[0];
        p.check_plain(x, width, x);
        ponder::check(p.buffer(like).wanted == (gather || p.buffer(x).wanted), "prepare: rows differ");
        if (add >= 0) {
            p.check_plain(add, width, like);
            p.check_plain(sum, width, like);
        }
        ponder::check(sum != x || !gather, "rows cannot be gathered in place");
        p.needs_batch |= gather;
        ponder::check(!norm.data || norm.size == width, "prepare: the norm has another width");
        if (out >= 0) p.check_plain(out, width, like);
        for (int b : packed) {
            ponder::check(p.buffer(b).form && p.buffer(b).form->k == width, "prepare: a packed buffer has another width");
            ponder::check(p.buffer(b).wanted == p.buffer(like).wanted, "prepare: rows differ");
        }
    }

    void run(Operation& op, Program& p) const override {
        int64_t width = p.buffers[x].width, count = gather ? p.in->wanted : p.count(x);
        int64_t at_once = std::max<int64_t>(1, 8192 / width), scratch_row = padded(width * 4);
        char* scratch = op.pool.scratch(op.pool.threads() * scratch_row);
        op.run((count + at_once - 1) / at_once, [&](int64_t piece, int thread) {
            for (int64_t r = piece * at_once; r < std::min(count, (piece + 1) * at_once); r++)
                prepare(p, r, width, (float*)(scratch + thread * scratch_row));
        });
    }

    void prepare(Program& p, int64_t r, int64_t width, float* scratch) const {
        const Kernels& k = kernels();
        const float* from = p.row<const float>(x, gather ? p.in->logit_rows[r] : r);
        if (add >= 0) {
            float* total = p.row<float>(sum, r);
            if (total != from) std::memcpy(total, from, width * 4);
            k.add_scaled(p.row<const float>(add, r), 1.0f, width, total);
            from = total;
        }
        if (norm.data) {
            float* y = out >= 0 ? p.row<float>(out, r) : scratch;
            k.rms_norm(from, norm.data, eps, width, y);
            from = y;
        } else if (out >= 0) {
            std::memcpy(p.row<float>(out, r), from, width * 4);
        }
        for (int b : packed) k.pack(*p.buffers[b].form, from, p.row<void>(b, r));
    }
};

struct Heads : Instruction {  // of each part: norm and rotation of each head, in place
    struct Part {
        BufferId x;
        int64_t heads;
        Floats norm;
        void fields(Fields& f) { f("x", x), f("heads", heads), f("norm", norm); }
    };
    std::vector<Part> parts;
    int64_t head_dim;
    float eps;

    void fields(Fields& f) override {
        f("head_dim", head_dim), f("eps", eps);
        f.each("parts", [&](Fields& part) { parts.emplace_back().fields(part); });
    }

    void check(Program& p) override {
        ponder::check(!parts.empty(), "heads: no parts");
        ponder::check(head_dim > 0 && head_dim % 2 == 0 && (p.head_dim == 0 || p.head_dim == head_dim),
                      "heads must be even and all of one size");
        p.head_dim = head_dim;
        p.needs_batch = true;
        for (const Part& part : parts) {
            p.check_plain(part.x, part.heads * head_dim, part.x);
            ponder::check(!p.buffer(part.x).wanted, "heads have a row for each token");
            ponder::check(!part.norm.data || part.norm.size == head_dim, "heads: the norm has another width");
        }
    }

    void run(Operation& op, Program& p) const override {
        const Kernels& k = kernels();
        op.split(p.in->tokens, 4, [&](int64_t t) {
            for (const Part& part : parts)
                for (int64_t h = 0; h < part.heads; h++) {
                    float* x = p.row<float>(part.x, t) + h * head_dim;
                    if (part.norm.data) k.rms_norm(x, part.norm.data, eps, head_dim, x);
                    k.rope(x, p.rope_rows[t].cos, p.rope_rows[t].sin, head_dim, x);
                }
        });
    }
};

struct Attend : Instruction {
    BufferId q, k, v, out;
    int64_t layer, heads, kv_heads, head_dim;

    void fields(Fields& f) override {
        f("q", q), f("k", k), f("v", v), f("out", out);
        f("layer", layer), f("heads", heads), f("kv_heads", kv_heads), f("head_dim", head_dim);
    }

    void check(Program& p) override {
        ponder::check(kv_heads > 0 && head_dim > 0 && head_dim <= max_head && heads % kv_heads == 0,
                      "query heads must be a multiple of the key heads, their size between 1 and 1024");
        ponder::check(layer >= 0 && layer < 1 << 20, "no such layer");
        ponder::check(p.head_dim == head_dim && (p.layers == 0 || (p.heads == heads && p.kv_heads == kv_heads)),
                      "attentions differ in shape");
        p.check_plain(q, heads * head_dim, q);
        p.check_plain(k, kv_heads * head_dim, q);
        p.check_plain(v, kv_heads * head_dim, q);
        p.check_plain(out, heads * head_dim, q);
        ponder::check(!p.buffer(q).wanted, "attention has a row for each token");
        p.heads = heads;
        p.kv_heads = kv_heads;
        p.layers = std::max(p.layers, layer + 1);
        p.needs_batch = true;
    }

    void run(Operation&, Program& p) const override {
        Attention a = p.in->attention;
        a.q = p.row<const float>(q, 0);
        a.k = p.row<const float>(k, 0);
        a.v = p.row<const float>(v, 0);
        a.out = p.row<float>(out, 0);
        a.heads = heads;
        if (a.tables) a.cache = a.cache.of_layer(layer, p.in->layer_bytes);
        attention(a);
    }
};

struct Route : Instruction {
    BufferId scores, ids, weights;
    bool normalise;

    void fields(Fields& f) override { f("scores", scores), f("ids", ids), f("weights", weights), f("normalise", normalise); }

    void check(Program& p) override {
        int64_t experts = p.buffer(scores).width, top_k = p.buffer(ids).width;
        p.check_plain(scores, experts, scores);
        ponder::check(top_k >= 1 && top_k <= experts, "top_k must lie between 1 and the number of experts");
        p.check_plain(ids, top_k, scores);
        p.check_plain(weights, top_k, scores);
    }

    void run(Operation&, Program& p) const override {
        route(p.row<const float>(scores, 0), p.count(scores), p.buffers[scores].width, p.buffers[ids].width, normalise,
              p.row<int32_t>(ids, 0), p.row<float>(weights, 0));
    }
};

struct Experts : Instruction {  // x: packed for gate and up
    BufferId x, ids, weights, out;
    ExpertWeights w;

    void fields(Fields& f) override {
        f("x", x), f("ids", ids), f("weights", weights), f("out", out);
        f("gate", w.gate), f("up", w.up), f("down", w.down);
    }

    void check(Program& p) override {
        p.needs_batch = true;
        check_experts(w, p.buffer(out).width);
        w.chosen = reads_ahead() ? read_ahead : nullptr;
        p.check_packed(x, *w.gate[0]);
        p.check_plain(out, p.buffer(out).width, x);
        p.check_plain(ids, p.buffer(ids).width, x);
        p.check_plain(weights, p.buffer(ids).width, x);
    }

    void run(Operation&, Program& p) const override {
        if (p.count(x) == 0) return;
        experts(PackedRows{p.row<const char>(x, 0), p.row_stride(x)}, p.count(x), p.row<const int32_t>(ids, 0),
                p.row<const float>(weights, 0), p.buffers[ids].width, w, p.row<float>(out, 0));
    }
};

struct Rescore : Instruction {  // the largest of `logits` again with the weight, in place; x: packed for it
    const Matrix* weight;
    BufferId x, logits;
    Closest which;

    void fields(Fields& f) override {
        f("weight", weight), f("x", x), f("logits", logits), f("panels", which.panels), f("margin", which.margin);
    }

    void check(Program& p) override {
        check_rescore(*weight, which);
        p.check_packed(x, *weight);
        p.check_plain(logits, weight->n, x);
    }

    void run(Operation&, Program& p) const override {
        PackedRows rows = {p.row<const char>(x, 0), p.row_stride(x)};
        rescore(rows, p.count(x), *weight, which, p.row<float>(logits, 0));
    }
};

template <class T>
std::unique_ptr<Instruction> make() {
    return std::make_unique<T>();
}

}  // namespace

const std::vector<InstructionKind> instruction_kinds = {
    {"embed", make<Embed>}, {"prepare", make<Prepare>}, {"linear", make_linear},   {"heads", make<Heads>},
    {"attend", make<Attend>}, {"route", make<Route>},   {"experts", make<Experts>}, {"rescore", make<Rescore>},
};

}  // namespace ponder
