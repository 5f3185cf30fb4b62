// The instruction that multiplies with weights: several matrices of one input, whose work is shared out together.
#include <algorithm>

#include "program/program.h"
#include "runtime/dispatch.h"

namespace ponder {

namespace {

struct Linear : Instruction {  // out = weight x + bias for each part, all parts shared out together
    struct Part {
        const Matrix* weight;
        BufferId x, out;  // x: packed
        Floats bias;
        void fields(Fields& f) { f("weight", weight), f("x", x), f("out", out), f("bias", bias); }
    };
    std::vector<Part> parts;
    bool swiglu;  // the parts are gate and up; only silu(gate) * up is kept, in the first one's out

    void fields(Fields& f) override {
        f("swiglu", swiglu);
        f.each("parts", [&](Fields& part) { parts.emplace_back().fields(part); });
    }

    void check(Program& p) override {
        ponder::check(!parts.empty() && (!swiglu || parts.size() == 2), "linear: no parts, or swiglu of other than two");
        for (const Part& part : parts) {
            p.check_packed(part.x, *part.weight);
            ponder::check(p.buffer(part.x).wanted == p.buffer(parts[0].x).wanted, "linear: rows differ");
            p.check_plain(part.out, part.weight->n, parts[0].x);
            ponder::check(!part.bias.data || part.bias.size == part.weight->n, "linear: the bias has another width");
        }
        ponder::check(!swiglu || parts[0].weight->n == parts[1].weight->n, "gate and up differ in shape");
    }

    void run(Operation& op, Program& p) const override {
        int64_t tokens = p.count(parts[0].x), number = (int64_t)parts.size();
        if (tokens == 0) return;
        p.rows.resize(number * tokens);
        p.outs.resize(number * tokens);
        for (int64_t i = 0; i < number; i++)
            for (int64_t t = 0; t < tokens; t++) {
                p.rows[i * tokens + t] = p.row<const void>(parts[i].x, t);
                p.outs[i * tokens + t] = p.row<float>(parts[i].out, t);
            }
        p.pieces.clear();
        int64_t left = 0, cuts = swiglu ? 1 : number;  // up is cut as gate is
        for (int64_t i = 0; i < cuts; i++) left += parts[i].weight->n * row_bytes(*parts[i].weight);
        for (int64_t i = 0; i < cuts; i++) cut(*parts[i].weight, i, tokens, op.pool.threads(), left, p.pieces);
        if (swiglu) return run_swiglu(op, p, tokens);
        op.run((int64_t)p.pieces.size(), [&](int64_t at, int) {
            const Piece &piece = p.pieces[at], *next = likely_after(op, p, at);
            const Part& part = parts[piece.part];
            linear_piece(*part.weight, piece, p.rows.data() + piece.part * tokens, tokens, p.outs.data() + piece.part * tokens,
                         part.bias.data, next ? Rows{parts[next->part].weight, next->n0} : Rows{});
        });
    }

    static const Piece* likely_after(const Operation& op, const Program& p, int64_t at) {
        size_t next = (size_t)op.likely_after(at);
        return next < p.pieces.size() ? &p.pieces[next] : nullptr;
    }

    static constexpr int64_t swiglu_tokens = 128;  // at once, which bounds a thread's scratch

    // p.pieces of gate, p.rows and p.outs [gate, up][tokens] are set
    void run_swiglu(Operation& op, Program& p, int64_t tokens) const {
        const Kernels& k = kernels();
        const Part &gate = parts[0], &up = parts[1];
        int64_t height = 0, chunk = std::min(tokens, swiglu_tokens);
        for (const Piece& piece : p.pieces) height = std::max(height, piece.n1 - piece.n0);
        int64_t bytes = padded(2 * chunk * height * 4);
        char* scratch = op.pool.scratch(op.pool.threads() * bytes);
        op.run((int64_t)p.pieces.size(), [&](int64_t at, int thread) {
            int64_t n0 = p.pieces[at].n0, n1 = p.pieces[at].n1;
            const Piece* next = likely_after(op, p, at);
            float *g = (float*)(scratch + thread * bytes), *gs[swiglu_tokens], *us[swiglu_tokens];
            for (int64_t t = 0; t < chunk; t++) {
                gs[t] = g + t * height - n0;
                us[t] = gs[t] + chunk * height;
            }
            const void* const* xs = p.rows.data();
            for (int64_t t0 = 0; t0 < tokens; t0 += chunk) {
                int64_t here = std::min(chunk, tokens - t0);
                linear_piece(*gate.weight, p.pieces[at], xs + t0, here, gs, gate.bias.data, {up.weight, n0});
                linear_piece(*up.weight, p.pieces[at], xs + tokens + t0, here, us, up.bias.data,
                             next ? Rows{gate.weight, next->n0} : Rows{});
                for (int64_t t = 0; t < here; t++) k.swiglu(gs[t] + n0, us[t] + n0, n1 - n0, p.outs[t0 + t] + n0);
            }
        });
    }
};

}  // namespace

std::unique_ptr<Instruction> make_linear() { return std::make_unique<Linear>(); }

}  // namespace ponder
