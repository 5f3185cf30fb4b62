#include "program/program.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>
#include <stdexcept>

#include "runtime/dispatch.h"

namespace ponder {

void check(bool ok, const std::string& message) {
    if (!ok) throw std::invalid_argument(message);
}

const Buffer& Program::buffer(int b) const {
    check(b >= 0 && b < (int)buffers.size(), "there is no buffer " + std::to_string(b));
    return buffers[b];
}

void Program::check_plain(int b, int64_t width, int like) const {
    const Buffer& found = buffer(b);
    check(found.form == nullptr && found.width == width, "buffer " + std::to_string(b) + " is " +
          std::to_string(found.width) + " wide, not " + std::to_string(width));
    check(found.wanted == buffer(like).wanted, "buffer " + std::to_string(b) + " has other rows");
}

void Program::check_packed(int b, const Matrix& w) const {
    const Matrix* form = buffer(b).form;
    check(form && form->kind == w.kind && form->group == w.group && form->k == w.k,
          "buffer " + std::to_string(b) + " is packed for another kind of matrix");
}

void Program::add(size_t kind, std::unique_ptr<Instruction> instruction, const std::vector<int>& used) {
    int now = (int)code.size();
    lives.resize(buffers.size(), {-1, -1});
    for (int b : used) {
        if (b < 0) continue;
        if (lives[b].first < 0) lives[b].first = now;
        lives[b].last = now;
    }
    code.push_back({kind, std::move(instruction)});
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
        if (b == output || buffers[b].own || lives[b].first < 0) continue;
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
    capacity = 0;  // should there be no memory
    arena = aligned(std::max<int64_t>(64, rounded * arena_row));
    capacity = rounded;
}

void Program::place(float* logits) {
    base.resize(buffers.size());
    for (size_t b = 0; b < buffers.size(); b++)
        base[b] = (int)b == output ? (char*)logits : buffers[b].own ? buffers[b].own : arena.get() + offset[b] * capacity;
}

void Program::set_rope(float factor, int64_t chunk, const float* cos, const float* sin) {
    Operation op;
    ropes[{factor, chunk}] = {cos, sin};
}

bool Program::has_rope(float factor, int64_t chunk) const { return ropes.count({factor, chunk}) > 0; }

void Program::find_rope_rows() {
    const Attention& a = in->attention;
    int64_t half = head_dim / 2;
    rope_rows.resize(in->tokens);
    for (int64_t b = 0; b < a.sequences; b++) {
        int64_t chunk = -1;
        Rope table = {};
        for (int64_t t = a.starts[b]; t < a.starts[b + 1]; t++) {
            int64_t p = a.positions[t];
            if (p / rope_chunk != chunk) {
                chunk = p / rope_chunk;
                table = ropes.at({in->rope_factor[b], chunk});
            }
            rope_rows[t] = {table.cos + p % rope_chunk * half, table.sin + p % rope_chunk * half};
        }
    }
}

bool Program::run(const Input& input, float* logits, const std::atomic<bool>* cancelled) {
    Operation op;
    const Kernels& k = kernels();
    if (planned != &k) plan(k);
    reserve(std::max(input.tokens, input.wanted));
    in = &input;
    place(logits);
    find_rope_rows();
    for (const Step& step : code) {
        if (cancelled && cancelled->load(std::memory_order_relaxed)) return false;
        if (!profiling) {
            step.instruction->run(op, *this);
            continue;
        }
        auto start = std::chrono::steady_clock::now();
        step.instruction->run(op, *this);
        Spent& s = spent[step.kind];
        s.runs++;
        s.nanoseconds += (std::chrono::steady_clock::now() - start) / std::chrono::nanoseconds(1);
    }
    return true;
}

}  // namespace ponder
