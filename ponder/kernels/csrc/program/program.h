// The forward pass of one model as a table of instructions over numbered buffers, run without Python.
//
// kernels/program/run.py records the pass once, fuses what belongs together and builds the table through
// program_bindings.cpp. Buffers hold a row for each token (or for each row of logits); what lies where is planned once
// from their first and last use. Results are those of the same operations one by one.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <vector>

#include "program/instruction.h"
#include "program/ops.h"
#include "runtime/aligned.h"
#include "runtime/pool.h"

namespace ponder {

struct Buffer {
    int64_t width;         // 4-byte values of a row
    const Matrix* form;    // or: activations packed for matrices like this one
    bool wanted;           // a row for each row of logits, not for each token
    char* own = nullptr;   // where it lies, if the program does not place it
    int64_t own_rows = 0;
};

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

    // What a batch must be checked against: rows of the embedding, layers, and heads, all of one shape.
    int64_t table_rows = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0;
    bool needs_batch = false;  // or trusts values that another instruction must have made

    // `kind`: an index of instruction_kinds; `used`: every buffer that the instruction reads or writes
    void add(size_t kind, std::unique_ptr<Instruction> instruction, const std::vector<int>& used);
    // cos and sin [rope_chunk, head_dim / 2] for the positions chunk * rope_chunk .. of sequences with this factor
    void set_rope(float factor, int64_t chunk, const float* cos, const float* sin);
    bool has_rope(float factor, int64_t chunk) const;

    // Any thread may call it; runs wait for each other. logits: [wanted, words]
    // cancelled (may be null) is looked at before each instruction: once it is true the run ends there and returns
    // false, with logits that mean nothing and some of its keys and values written.
    bool run(const Input& in, float* logits, const std::atomic<bool>* cancelled);

    int64_t buffer_bytes() const { return arena_row * capacity; }  // held for the largest batch so far

    bool profiling = false;
    struct Spent {
        int64_t runs = 0, nanoseconds = 0;
    };
    std::vector<Spent> spent = std::vector<Spent>(instruction_kinds.size());  // while profiling, by kind

    // For the instructions. While they are checked:
    const Buffer& buffer(int b) const;
    void check_plain(int b, int64_t width, int like) const;  // of floats, `width` to a row; rows as those of `like`
    void check_packed(int b, const Matrix& w) const;          // of activations packed for matrices like w

    // While they run:
    struct Rope {
        const float *cos, *sin;
    };
    const Input* in = nullptr;
    std::vector<Rope> rope_rows;    // [tokens] rows of the rope tables
    std::vector<const void*> rows;  // pointers for the linear kernels
    std::vector<float*> outs;
    std::vector<Piece> pieces;
    int64_t count(int b) const { return buffers[b].wanted ? in->wanted : in->tokens; }
    int64_t row_stride(int b) const { return stride[b]; }
    template <class T>
    T* row(int b, int64_t r) const {
        return (T*)(base[b] + r * stride[b]);
    }

private:
    struct Step {
        size_t kind;
        std::unique_ptr<Instruction> instruction;
    };
    struct Life {
        int first, last;  // instructions
    };
    std::vector<Step> code;
    std::vector<Life> lives;
    std::map<std::pair<float, int64_t>, Rope> ropes;

    // The plan: buffer b of `capacity` rows lies at arena + offset[b] * capacity, its rows stride[b] bytes apart.
    const Kernels* planned = nullptr;
    std::vector<int64_t> stride, offset;
    int64_t arena_row = 0, capacity = 0;
    Aligned<> arena;
    std::vector<char*> base;  // of each buffer, of the run under way

    void plan(const Kernels& k);
    void reserve(int64_t tokens);
    void place(float* logits);
    void find_rope_rows();
};

// Throws std::invalid_argument.
void check(bool ok, const std::string& message);

}  // namespace ponder
