// The families of linear kernels of one instruction set; see linear.cpp. Compiled per instruction set.
#pragma once
#include "packing/panels.h"

namespace ponder::PONDER_NS {

// int8, int4 and uint4 weights in panels; the functions of the table of the same names
int64_t packed_bytes_panels(const Matrix& w);
void pack_panels(const Matrix& w, const float* x, char* packed);
void linear_panels(const Matrix& w, int64_t n0, int64_t n1, const char* const* x, int64_t tokens, float* const* y,
                   const float* bias, const Rows& next);
static inline int64_t packed_values(const Matrix& w) { return groups(w) * padded_group(w); }  // int8 of a packed row

#if defined(__AMX_INT8__)
// The same by AMX tiles. With fewer tokens memory is the limit, and tiles would be less than half full.
constexpr int64_t least_tile_tokens = 8, tile_chunk = 1024;  // values of K whose weights are unpacked at a time
static inline bool takes_tiles(const Matrix& w) { return w.group % 32 == 0 && w.group <= tile_chunk; }
void linear_tiles(const Matrix& w, int64_t n0, int64_t n1, const char* const* x, int64_t tokens, float* const* y,
                  const float* bias);

// bf16 weights, for any number of tokens
int64_t packed_bytes_bf16_tiles(const Matrix& w);
void pack_bf16_tiles(const Matrix& w, const float* x, uint16_t* packed);
void linear_bf16_tiles(const Matrix& w, int64_t n0, int64_t n1, const char* const* x, int64_t tokens, float* const* y,
                       const float* bias);
#endif

}  // namespace ponder::PONDER_NS
