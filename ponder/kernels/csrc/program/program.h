// The forward pass of one model as a table of instructions over numbered buffers, run without Python.
//
// kernels/program/run.py records the pass once, fuses what belongs together and builds the table through
// program_bindings.cpp, which checks every number. Buffers hold a row for each token (or for each row of logits); what
// lies where is planned once from their first and last use. Results are those of the same operations one by one.
#pragma once
#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <variant>
#include <vector>

#include "program/ops.h"
#include "runtime/pool.h"

namespace ponder {

struct Buffer {
    int64_t width;       // 4-byte values of a row
    const Matrix* form;  // or: activations packed for matrices like this one
    bool wanted;         // a row for each row of logits, not for each token
};

struct Embed {  // out = rows `ids` of the table
    const Matrix* table;
    int out;
};

// Row by row: x (its logit rows only if `gather`), + add -> sum, norm -> out, and packed for what comes next.
// -1: not there; norm may be null.
struct Prepare {
    int x, add, sum, out;
    bool gather;
    const float* norm;
    float eps;
    std::vector<int> packed;
};

struct Linear {  // out = w x + bias for each part, all parts shared out together
    struct Part {
        const Matrix* w;
        int x, out;  // x: packed
        const float* bias;
    };
    std::vector<Part> parts;
    bool swiglu;  // the parts are gate and up; only silu(gate) * up is kept, in the first one's out
};

struct Heads {  // of each part: norm (may be null) and rotation of each head, in place
    struct Part {
        int x;
        int64_t heads;
        const float* norm;
    };
    std::vector<Part> parts;
    int64_t c;
    float eps;
};

struct Attend {
    int q, k, v, out;
    int64_t layer, heads, kv_heads, c;
};

struct Route {
    int scores, ids, weights;
    bool normalise;
};

struct Experts {  // x: packed for gate and up
    int x, ids, weights, out;
    ExpertWeights w;
};

struct Rescore {  // the largest of `logits` again with w, in place; x: packed for it
    const Matrix* w;
    int x, logits;
    Closest which;
};

using Instruction = std::variant<Embed, Prepare, Linear, Heads, Attend, Route, Experts, Rescore>;
constexpr std::array<const char*, 8> instruction_names = {"embed",  "prepare", "linear",  "heads",
                                                          "attend", "route",   "experts", "rescore"};

// What a run works on, see core/batch.py. attention: the batch and cache as for one operation; q, k, v, out and the
// layer's place in the cache are filled in by the program.
struct Input {
    int64_t tokens, wanted;
    const int32_t *ids, *logit_rows;  // [tokens], [wanted]
    const float* rope_factor;         // [sequences]
    Attention attention;
    int64_t layer_bytes;  // of the cache
};

class Program {
public:
    static constexpr int64_t rope_chunk = 1024;  // positions in one table

    std::vector<Buffer> buffers;
    int output = -1;  // the buffer that is the caller's: logits

    // `used`: every buffer that the instruction reads or writes
    void add(Instruction instruction, const std::vector<int>& used);
    // cos and sin [rope_chunk, c/2] for the positions chunk * rope_chunk .. of sequences with this factor
    void set_rope(float factor, int64_t chunk, const float* cos, const float* sin);
    bool has_rope(float factor, int64_t chunk) const;

    // Any thread may call it; runs wait for each other. logits: [wanted, words]
    // unwanted (may be null) is looked at before each instruction: once it is true the run ends there and returns
    // false, with logits that mean nothing and some of its keys and values written.
    bool run(const Input& in, float* logits, const std::atomic<bool>* unwanted);

    int64_t buffer_bytes() const { return arena_row * capacity; }  // held for the largest batch so far

    bool profiling = false;
    struct Spent {
        int64_t runs = 0, nanoseconds = 0;
    };
    std::array<Spent, instruction_names.size()> spent = {};  // while profiling, by kind of instruction

private:
    struct Rope {
        const float *cos, *sin;
    };
    struct Life {
        int first, last;  // instructions
    };
    struct Free {
        void operator()(char* p) const;
    };
    std::vector<Instruction> code;
    std::vector<Life> lives;
    std::map<std::pair<float, int64_t>, Rope> ropes;

    // The plan: buffer b of `capacity` rows lies at arena + offset[b] * capacity, its rows stride[b] bytes apart.
    const Kernels* planned = nullptr;
    std::vector<int64_t> stride, offset;
    int64_t arena_row = 0, capacity = 0;
    std::unique_ptr<char, Free> arena;

    // Of the run under way.
    const Input* in = nullptr;
    float* logits = nullptr;
    std::vector<Rope> turns;        // [tokens] rows of the rope tables
    std::vector<const void*> rows;  // pointers for the linear kernels
    std::vector<float*> outs;
    std::vector<Piece> pieces;

    void plan(const Kernels& k);
    void reserve(int64_t tokens);
    void find_turns();
    const Piece* likely_after(const Operation& op, int64_t at) const;
    int64_t count(int buffer) const { return buffers[buffer].wanted ? in->wanted : in->tokens; }
    template <class T>
    T* row(int buffer, int64_t r) const;

    void run(Operation& op, const Embed& i);
    void run(Operation& op, const Prepare& i);
    void run(Operation& op, const Linear& i);
    void run_swiglu(Operation& op, const Linear& i, int64_t tokens);
    void run(Operation& op, const Heads& i);
    void run(Operation& op, const Attend& i);
    void run(Operation& op, const Route& i);
    void run(Operation& op, const Experts& i);
    void run(Operation& op, const Rescore& i);
};

}  // namespace ponder
