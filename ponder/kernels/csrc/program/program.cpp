#include "program/program.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>
#include <numeric>

#include "runtime/dispatch.h"

namespace ponder {

void Program::Free::operator()(char* p) const { std::free(p); }

void Program::add(Instruction instruction, const std::vector<int>& used) {
    int now = (int)code.size();
    lives.resize(buffers.size(), {-1, -1});
    for (int b : used) {
        if (b < 0) continue;
        if (lives[b].first < 0) lives[b].first = now;
        lives[b].last = now;
    }
    code.push_back(std::move(instruction));
    planned = nullptr;
}

// Each buffer gets the lowest place that is free while it lives, the widest first.
void Program::plan(const Kernels& k) {
    size_t n = buffers.size();
    stride.assign(n, 0);
    offset.assign(n, 0);
    lives.resize(n, {-1, -1});
    std::vector<int> order(n), placed;
    for (size_t b = 0; b < n; b++)
        stride[b] = buffers[b].form ? padded(k.packed_bytes(*buffers[b].form)) : buffers[b].width * 4;
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return stride[a] > stride[b]; });
    arena_row = 0;
    for (int b : order) {
        if (b == output || lives[b].first < 0) continue;
        std::vector<std::pair<int64_t, int64_t>> taken;
        for (int o : placed)
            if (lives[o].first <= lives[b].last && lives[b].first <= lives[o].last)
                taken.push_back({offset[o], offset[o] + stride[o]});
        std::sort(taken.begin(), taken.end());
        int64_t at = 0;
        for (auto& [from, to] : taken) {
            if (at + stride[b] <= from) break;
            at = std::max(at, to);
        }
        offset[b] = at;
        arena_row = std::max(arena_row, at + stride[b]);
        placed.push_back(b);
    }
    planned = &k;
    capacity = 0;
}

void Program::reserve(int64_t count) {
    if (count <= capacity) return;
    int64_t rounded = (count + 15) / 16 * 16;  // so that every buffer begins at a multiple of 64 bytes
    arena.reset();
    arena.reset((char*)std::aligned_alloc(64, (size_t)std::max<int64_t>(64, rounded * arena_row)));
    capacity = arena ? rounded : 0;
    if (!arena) throw std::bad_alloc();
}

template <class T>
T* Program::row(int b, int64_t r) const {
    char* base = b == output ? (char*)logits : arena.get() + offset[b] * capacity;
    return (T*)(base + r * stride[b]);
}

void Program::set_rope(float factor, int64_t chunk, const float* cos, const float* sin) {
    Operation op;
    ropes[{factor, chunk}] = {cos, sin};
}

bool Program::has_rope(float factor, int64_t chunk) const { return ropes.count({factor, chunk}) > 0; }

void Program::find_turns() {
    const Attention& a = in->attention;
    int64_t half = 0;
    for (const Instruction& i : code)
        if (auto* heads = std::get_if<Heads>(&i)) {
            half = heads->c / 2;
            break;
        }
    turns.resize(in->tokens);
    for (int64_t b = 0; b < a.sequences; b++) {
        int64_t chunk = -1;
        Rope table = {};
        for (int64_t t = a.starts[b]; t < a.starts[b + 1]; t++) {
            int64_t p = a.positions[t];
            if (p / rope_chunk != chunk) {
                chunk = p / rope_chunk;
                table = ropes.at({in->rope_factor[b], chunk});
            }
            turns[t] = {table.cos + p % rope_chunk * half, table.sin + p % rope_chunk * half};
        }
    }
}

bool Program::run(const Input& input, float* out, const std::atomic<bool>* unwanted) {
    Operation op;
    const Kernels& k = kernels();
    if (planned != &k) plan(k);
    reserve(std::max(input.tokens, input.wanted));
    in = &input;
    logits = out;
    find_turns();
    for (const Instruction& instruction : code) {
        if (unwanted && unwanted->load(std::memory_order_relaxed)) return false;
        if (!profiling) {
            std::visit([&](const auto& i) { run(op, i); }, instruction);
            continue;
        }
        auto start = std::chrono::steady_clock::now();
        std::visit([&](const auto& i) { run(op, i); }, instruction);
        Spent& s = spent[instruction.index()];
        s.runs++;
        s.nanoseconds += (std::chrono::steady_clock::now() - start) / std::chrono::nanoseconds(1);
    }
    return true;
}

void Program::run(Operation&, const Embed& i) { embed(*i.table, in->ids, in->tokens, row<float>(i.out, 0)); }

void Program::run(Operation& op, const Prepare& i) {
    const Kernels& k = kernels();
    int64_t width = buffers[i.x].width, rows = i.gather ? in->wanted : count(i.x), at_once = std::max<int64_t>(1, 8192 / width);
    char* scratch = op.pool.scratch(op.pool.threads() * padded(width * 4));
    op.run((rows + at_once - 1) / at_once, [&](int64_t piece, int thread) {
        for (int64_t r = piece * at_once; r < std::min(rows, (piece + 1) * at_once); r++) {
            const float* x = row<const float>(i.x, i.gather ? in->logit_rows[r] : r);
            if (i.add >= 0) {
                float* sum = row<float>(i.sum, r);
                if (sum != x) std::memcpy(sum, x, width * 4);
                k.add_scaled(row<const float>(i.add, r), 1.0f, width, sum);
                x = sum;
            }
            if (i.norm) {
                float* y = i.out >= 0 ? row<float>(i.out, r) : (float*)(scratch + thread * padded(width * 4));
                k.rms_norm(x, i.norm, i.eps, width, y);
                x = y;
            } else if (i.out >= 0) {
                std::memcpy(row<float>(i.out, r), x, width * 4);
            }
            for (int b : i.packed) k.pack(*buffers[b].form, x, row<void>(b, r));
        }
    });
}

