// One product y = x W^T by the kernels of one instruction set (PONDER_NS), for a CPU that is emulated.
//
//   product KIND N K GROUP TOKENS CALLS < matrix as the kernels read it, then x  > y
//
// CALLS: how often it is computed, so that the difference of two runs has the instructions of one call.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "gemm/linear.h"

namespace ponder::PONDER_NS {
int64_t packed_bytes(const Matrix& w);
void pack(const Matrix& w, const float* x, void* packed);
void linear(const Matrix& w, int64_t n0, int64_t n1, const void* const* x, int64_t tokens, float* const* y,
            const float* bias, const Rows& next);
}  // namespace ponder::PONDER_NS

using namespace ponder;

namespace {

Matrix matrix(char** words) {
    const char* names[] = {"f32", "bf16", "int8", "int4", "uint4"};
    int kind = 0;
    while (strcmp(words[0], names[kind]) != 0) kind++;
    return {(Kind)kind, atoll(words[1]), atoll(words[2]), atoll(words[3]), nullptr, nullptr};
}

int64_t bytes_of(const Matrix& w) {
    return in_panels(w) ? buffer_bytes(w) : w.n * w.k * (w.kind == Kind::f32 ? 4 : 2);
}

template <class T>
T* memory(int64_t count) {
    int64_t bytes = (count * sizeof(T) + 8192 + 63) / 64 * 64;  // and what kernels may ask memory for ahead of its use
    return (T*)memset(aligned_alloc(64, bytes), 0, bytes);
}

}  // namespace

int main(int, char** words) {
    Matrix w = matrix(words + 1);
    int64_t tokens = atoll(words[5]), calls = atoll(words[6]), size = bytes_of(w);
    char* data = memory<char>(size);
    float *x = memory<float>(tokens * w.k), *y = memory<float>(tokens * w.n);
    if ((int64_t)fread(data, 1, size, stdin) != size) return 1;
    if ((int64_t)fread(x, 4, tokens * w.k, stdin) != tokens * w.k) return 1;
    w.data = data;
    if (in_panels(w)) w.scale = (const uint16_t*)(data + code_bytes(w));
    int64_t bytes = (PONDER_NS::packed_bytes(w) + 63) / 64 * 64;
    char* packed = memory<char>(bytes * tokens);
    const void** xs = memory<const void*>(tokens);
    float** ys = memory<float*>(tokens);
    for (int64_t t = 0; t < tokens; t++) {
        PONDER_NS::pack(w, x + t * w.k, packed + t * bytes);
        xs[t] = packed + t * bytes;
        ys[t] = y + t * w.n;
    }
    for (int64_t i = 0; i < calls; i++) PONDER_NS::linear(w, 0, w.n, xs, tokens, ys, nullptr, {nullptr, 0});
    return (int64_t)fwrite(y, 4, tokens * w.n, stdout) != tokens * w.n;
}
