// Reading and writing rows of float32 or bf16 a vector at a time. For sources compiled per instruction set.
#pragma once
#include "runtime/simd.h"

namespace ponder::PONDER_NS {

// How rows lie in memory: get and put V::N values, or the first n of them.
struct F32 {
    typedef float T;
    static V get(const float* p) { return load(p); }
    static V get(const float* p, int64_t n) { return load(p, n); }
    static void put(float* p, V a) { store(p, a); }
    static void put(float* p, V a, int64_t n) { store(p, a, n); }
};
struct Bf16 {
    typedef uint16_t T;
    static V get(const uint16_t* p) { return widen(p); }
    static void put(uint16_t* p, V a) { narrow(a, p); }
    static V get(const uint16_t* p, int64_t n) {
        uint16_t whole[V::N] = {};
        memcpy(whole, p, 2 * n);
        return widen(whole);
    }
    static void put(uint16_t* p, V a, int64_t n) {
        uint16_t whole[V::N];
        narrow(a, whole);
        memcpy(p, whole, 2 * n);
    }
};

// work(at, count) over the vectors of n values, count a whole vector but for the last
template <class F>
static inline void vectors(int64_t n, F work) {
    int64_t i = 0;
    for (; i + V::N <= n; i += V::N) work(i, [](auto s, auto* p) { return decltype(s)::get(p); },
                                          [](auto s, auto* p, V a) { decltype(s)::put(p, a); });
    int64_t left = n - i;
    if (left) work(i, [left](auto s, auto* p) { return decltype(s)::get(p, left); },
                   [left](auto s, auto* p, V a) { decltype(s)::put(p, a, left); });
}

}  // namespace ponder::PONDER_NS
