// AMX instructions; tiles are numbered 0 to 7 in the code. To be run only where dispatch.h says that there are tiles.
//
// In assembly: GCC 12's intrinsics do not say that they touch memory, and its _tile_loadconfig names 8 of the 64 bytes.
#pragma once
#include <cassert>
#include <cstdint>
#include <cstring>

#include "runtime/kernels.h"

namespace ponder {

constexpr int tile_rows = 16, tile_bytes = 64;

struct alignas(64) TileConfig {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t bytes[16] = {};
    uint8_t rows[16] = {};
    void shape(int tile, int64_t its_rows, int64_t row_bytes) {
        rows[tile] = (uint8_t)its_rows;
        bytes[tile] = (uint16_t)row_bytes;
    }
};

// Tiles in use make switches between threads slow and keep the CPU from deep sleep, so they live as long as one call.
struct Tiles {
    explicit Tiles(const TileConfig& config) { asm volatile("ldtilecfg %0" ::"m"(config) : "memory"); }
    ~Tiles() { asm volatile("tilerelease" ::: "memory"); }
    Tiles(const Tiles&) = delete;
};

template <int T>
static inline void zero_tile() {
    asm volatile("tilezero %%tmm%c0" ::"i"(T) : "memory");
}
template <int T>
static inline void load_tile(const void* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(T) : "memory");
}
template <int T>
static inline void store_tile(void* to, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(T) : "memory");
}
// C += A x B. A: rows of 4 bytes (2 bf16) a step; B: a row of 16 columns a step. int8: both signed, or A one and B the
// other.
template <int C, int A, int B>
static inline void multiply_int8() {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B) : "memory");
}
template <int C, int A, int B>
static inline void multiply_signed_unsigned() {
    asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B) : "memory");
}
template <int C, int A, int B>
static inline void multiply_unsigned_signed() {
    asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B) : "memory");
}
template <int C, int A, int B>
static inline void multiply_bf16() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B) : "memory");
}

// The left operands of `tokens` rows of packed activations: row t begins at base + t * stride.
struct LeftRows {
    const char* base;
    int64_t stride;
};

static inline bool evenly_spaced(const char* const* x, int64_t tokens) {
    for (int64_t t = 2; t < tokens; t++)
        if (x[t] - x[t - 1] != x[1] - x[0]) return false;
    return true;
}
// `bytes` of each row from `from` on, where they lie, or in `copy` if that is not null.
static inline LeftRows left_rows(const char* const* x, int64_t tokens, int64_t from, int64_t bytes, char* copy) {
    if (!copy) return {x[0] + from, tokens > 1 ? x[1] - x[0] : 0};
    assert(tokens <= scattered_rows);
    for (int64_t t = 0; t < tokens; t++) memcpy(copy + t * bytes, x[t] + from, (size_t)bytes);
    return {copy, bytes};
}

}  // namespace ponder
