// The operations over whole arrays: splits them over threads and calls the kernels in force. Inputs are checked by the
// caller: bindings.cpp, and instructions.cpp for programs.
#pragma once
#include <vector>

#include "runtime/kernels.h"

namespace ponder {

inline int64_t padded(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Rows n0 .. n1 of one of several matrices that are worked on together.
struct Piece {
    int64_t part, n0, n1;
};
int64_t row_bytes(const Matrix& w);
// Appends the pieces of W. `left`: bytes of the matrices that are not cut yet, W included. Pieces begin large, since
// memory is read fastest in long runs, and end small, so that threads end together.
void cut(const Matrix& w, int64_t part, int64_t tokens, int threads, int64_t& left, std::vector<Piece>& pieces);
// Kernels::linear over the rows of a piece, in panels, or so many at a time as stay in the L2 cache while all tokens pass over them.
void linear_piece(const Matrix& w, const Piece& piece, const void* const* x, int64_t tokens, float* const* y,
                  const float* bias, const Rows& next);

// Row n of a weight as floats [k], exactly.
void decode_row(const Matrix& w, int64_t n, float* out);
// out [count, k]
void embed(const Matrix& w, const int32_t* ids, int64_t count, float* out);

// x [tokens, k], bias [n] or null -> y [tokens, n]
void linear(const float* x, int64_t tokens, const Matrix& w, const float* bias, float* y);

struct Attention {
    const float *q, *k, *v;  // [T, heads, c], [T, kv_heads, c] twice
    const int32_t *positions, *starts, *tables;  // [T], [B + 1], [B, table_width] or null
    KvCache cache;  // of this layer; without tables only heads and c count
    int64_t sequences, heads, table_width;
    float* out;  // [T, heads, c]
};
void attention(const Attention& a);

// logits [tokens, experts] -> ids, weights [tokens, top_k]
void route(const float* logits, int64_t tokens, int64_t experts, int64_t top_k, bool normalise, int32_t* ids,
           float* weights);

// gate and up [i, d], down [d, i] of each expert; the matrices of a part are alike in kind and shape
struct ExpertWeights {
    std::vector<const Matrix*> gate, up, down;
    // Told which experts have work before any of it begins, so that mapped files can be read ahead; may be null.
    void (*chosen)(const ExpertWeights& w, const std::vector<int32_t>& experts) = nullptr;
};
void check_experts(const ExpertWeights& w, int64_t d);  // throws std::invalid_argument unless they fit rows of d values
// What `chosen` may be (read_ahead.cpp), and whether programs that are recorded from now on use it.
void read_ahead(const ExpertWeights& w, const std::vector<int32_t>& experts);
void set_read_ahead(bool on);
bool reads_ahead();
struct PackedRows {
    const char* base;
    int64_t stride;  // bytes
};
// x, out [tokens, d]; ids, weights [tokens, top_k]
void experts(const float* x, int64_t tokens, const int32_t* ids, const float* weights, int64_t top_k,
             const ExpertWeights& w, float* out);
void experts(const PackedRows& x, int64_t tokens, const int32_t* ids, const float* weights, int64_t top_k,
             const ExpertWeights& w, float* out);  // x: packed for gate and up

// Panels of 16 outputs of a row of logits: at most so many, none whose largest lies more than `margin` below the row's (a
// row with NaN or +infinity knows no margin).
struct Closest {
    int64_t panels;
    float margin;
};
void check_rescore(const Matrix& w, const Closest& which);  // throws std::invalid_argument
// logits [tokens, n], computed with a coarse copy of w: those panels of each row are computed again with w, which lies in
// panels. x [tokens, k]
void rescore(const float* x, int64_t tokens, const Matrix& w, const Closest& which, float* logits);
void rescore(const PackedRows& x, int64_t tokens, const Matrix& w, const Closest& which, float* logits);

void rms_norm(const float* x, int64_t rows, int64_t n, const float* weight, float eps, float* out);
void rope(const float* x, const float* cos, const float* sin, int64_t tokens, int64_t heads, int64_t c, float* out);
void swiglu(const float* gate, const float* up, int64_t n, float* out);

// int8, int4 and uint4, row-major as Tensor holds them (data [n, k] or [n, k/2], scale [n, k/group] or of uint4
// [n, k/group, 2] with the offsets, grid [16] for int4) to one buffer of buffer_bytes(w), and back; w.data and w.scale are where from_panels reads
void to_panels(const Matrix& w, const uint8_t* data, const uint16_t* scale, const int8_t* grid, uint8_t* buffer);
void from_panels(const Matrix& w, uint8_t* data, uint16_t* scale, int8_t* grid);

// raw: n rows of k values in a format of `formats` -> data and scale as above, those of uint4 from Q4_1 and Q4_K only. Returns
// the flags of kernels.h. mapped: raw is a read-only mapping of a file, and its pages are given back once read.
struct Target {
    Kind kind;
    int64_t n, k, group;
    uint8_t* data;
    uint16_t* scale;
    const float* importance;  // [k], for int4: how much the error of a column counts
    const int8_t* grid;       // for int4
    const CodeTable* table;   // of the grid
};
CodeTable code_table(const int8_t* grid);  // 16 rising values
const Format* find_format(const char* name);  // null if there is none
int convert(const Format& format, const uint8_t* raw, const Target& to, bool mapped);

// out [n, k]: normal numbers; row i is that of `first + i` of the sequence that `seed` names
void normal(uint64_t seed, int64_t first, float spread, int64_t n, int64_t k, float* out);

}  // namespace ponder
