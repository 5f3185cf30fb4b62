// Matrices of a file to the kinds that are kept in memory: rows over the threads, one row of floats at a time.
#if !defined(_WIN32)
#include <sys/mman.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#include "runtime/dispatch.h"
#include "program/ops.h"
#include "runtime/pool.h"

namespace ponder {

namespace {

const Format formats[] = {
    {"F32", Stored::f32, 1, 4},      {"F16", Stored::f16, 1, 2},      {"BF16", Stored::bf16, 1, 2},
    {"Q4_0", Stored::q4_0, 32, 18},  {"Q4_1", Stored::q4_1, 32, 20},  {"Q5_0", Stored::q5_0, 32, 22},
    {"Q5_1", Stored::q5_1, 32, 24},  {"Q8_0", Stored::q8_0, 32, 34},  {"Q4_K", Stored::q4_k, 256, 144},
    {"Q5_K", Stored::q5_k, 256, 176}, {"Q6_K", Stored::q6_k, 256, 210}, {"IQ4_NL", Stored::iq4_nl, 32, 18},
    {"IQ4_XS", Stored::iq4_xs, 256, 136},
};

constexpr int64_t slab_bytes = 8 << 20;  // of a mapped file, read before its pages are given back

// Without this a loaded file would count as memory in use until something else wants the memory.
#if defined(_WIN32)
void give_back(const uint8_t*, const uint8_t*) {}  // Windows takes them by itself
#else
void give_back(const uint8_t* start, const uint8_t* end) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)start + page - 1) / page * page, last = (uintptr_t)end / page * page;
    if (first < last) madvise((void*)first, last - first, MADV_DONTNEED);
}
#endif

bool has_codes(Stored type, const Target& to) {
    if (to.group != 32) return false;
    if (to.kind == Kind::uint4) return type == Stored::q4_1 || type == Stored::q4_k;
    if (to.kind == Kind::int8) return type == Stored::q8_0 || type == Stored::q5_0;
    if (to.kind != Kind::int4) return false;
    return type == Stored::q4_0 ? !memcmp(to.grid, linear_grid, 16)
                                : type == Stored::iq4_nl && !memcmp(to.grid, normal_grid, 16);
}

int64_t scratch_row(int64_t k) { return (k + 15) / 16 * 16; }

int convert_row(const Kernels& kernel, Stored type, const uint8_t* raw, const Target& to, int64_t row, float* scratch) {
    int64_t at = row * to.k;
    if (to.kind == Kind::f32) return kernel.decode(type, raw, to.k, (float*)to.data + at);
    uint8_t* data = to.data + (to.kind == Kind::bf16 ? at * 2 : to.kind == Kind::int8 ? at : at / 2);
    uint16_t* scale = to.scale ? to.scale + at / to.group * (to.kind == Kind::uint4 ? 2 : 1) : nullptr;
    if (has_codes(type, to)) return kernel.copy_codes(type, raw, to.k, data, scale);
    int flags = kernel.decode(type, raw, to.k, scratch);
    if (to.kind == Kind::int8) return flags | kernel.quantise(scratch, to.k, to.group, data, scale);
    if (to.kind == Kind::int4)
        return flags | kernel.search(scratch, to.importance, to.k, to.group, *to.table, scratch + scratch_row(to.k), data, scale);
    kernel.to_bf16(scratch, (uint16_t*)data, to.k);
    return flags;
}

}  // namespace

const Format* find_format(const char* name) {
    for (const Format& f : formats)
        if (!strcmp(f.name, name)) return &f;
    return nullptr;
}

CodeTable code_table(const int8_t* grid) {
    CodeTable t = {(float)grid[0], (float)grid[15], {}, {}, {}, {}};
    for (int v = -128; v < 128; v++) {
        int best = 0;
        for (int i = 1; i < 16; i++)
            if (std::abs(v - grid[i]) < std::abs(v - grid[best])) best = i;
        t.index[v + 128] = (uint8_t)best;
        t.nearest[v + 128] = (float)grid[best];
    }
    for (int i = 0; i < 16; i++) t.value[i] = (float)grid[i];
    for (int node = 1, step = 16; node < 16; node++) {
        if ((node & (node - 1)) == 0) step /= 2;  // a new level
        int code = step * (2 * (node % (8 / step)) + 1), v = -128;
        while (t.index[v + 128] < code) v++;
        t.split[node] = (float)v;
    }
    return t;
}

int convert(const Format& format, const uint8_t* raw, const Target& to, bool mapped) {
    if (to.kind == Kind::uint4 && !has_codes(format.type, to))
        throw std::invalid_argument(std::string("uint4 is made of Q4_1 and Q4_K in groups of 32, not of ") + format.name);
    if (to.n == 0 || to.k == 0) return 0;
    const Kernels& kernel = kernels();
    Operation op;
    int64_t row_bytes = to.k / format.elements * format.bytes, stride = 2 * scratch_row(to.k);
    float* scratch = (float*)op.pool.scratch(op.pool.threads() * stride * 4);
    int64_t piece = std::max<int64_t>(1, 65536 / to.k);
    int64_t slab = mapped ? std::max(piece, slab_bytes / row_bytes) : to.n;
    std::atomic<int> flags{0};
    for (int64_t start = 0; start < to.n; start += slab) {
        int64_t end = std::min(to.n, start + slab);
        op.run((end - start + piece - 1) / piece, [&](int64_t i, int thread) {
            int64_t first = start + i * piece, last = std::min(end, first + piece);
            int found = 0;
            for (int64_t row = first; row < last; row++)
                found |= convert_row(kernel, format.type, raw + row * row_bytes, to, row, scratch + thread * stride);
            if (found) flags |= found;
        });
        if (mapped) give_back(raw + start * row_bytes, raw + end * row_bytes);
    }
    return flags;
}

}  // namespace ponder
