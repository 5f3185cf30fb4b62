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
#elif defined(__aarch64__)
#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace ponder {

struct CpuFeatures {
    bool dotprod = false, i8mm = false;  // i8mm: with bf16, as every CPU has it that has i8mm

    static const CpuFeatures& get() {
        static const CpuFeatures found;
        return found;
    }

private:
#if defined(__linux__)
    CpuFeatures() {  // the numbers are those of asm/hwcap.h
        unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
        dotprod = first >> 20 & 1;
        i8mm = dotprod && second >> 13 & 1 && second >> 14 & 1;
    }
#elif defined(__APPLE__)
    static bool has(const char* feature) {
        int value = 0;
        size_t size = sizeof value;
        return sysctlbyname(feature, &value, &size, nullptr, 0) == 0 && value != 0;
    }
    CpuFeatures() {
        dotprod = true;  // every ARM Mac has it; systems before macOS 12 do not tell
        i8mm = has("hw.optional.arm.FEAT_I8MM") && has("hw.optional.arm.FEAT_BF16");
    }
#else
    CpuFeatures() {}
#endif
};

}  // namespace ponder
#endif
