// What one instruction set provides: a table of plain functions, one table per compiled variant.
//
// linear, attention, elementwise, decode, quantise, search and normal.cpp are compiled once per instruction set (see
// CMakeLists.txt), each time in another namespace (PONDER_NS), and dispatch.cpp picks a table at run time. Rules there:
// no std:: templates (the linker keeps one copy for the whole library, possibly the one with too new instructions),
// and each output is summed in an order that depends on the summed length alone (DT-1).
#pragma once
#include <cstddef>
#include <cstdint>

namespace ponder {

enum class Kind : int { f32, bf16, int8, int4 };

// Row-major weight [n, k]; scale: float16 bits [n, k/group], only for int8 and int4.
struct Matrix {
    Kind kind;
    int64_t n, k, group;
    const void* data;
    const uint16_t* scale;
};

// How a matrix lies in a file: rows of whole blocks of `elements` values in `bytes` bytes.
enum class Stored : int { f32, f16, bf16, q4_0, q4_1, q5_0, q5_1, q8_0, q4_k, q5_k, q6_k };
struct Format {
    const char* name;  // GGUF's; f32, f16 and bf16 are safetensors' too
    Stored type;
    int64_t elements, bytes;
};

// The 16 values of int4's codes, and for the integers -128..127 the nearest of them and its number (search.py).
struct CodeTable {
    float first, last;  // smallest and largest value
    float nearest[256];
    uint8_t index[256];
};
constexpr int search_steps = 6;  // scales that are tried, twice: search.py says which
constexpr float search_factors[search_steps] = {0.84f, 0.91f, 0.98f, 1.05f, 1.12f, 1.19f};

constexpr int bad_not_finite = 1, bad_too_large = 2;  // flags: what is wrong with the values of a row

// One (sequence, kv head, run of query tokens). Query i is token first_token + i at position first_position + i.
// Keys come from the paged cache (table != null) or from the k, v of this batch, whose sequence starts at start_token.
struct AttentionUnit {
    const float* q;      // [T, heads, c]
    float* out;          // [T, heads, c]
    const void *k, *v;   // cache of this layer [blocks, kv_heads, block_size, c], or [T, kv_heads, c]
    bool bf16;           // k and v hold bfloat16 bits, else float
    const int32_t* table;
    int64_t block_size, start_token;
    int64_t heads, kv_heads, c, kv_head;
    int64_t first_token, first_position, tokens;
};

constexpr float smallest_activation = 1e-30f;  // a group below this counts as zero when it is quantised to int8
constexpr int64_t key_tile = 32;      // keys of one online-softmax step, counted from absolute position 0
constexpr int64_t max_queries = 64;   // tokens * heads / kv_heads of one unit; bounds the scratch
// floats of scratch for one unit
constexpr int64_t attention_scratch(int64_t c) {
    int64_t padded = (c + 15) / 16 * 16;
    return 2 * key_tile * padded + max_queries * (2 * padded + key_tile + 2);
}

struct Kernels {
    const char* name;
    // Activations in the form linear() wants for this kind of weight: bytes of one row, and writing one row.
    int64_t (*packed_bytes)(const Matrix& w);
    void (*pack)(const Matrix& w, const float* x, void* packed);
    // y[t][n] = dot(w[n], x[t]) + bias[n] for n0 <= n < n1 and 0 <= t < tokens; x: packed rows, bias may be null
    void (*linear)(const Matrix& w, int64_t n0, int64_t n1, const void* const* x, int64_t tokens, float* const* y,
                   const float* bias);
    void (*attention)(const AttentionUnit& u, float* scratch);
    void (*to_bf16)(const float* x, uint16_t* out, int64_t n);
    void (*rms_norm)(const float* x, const float* weight, float eps, int64_t n, float* out);
    void (*rope)(const float* x, const float* cos, const float* sin, int64_t c, float* out);  // one head
    void (*swiglu)(const float* gate, const float* up, int64_t n, float* out);
    void (*add_scaled)(const float* x, float scale, int64_t n, float* out);  // out += scale * x
    // One row of a file. decode: to floats; the values of block formats must be finite. copy_codes: Q8_0 and Q5_0 to
    // int8, Q4_0 to int4, value for value. quantise: floats to int8. search: floats to int4,
    // the error of value i weighted by p[i]. They return the flags above.
    int (*decode)(Stored type, const uint8_t* raw, int64_t k, float* out);
    int (*copy_codes)(Stored type, const uint8_t* raw, int64_t k, uint8_t* data, uint16_t* scale);
    int (*quantise)(const float* x, int64_t k, int64_t group, uint8_t* data, uint16_t* scale);
    int (*search)(const float* x, const float* p, int64_t k, int64_t group, const CodeTable& t, uint8_t* data,
                  uint16_t* scale);
    void (*normal)(uint32_t key0, uint32_t key1, uint32_t key2, float spread, int64_t n, float* out);
};

const Kernels& kernels_scalar();
const Kernels& kernels_avx2();
const Kernels& kernels_avxvnni();
const Kernels& kernels_avx512();

// Any group size, any CPU; the vector paths use these when group != 32.
int64_t packed_bytes_grouped(const Matrix& w);
void pack_grouped(const Matrix& w, const float* x, void* packed);
void linear_grouped(const Matrix& w, int64_t n0, int64_t n1, const void* const* x, int64_t tokens, float* const* y,
                    const float* bias);

}  // namespace ponder
