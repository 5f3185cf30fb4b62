// What this CPU has and the system saves of it. Asked of the CPU itself: __builtin_cpu_supports knows other names in every
// compiler, and with a run-time library that lacks its tables (zig's) it finds nothing.
#pragma once
#if defined(__x86_64__)
#include <cpuid.h>

namespace ponder {

struct CpuFeatures {
    bool avx2 = false, avxvnni = false, avx512f = false, avx512 = false, avx512bf16 = false, tiles = false;

    static const CpuFeatures& get() {
        static const CpuFeatures found;
        return found;
    }

private:
    static bool bit(unsigned word, int n) { return word >> n & 1; }

    CpuFeatures() {
        unsigned a = 0, b = 0, c = 0, d = 0, xcr0 = 0, high = 0, more = 0;
        if (!__get_cpuid(1, &a, &b, &c, &d) || !bit(c, 27)) return;  // osxsave: XCR0 says what the system saves
        bool fma = bit(c, 12), f16c = bit(c, 29);
        asm("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
        bool ymm = (xcr0 & 6) == 6, zmm = ymm && (xcr0 >> 5 & 7) == 7;
        if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
        avx2 = ymm && fma && f16c && bit(b, 5);
        avx512f = zmm && bit(b, 16);
        avx512 = avx2 && avx512f && bit(b, 17) && bit(b, 30) && bit(b, 31) && bit(c, 11);  // DQ, BW, VL, VNNI
        tiles = avx512 && bit(d, 22) && bit(d, 24) && bit(d, 25) && (xcr0 >> 17 & 3) == 3;  // bf16, tile, int8
        if (a < 1 || !__get_cpuid_count(7, 1, &more, &b, &c, &d)) return;
        avxvnni = avx2 && bit(more, 4);
        avx512bf16 = avx512 && bit(more, 5);
    }
};

}  // namespace ponder
#endif
