#include "runtime/peak.h"

#include <algorithm>
#include <chrono>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__x86_64__)
#define CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CLONES
#endif

#include "runtime/aligned.h"
#include "runtime/cpu_features.h"
#include "runtime/dispatch.h"
#include "runtime/pool.h"
#if defined(PONDER_AMX)
#include "gemm/amx.h"
#endif

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

// One instruction on twelve independent sums, registers 4 to 15, enough to hide its latency. In assembly, since nothing
// else keeps a compiler from storing the sums or joining them; the names need no -m flag.
#define TWELVE(op, r)                                                                                             \
    ON(op, r, 4) ON(op, r, 5) ON(op, r, 6) ON(op, r, 7) ON(op, r, 8) ON(op, r, 9) ON(op, r, 10) ON(op, r, 11) \
    ON(op, r, 12) ON(op, r, 13) ON(op, r, 14) ON(op, r, 15)

#if defined(__x86_64__)
#define ON(op, r, i) op " %%" r "0, %%" r "1, %%" r #i "\n\t"
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

#if defined(PONDER_AMX)
// Four tiles of sums, as in a real kernel: 16 x 16 x 64 bytes a step.
template <bool bf16>
double loop_amx(int64_t n) {
    TileConfig config;
    for (int i = 0; i < 8; i++) config.shape(i, tile_rows, tile_bytes);
    Tiles tiles(config);
    zero_tile<4>();
    zero_tile<5>();
    zero_tile<6>();
    zero_tile<7>();
    for (int64_t i = 0; i < n; i++)
        if (bf16) {
            multiply_bf16<0, 4, 6>();
            multiply_bf16<1, 4, 7>();
            multiply_bf16<2, 5, 6>();
            multiply_bf16<3, 5, 7>();
        } else {
            multiply_int8<0, 4, 6>();
            multiply_int8<1, 4, 7>();
            multiply_int8<2, 5, 6>();
            multiply_int8<3, 5, 7>();
        }
    return 4 * 2.0 * 16 * 16 * (bf16 ? 32 : 64);
}
#endif
#elif defined(__aarch64__)
#define ON(op, from, i) op " v" #i ".4s, v0." from ", v1." from "\n\t"
#define REGISTERS "v0", "v1", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15"
#define LOOP(name, extension, op, from, operations)                                            \
    double name(int64_t n) {                                                                   \
        asm volatile("movi v0.4s, #0\n\tmovi v1.4s, #0" ::: "v0", "v1");                       \
        for (int64_t i = 0; i < n; i++) asm volatile(extension TWELVE(op, from)::: REGISTERS); \
        return 12.0 * 2 * operations;                                                          \
    }
LOOP(loop_neon, "", "fmla", "4s", 4)  // without dot products 16 of bytes take four instructions, too
LOOP(loop_dotprod, ".arch_extension dotprod\n\t", "sdot", "16b", 16)
LOOP(loop_i8mm, ".arch_extension i8mm\n\t", "smmla", "16b", 32)
LOOP(loop_bf16, ".arch_extension bf16\n\t", "bfdot", "8h", 8)
#endif

using Loop = double (*)(int64_t n);

Loop best_loop([[maybe_unused]] Kind kind) {
    [[maybe_unused]] bool whole = kind == Kind::int8 || kind == Kind::int4 || kind == Kind::uint4;
#if defined(__x86_64__)
    const CpuFeatures& cpu = CpuFeatures::get();
#if defined(PONDER_AMX)
    if (runs_amx() && whole) return loop_amx<false>;
    if (runs_amx() && kind == Kind::bf16) return loop_amx<true>;
#endif
    if (whole && cpu.avx512) return loop_vnni;
    if (whole && cpu.avxvnni) return loop_avxvnni;
    if (kind == Kind::bf16 && cpu.avx512bf16) return loop_bf16;
    if (whole && cpu.avx2) return loop_avx2_int8;
    if (cpu.avx512f) return loop_avx512;
    if (cpu.avx2) return loop_avx2;
#elif defined(__aarch64__)
    const CpuFeatures& cpu = CpuFeatures::get();
    if (whole && cpu.i8mm) return loop_i8mm;
    if (whole && cpu.dotprod) return loop_dotprod;
    if (kind == Kind::bf16 && cpu.i8mm) return loop_bf16;
    return loop_neon;
#endif
    return loop_plain;
}

}  // namespace

double read_bandwidth(int64_t bytes, int tries) {
    int64_t parts = std::max<int64_t>(1, bytes / part);
    Aligned<2 << 20> memory = aligned<2 << 20>(parts * part);
#if defined(__linux__)
    madvise(memory.get(), parts * part, MADV_HUGEPAGE);
#endif
    uint64_t* data = (uint64_t*)memory.get();
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
    return best;
}

double compute_peak(Kind kind, int tries) {
    Loop loop = best_loop(kind);
    constexpr int64_t first = 2000;
    loop(first);  // to warm up
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
