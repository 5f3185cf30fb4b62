// What one instruction set provides: a table of plain functions, one table per compiled variant.
//
// linear, linear_panels, attention, elementwise, decode, quantise, search, normal and sampling.cpp are compiled once per
// instruction set (see CMakeLists.txt), each time in another namespace (PONDER_NS), and dispatch.cpp picks a table at run
// time. Rules:
// no std:: templates (the linker keeps one copy for the whole library, possibly the one with too new instructions),
// and each output is summed in an order that depends on the summed length alone (DT-1).
#pragma once
#include <cstddef>
#include <cstdint>

#include "attention/kv.h"
#include "training/unit.h"

namespace ponder {

enum class Kind : int { f32, bf16, int8, int4, uint4 };

// Weight [n, k]: f32 and bf16 row-major, the others in panels with float16 scales for groups along k (panels.h). A value
// is code * scale; of int4 the code stands for one of 16 numbers, of uint4 for itself, 0 to 15, and the group's offset is
// added.
struct Matrix {
    Kind kind;
    int64_t n, k, group;
    const void* data;
    const uint16_t* scale;
};

// How a matrix lies in a file: rows of whole blocks of `elements` values in `bytes` bytes.
enum class Stored : int { f32, f16, bf16, q4_0, q4_1, q5_0, q5_1, q8_0, q4_k, q5_k, q6_k, iq4_nl, iq4_xs };
struct Format {
    const char* name;  // GGUF's; f32, f16 and bf16 are safetensors' too
    Stored type;
    int64_t elements, bytes;
};

// The grid of int4, the values of its 16 codes: for the integers -128..127 the nearest of them and its code (scale_search.py).
struct CodeTable {
    float first, last;  // smallest and largest value
    float nearest[256];
    uint8_t index[256];
    float value[16];
    float split[16];  // a search tree from 1 on: the least integer of code 8; of 4, 12; of 2, 6, 10, 14; of 1, 3, 5, ...
};
constexpr int8_t linear_grid[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};  // of Q4_0
constexpr int8_t normal_grid[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};  // IQ4_NL
constexpr int search_steps = 6;  // scales that are tried, twice: scale_search.py says which
constexpr float search_factors[search_steps] = {0.84f, 0.91f, 0.98f, 1.05f, 1.12f, 1.19f};

constexpr int bad_not_finite = 1, bad_too_large = 2;  // flags: what is wrong with the values of a row

// One (sequence, KV head, run of query tokens). Query i is token first_token + i at position first_position + i.
struct AttentionUnit {
    const float* q;  // [T, heads, c]
    float* out;      // [T, heads, c]
    KvCache cache;   // of this layer
    const int32_t* table;
    int64_t heads, kv_head, first_token, first_position, tokens;
    int64_t first_span, end_span;  // all spans up to the last key, or some of them if others do the rest:
    const AttentionUnit* next;  // what the same thread may do next, or null; only to ask memory for it early
    float* partial;  // null, or [end_span - first_span][tokens * heads / kv_heads][kv_padded + 2] for combine_spans
};

constexpr float smallest_activation = 1e-30f;  // a group below this counts as zero when it is quantised to int8
constexpr int64_t max_queries = 96;  // rows (tokens * heads / kv_heads) of one unit, if one token does not have more
// Bytes of scratch for one unit of so many rows.
constexpr int64_t attention_scratch(int64_t rows, int64_t c) {
    int64_t padded = kv_padded(c), tiles = key_span / key_tile * kv_tile(KvKind::f32, c);
    return rows * (4 * padded + 16 + 8 * key_span + 2 * lane_row + 8 * (padded + 2)) + 48 * padded + tiles + 1024;
}

constexpr int64_t maxima_group = 128;
constexpr int64_t scattered_rows = 64;

// Weights from row n on, to ask memory for while others are multiplied; w may be null.
struct Rows {
    const Matrix* w;
    int64_t n;
};

struct Kernels {
    const char* name;
#define KERNEL(result, name, arguments) result(*name) arguments;
#include "runtime/kernel_list.h"
#undef KERNEL
};

const Kernels& kernels_scalar();
const Kernels& kernels_avx2();
const Kernels& kernels_avxvnni();
const Kernels& kernels_avx512();
const Kernels& kernels_avx512bf16();
const Kernels& kernels_amx();
const Kernels& kernels_neon();
const Kernels& kernels_dotprod();
const Kernels& kernels_i8mm();

}  // namespace ponder