const Piece* Program::likely_after(const Operation& op, int64_t at) const {
    size_t next = (size_t)op.likely_after(at);
    return next < pieces.size() ? &pieces[next] : nullptr;
}

void Program::run(Operation& op, const Linear& i) {
    int64_t tokens = count(i.parts[0].x), parts = (int64_t)i.parts.size();
    if (tokens == 0) return;
    rows.resize(parts * tokens);
    outs.resize(parts * tokens);
    for (int64_t p = 0; p < parts; p++)
        for (int64_t t = 0; t < tokens; t++) {
            rows[p * tokens + t] = row<const void>(i.parts[p].x, t);
            outs[p * tokens + t] = row<float>(i.parts[p].out, t);
        }
    pieces.clear();
    int64_t left = 0, cuts = i.swiglu ? 1 : parts;  // up is cut as gate is
    for (int64_t p = 0; p < cuts; p++) left += i.parts[p].w->n * row_bytes(*i.parts[p].w);
    for (int64_t p = 0; p < cuts; p++) cut(*i.parts[p].w, p, tokens, op.pool.threads(), left, pieces);
    if (i.swiglu) return run_swiglu(op, i, tokens);
    op.run((int64_t)pieces.size(), [&](int64_t at, int) {
        const Piece &piece = pieces[at], *next = likely_after(op, at);
        const Linear::Part& part = i.parts[piece.part];
        linear_piece(*part.w, piece, rows.data() + piece.part * tokens, tokens, outs.data() + piece.part * tokens,
                     part.bias, next ? Rows{i.parts[next->part].w, next->n0} : Rows{});
    });
}

constexpr int64_t swiglu_tokens = 128;  // at once, which bounds a thread's scratch

// `pieces` of gate, `rows` and `outs` [gate, up][tokens] are set
void Program::run_swiglu(Operation& op, const Linear& i, int64_t tokens) {
    const Kernels& k = kernels();
    const Linear::Part &gate = i.parts[0], &up = i.parts[1];
    int64_t height = 0, chunk = std::min(tokens, swiglu_tokens);
    for (const Piece& piece : pieces) height = std::max(height, piece.n1 - piece.n0);
    int64_t bytes = padded(2 * chunk * height * 4);
    char* scratch = op.pool.scratch(op.pool.threads() * bytes);
    op.run((int64_t)pieces.size(), [&](int64_t at, int thread) {
        int64_t n0 = pieces[at].n0, n1 = pieces[at].n1;
        const Piece* next = likely_after(op, at);
        float *g = (float*)(scratch + thread * bytes), *gs[swiglu_tokens], *us[swiglu_tokens];
        for (int64_t t = 0; t < chunk; t++) {
            gs[t] = g + t * height - n0;
            us[t] = gs[t] + chunk * height;
        }
        for (int64_t t0 = 0; t0 < tokens; t0 += chunk) {
            int64_t here = std::min(chunk, tokens - t0);
            linear_piece(*gate.w, pieces[at], rows.data() + t0, here, gs, gate.bias, {up.w, n0});
            linear_piece(*up.w, pieces[at], rows.data() + tokens + t0, here, us, up.bias, next ? Rows{gate.w, next->n0} : Rows{});
            for (int64_t t = 0; t < here; t++) k.swiglu(gs[t] + n0, us[t] + n0, n1 - n0, outs[t0 + t] + n0);
        }
    });
}

void Program::run(Operation& op, const Heads& i) {
    const Kernels& k = kernels();
    op.split(in->tokens, 4, [&](int64_t t) {
        for (const Heads::Part& part : i.parts)
            for (int64_t h = 0; h < part.heads; h++) {
                float* x = row<float>(part.x, t) + h * i.c;
                if (part.norm) k.rms_norm(x, part.norm, i.eps, i.c, x);
                k.rope(x, turns[t].cos, turns[t].sin, i.c, x);
            }
    });
}

void Program::run(Operation&, const Attend& i) {
    Attention a = in->attention;
    a.q = row<const float>(i.q, 0);
    a.k = row<const float>(i.k, 0);
    a.v = row<const float>(i.v, 0);
    a.out = row<float>(i.out, 0);
    a.heads = i.heads;
    if (a.tables) a.cache = a.cache.of_layer(i.layer, in->layer_bytes);
    attention(a);
}

void Program::run(Operation&, const Route& i) {
    route(row<const float>(i.scores, 0), count(i.scores), buffers[i.scores].width, buffers[i.ids].width, i.normalise,
          row<int32_t>(i.ids, 0), row<float>(i.weights, 0));
}

void Program::run(Operation&, const Experts& i) {
    if (count(i.x) == 0) return;
    experts(PackedRows{row<const char>(i.x, 0), stride[i.x]}, count(i.x), row<const int32_t>(i.ids, 0),
            row<const float>(i.weights, 0), buffers[i.ids].width, i.w, row<float>(i.out, 0));
}

void Program::run(Operation&, const Rescore& i) {
    rescore(PackedRows{row<const char>(i.x, 0), stride[i.x]}, count(i.x), *i.w, i.which, row<float>(i.logits, 0));
}

}  // namespace ponder
