// y = x W^T for int8, int4 and uint4 weights in panels by AMX tiles, for many tokens. Compiled for `amx` alone.
//
// A panel's codes become signed bytes once per call, a chunk of K at a time, in the form of tiles: a slice of panels.h
// (4 values of 16 outputs) is a row of the right operand. Rows of packed activations are the left one as they lie. The
// groups have scales of their own, so a tile's integers are taken out after each group, and added in the vector
// kernel's order and rounding: the bits are those of linear_panels.cpp. docs/kernels.md counts what that costs.
#include "gemm/amx.h"
#include "gemm/lanes.h"
#include "gemm/linear.h"

namespace ponder::PONDER_NS {

static_assert(V::N == panel_rows && tile_rows == panel_rows, "an output has a lane");

// Codes as signed bytes, 64 of them; the only place here that knows what codes mean.
static inline int8_t* unpack_slice(const Matrix& w, const uint8_t* codes, int8_t* out) {
    __m512i less = _mm512_set1_epi8((char)offset);
    if (w.kind == Kind::int8) {
        _mm512_store_si512(out, _mm512_sub_epi8(load_code8(codes).v, less));
        return out + 64;
    }
    if (w.kind == Kind::uint4) {
        Plain4 low, high;
        load_plain4(codes, low, high);
        _mm512_store_si512(out, low.v);
        _mm512_store_si512(out + 64, high.v);
        return out + 128;
    }
    Code4 low, high;
    load_code4(codes, load_grid(grid_at(w)), low, high);
    _mm512_store_si512(out, _mm512_sub_epi8(low.v, less));
    _mm512_store_si512(out + 64, _mm512_sub_epi8(high.v, less));
    return out + 128;
}

// Groups of one panel and a run of tokens. Pointers begin at the chunk.
struct Chunk {
    int64_t groups, group, step;  // step: values of K that one tile multiplies
    const int8_t* weights;        // [groups][group / 4][16 outputs][4]
    const uint16_t* scales;       // [groups][each]
    int64_t each;                 // 16, or 32 with offsets
    const uint8_t* ahead;         // codes of what comes next, to ask memory for while the first tokens are worked on
    int64_t ahead_bytes;          // of each group
};

constexpr int in_flight = 4;  // groups between the multiplication and the use of its sums, which hides its latency

template <int C, int A, int B>
static inline void multiply_group(const Chunk& c, const char* x, int64_t stride, const int8_t* weights, int32_t* out) {
    zero_tile<C>();
    for (int64_t k = 0; k < c.group; k += c.step) {
        load_tile<A>(x + k, stride);
        load_tile<B>(weights + k * panel_rows, tile_bytes);
        multiply_int8<C, A, B>();
    }
    store_tile<C>(out, tile_bytes);
}

// The rows first .. first + R of a tile of tokens. x: the tile's left operand; rest: start and scale of each row's
// groups (linear_panels.cpp); y: sums so far, at the panel, and results.
template <int R>
static void tile_of_tokens(const Chunk& c, const char* x, int64_t stride, int first, const char* const* rest,
                           V (&sums)[R]) {
    alignas(64) int32_t dots[in_flight][tile_rows][panel_rows];
    for (int64_t i = 0; i < c.groups + in_flight - 1; i++) {
        if (i < c.groups) {
            const int8_t* weights = c.weights + i * c.group * panel_rows;
            if (i % 2) multiply_group<1, 3, 5>(c, x + i * c.group, stride, weights, dots[i % in_flight][0]);
            else multiply_group<0, 2, 4>(c, x + i * c.group, stride, weights, dots[i % in_flight][0]);
            for (int64_t at = 0; at < c.ahead_bytes; at += 64) __builtin_prefetch(c.ahead + i * c.ahead_bytes + at);
        }
        int64_t g = i - in_flight + 1;
        if (g < 0) continue;
        V scale = load_halves(c.scales + g * c.each);
        for (int r = 0; r < R; r++) {
            float x_scale;
            memcpy(&x_scale, rest[r] + g * 8 + 4, 4);
            V dot = to_float(I{_mm512_load_si512(dots[g % in_flight][first + r])});
            sums[r] = fma(dot, scale * set(x_scale), sums[r]);
        }
        if (c.each == panel_rows) continue;
        V added = load_halves(c.scales + g * c.each + panel_rows);
        for (int r = 0; r < R; r++) {
            float x_sum;
            memcpy(&x_sum, rest[r] + g * 8, 4);
            sums[r] = fma(added, set(x_sum), sums[r]);
        }
    }
}

// One panel of outputs of a tile's rows.
struct Outputs {
    float* const* y;  // rows of the tile
    int64_t n, count;
    const float* bias;  // in the last chunk, or null
    bool begun;         // y holds the sums of earlier chunks
};

// done: rows at the head of the tile that need nothing any more; at most R follow.
template <int R>
static void finish_tile(const Chunk& c, const char* x, int64_t stride, const char* const* rest, int64_t rows,
                        int64_t done, const Outputs& to) {
    V sums[R];
    const char* its_rest[R];
    int first = (int)(done < tile_rows - R ? done : tile_rows - R);  // a tile's memory has 16 rows, whatever its shape
    for (int r = 0; r < R; r++) {
        int64_t row = first + r < rows ? first + r : rows - 1;
        its_rest[r] = rest[row];
        sums[r] = to.begun && first + r >= done ? load(to.y[row] + to.n, to.count) : zero();
    }
    tile_of_tokens<R>(c, x, stride, first, its_rest, sums);
    for (int r = 0; r < R; r++) {
        if (first + r < done || first + r >= rows) continue;
        V sum = to.bias ? sums[r] + load(to.bias + to.n, to.count) : sums[r];
        store(to.y[first + r] + to.n, sum, to.count);
    }
}

// Of all outputs n0 .. n1: what one chunk of K, groups g .. g + c.groups, adds.
static void chunk_of(const Matrix& w, int64_t g, int64_t n0, int64_t n1, Chunk& c, const LeftRows& left,
                     const char* const* x, int64_t tokens, float* const* y, const float* bias, int8_t* weights) {
    int64_t rows = tokens < tile_rows ? tokens : tile_rows;
    for (int64_t n = n0; n < n1; n += panel_rows) {
        const uint8_t *codes = codes_at(w, n / panel_rows, g), *end = codes + c.groups * group_codes(w);
        int8_t* unpacked = weights;
        for (const uint8_t* at = codes; at < end; at += 64) unpacked = unpack_slice(w, at, unpacked);
        c.scales = scales_at(w, n / panel_rows, g);
        c.ahead = codes + panel_codes(w);
        c.ahead_bytes = group_codes(w);
        for (int64_t t = 0; t < tokens; t += rows, c.ahead_bytes = 0) {
            // The last tile begins earlier to be a whole one, and leaves alone what is done.
            int64_t t0 = t + rows <= tokens ? t : tokens - rows, done = t - t0;
            const char *rest[tile_rows], *base = left.base + t0 * left.stride;
            for (int64_t r = 0; r < rows; r++) rest[r] = x[t0 + r] + packed_values(w) + g * 8;
            Outputs to = {y + t0, n, n1 - n < panel_rows ? n1 - n : panel_rows, bias, g > 0};
            if (rows - done > 12) finish_tile<16>(c, base, left.stride, rest, rows, done, to);
            else if (rows - done > 8) finish_tile<12>(c, base, left.stride, rest, rows, done, to);
            else if (rows - done > 4) finish_tile<8>(c, base, left.stride, rest, rows, done, to);
            else finish_tile<4>(c, base, left.stride, rest, rows, done, to);
        }
    }
}

void linear_tiles(const Matrix& w, int64_t n0, int64_t n1, const char* const* x, int64_t tokens, float* const* y,
                  const float* bias) {
    alignas(64) int8_t weights[tile_chunk * panel_rows];
    alignas(64) char copies[scattered_rows * tile_chunk];
    bool even = evenly_spaced(x, tokens);
    int64_t rows = tokens < tile_rows ? tokens : tile_rows, per = tile_chunk / w.group;
    Chunk c = {0, w.group, w.group % 64 ? 32 : 64, weights, nullptr, group_scales(w), nullptr, 0};
    TileConfig config;
    for (int i = 0; i < 2; i++) {
        config.shape(i, rows, 4 * panel_rows);
        config.shape(2 + i, rows, c.step);
        config.shape(4 + i, c.step / 4, 4 * panel_rows);
    }
    Tiles tiles(config);
    for (int64_t g = 0; g < groups(w); g += per) {
        c.groups = groups(w) - g < per ? groups(w) - g : per;
        LeftRows left = left_rows(x, tokens, g * w.group, c.groups * w.group, even ? nullptr : copies);
        chunk_of(w, g, n0, n1, c, left, x, tokens, y, g + per >= groups(w) ? bias : nullptr, weights);
    }
}

}  // namespace ponder::PONDER_NS
