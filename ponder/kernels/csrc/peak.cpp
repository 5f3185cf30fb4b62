#include "peak.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#define CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CLONES
#endif

#include "pool.h"

namespace ponder {

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

constexpr int64_t part = 1 << 20;  // bytes of one piece of work

// Four streams within the piece, so that more reads are under way than one stream of the prefetcher asks for.
CLONES uint64_t read_part(const uint64_t* p) {
    constexpr int64_t quarter = part / 8 / 4;
    uint64_t a = 0, b = 0, c = 0, d = 0;
    for (int64_t i = 0; i < quarter; i++) {
        a ^= p[i];
        b ^= p[i + quarter];
        c ^= p[i + 2 * quarter];
        d ^= p[i + 3 * quarter];
    }
    return a ^ b ^ c ^ d;
}

// Each loop runs `n` times and returns the operations of one round.
double loop_plain(int64_t n) {
    constexpr int chains = 12;
    float a[chains] = {};
    for (int64_t i = 0; i < n; i++)
        for (float& x : a) x = x * 0.5f + 1.0f;
    for (float x : a) asm volatile("" ::"m"(x));
    return 2.0 * chains;
}

#if defined(__x86_64__)
// One instruction on twelve independent sums, registers 4 to 15, enough to hide its latency. In assembly, since nothing
// else keeps a compiler from storing the sums or joining them; the names need no -m flag.
#define ON(op, r, i) op " %%" r "0, %%" r "1, %%" r #i "\n\t"
#define TWELVE(op, r)                                                                                             \
    ON(op, r, 4) ON(op, r, 5) ON(op, r, 6) ON(op, r, 7) ON(op, r, 8) ON(op, r, 9) ON(op, r, 10) ON(op, r, 11) \
    ON(op, r, 12) ON(op, r, 13) ON(op, r, 14) ON(op, r, 15)
#define REGISTERS                                                                                                  \
    "xmm0", "xmm1", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", \
        "xmm15"
#define LOOP(name, op, r, operations)                                                                      \
    double name(int64_t n) {                                                                               \
        asm volatile("vpxor %%xmm0, %%xmm0, %%xmm0\n\tvpxor %%xmm1, %%xmm1, %%xmm1" ::: "xmm0", "xmm1"); \
        for (int64_t i = 0; i < n; i++) asm volatile(TWELVE(op, r)::: REGISTERS);                          \
        asm volatile("vzeroupper");                                                                        \
        return 12.0 * 2 * operations;                                                                      \
    }
LOOP(loop_avx2, "vfmadd231ps", "ymm", 8)
LOOP(loop_avx512, "vfmadd231ps", "zmm", 16)
LOOP(loop_vnni, "vpdpbusd", "zmm", 64)
LOOP(loop_avxvnni, "%{vex%} vpdpbusd", "ymm", 32)
LOOP(loop_bf16, "vdpbf16ps", "zmm", 32)
double loop_avx2_int8(int64_t n) {  // 32 products take vpmaddubsw, vpmaddwd and vpaddd
    for (int64_t i = 0; i < n; i++)
        asm volatile(TWELVE("vpmaddubsw", "ymm") TWELVE("vpmaddwd", "ymm") TWELVE("vpaddd", "ymm")::: REGISTERS);
    asm volatile("vzeroupper");
    return 12.0 * 2 * 32;
}

bool has_avxvnni() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}

#if defined(__linux__)
// Four tiles of sums, as in a real kernel: 16 x 16 x 64 bytes a step. The asm names its 64-byte operand whole.
struct alignas(64) TileConfig {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t bytes[16] = {};
    uint8_t rows[16] = {};
    TileConfig() {
        for (int i = 0; i < 8; i++) bytes[i] = 64, rows[i] = 16;
    }
};
template <bool bf16>
double loop_amx(int64_t n) {
    TileConfig config;
    asm volatile("ldtilecfg %0" ::"m"(config) : "memory");
    asm volatile("tilezero %%tmm4\n\ttilezero %%tmm5\n\ttilezero %%tmm6\n\ttilezero %%tmm7" ::: "memory");
    for (int64_t i = 0; i < n; i++) {
        if (bf16)
            asm volatile("tdpbf16ps %%tmm4, %%tmm6, %%tmm0\n\ttdpbf16ps %%tmm5, %%tmm6, %%tmm1\n\t"
                         "tdpbf16ps %%tmm4, %%tmm7, %%tmm2\n\ttdpbf16ps %%tmm5, %%tmm7, %%tmm3" ::: "memory");
        else
            asm volatile("tdpbssd %%tmm4, %%tmm6, %%tmm0\n\ttdpbssd %%tmm5, %%tmm6, %%tmm1\n\t"
                         "tdpbssd %%tmm4, %%tmm7, %%tmm2\n\ttdpbssd %%tmm5, %%tmm7, %%tmm3" ::: "memory");
    }
    asm volatile("tilerelease" ::: "memory");
    return 4 * 2.0 * 16 * 16 * (bf16 ? 32 : 64);
}
bool amx(int bit) {  // leaf 7, edx: 22 is amx-bf16, 25 is amx-int8; the kernel must be asked for the tile registers
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> bit & 1) && syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}
#endif
#endif

using Loop = double (*)(int64_t n);

Loop best_loop(Kind kind) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool whole = kind == Kind::int8 || kind == Kind::int4;
#if defined(__linux__)
    if (whole && amx(25)) return loop_amx<false>;
    if (kind == Kind::bf16 && amx(22)) return loop_amx<true>;
#endif
    if (whole && __builtin_cpu_supports("avx512vnni")) return loop_vnni;
    if (whole && has_avxvnni()) return loop_avxvnni;
    if (kind == Kind::bf16 && __builtin_cpu_supports("avx512bf16")) return loop_bf16;
    if (whole && __builtin_cpu_supports("avx2")) return loop_avx2_int8;
    if (__builtin_cpu_supports("avx512f")) return loop_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return loop_avx2;
#endif
    return loop_plain;
}

}  // namespace

double read_bandwidth(int64_t bytes, int tries) {
    int64_t parts = std::max<int64_t>(1, bytes / part);
    void* memory = nullptr;
    if (posix_memalign(&memory, 2 << 20, parts * part)) throw std::bad_alloc();
#if defined(__linux__)
    madvise(memory, parts * part, MADV_HUGEPAGE);
#endif
    uint64_t* data = (uint64_t*)memory;
    double best = 0;
    {
        Operation op;
        op.run(parts, [&](int64_t i, int) { std::fill_n(data + i * (part / 8), part / 8, (uint64_t)i); });
        for (int t = 0; t < tries; t++) {
            double start = now();
            op.run(parts, [&](int64_t i, int) {
                uint64_t x = read_part(data + i * (part / 8));
                asm volatile("" ::"r"(x));
            });
            best = std::max(best, parts * part / (now() - start));
        }
    }
    free(memory);
    return best;
}

double compute_peak(Kind kind, int tries) {
    Loop loop = best_loop(kind);
    constexpr int64_t first = 20000;
    double start = now();
    loop(first);
    int64_t n = std::max(first, (int64_t)(first * 5e-3 / (now() - start)));
    Operation op;
    double best = 0;
    int threads = op.pool.threads();
    for (int t = 0; t < tries; t++) {
        double each = 0;
        start = now();
        op.run(threads, [&](int64_t i, int) {
            double ops = loop(n);
            if (i == 0) each = ops;
        });
        best = std::max(best, each * n * threads / (now() - start));
    }
    return best;
}

}  // namespace ponder
