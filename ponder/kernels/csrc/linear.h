// The two families of linear kernels of one instruction set; see linear.cpp. Compiled per instruction set.
#pragma once
#include "kernels.h"

namespace ponder::PONDER_NS {

// int8 and int4 weights in panels; the functions of the table of the same names
int64_t packed_bytes_panels(const Matrix& w);
void pack_panels(const Matrix& w, const float* x, char* packed);
void linear_panels(const Matrix& w, int64_t n0, int64_t n1, const char* const* x, int64_t tokens, float* const* y,
                   const float* bias);

}  // namespace ponder::PONDER_NS
