// y = x W^T for int8, int4 and uint4 weights in panels (panels.h). Compiled per instruction set.
//
// Activations are quantised to int8 in the weight's groups, one scale each. A group's dot products are exact integers,
// equal on every path; an output is then the sum over groups, in order, of fma(integer, weight scale * activation
// scale, sum), whatever the tile, so that a token's result does not depend on its neighbours (DT-1). uint4 adds the
// group's offset times the sum of its activations, as they were quantised.
//
// A packed row is a run of groups: int8 q [padded group], int32 start = -offset * sum of q, float scale. Weight codes
// are unsigned (value + offset), so each integer sum begins at `start`. uint4's codes are the values: its sums begin at 0,
// and in the place of `start` lies, as a float, scale * sum of q. Where the CPU has tiles, those take many tokens
// (linear_tiles.cpp), to the same bits, and their memory reads want q without gaps: start and scale then come last.
#include "gemm/linear.h"
#include "gemm/slices.h"

namespace ponder::PONDER_NS {

#if defined(__AMX_INT8__)
constexpr int64_t gap = 0;
#else
constexpr int64_t gap = 8;  // one place to count along is faster than two
#endif

int64_t packed_bytes_panels(const Matrix& w) { return packed_values(w) + groups(w) * 8; }

// sums: for uint4
static inline void pack_group(const float* x, int64_t group, int64_t padded, bool sums, int8_t* q, char* rest) {
    V largest_lanes = zero(), bad_lanes = zero();  // bad: NaN when a value is not finite, and then so is the result
    for (int64_t i = 0; i < group; i += V::N) {
        V v = group - i < V::N ? load(x + i, group - i) : load(x + i);
        largest_lanes = max(abs(v), largest_lanes);
        bad_lanes = fma(v, zero(), bad_lanes);
    }
    float most = largest(largest_lanes), bad = sum(bad_lanes);
    float inverse = most > smallest_activation ? 127.0f / most : 0.0f;
    V total = zero();  // small integers, so exact
    int64_t i = 0;
    for (; i + V::N <= group; i += V::N) total = total + round_to_bytes(load(x + i) * set(inverse), q + i);
    if (i < padded) {
        int8_t last[V::N];
        V v = i < group ? load(x + i, group - i) : zero();
        total = total + round_to_bytes(v * set(inverse), last);
        for (int64_t j = 0; i + j < padded; j++) q[i + j] = i + j < group ? last[j] : 0;
    }
    int32_t start = bad == 0 ? -offset * (int32_t)sum(total) : 0;
    float scale = most * (1.0f / 127.0f) + bad, whole = scale * sum(total);
    if (sums) memcpy(rest, &whole, 4);
    else memcpy(rest, &start, 4);
    memcpy(rest + 4, &scale, 4);
}

void pack_panels(const Matrix& w, const float* x, char* packed) {
    int64_t padded = padded_group(w);
    int8_t* q = (int8_t*)packed;
    char* rest = packed + (gap ? padded : packed_values(w));
    for (int64_t g = 0; g < groups(w); g++, q += padded + gap, rest += gap ? padded + gap : 8)
        if (w.group == 32) pack_group(x + g * 32, 32, 32, w.kind == Kind::uint4, q, rest);
        else pack_group(x + g * w.group, w.group, padded, w.kind == Kind::uint4, q, rest);
}

// Codes and scales of the part that comes next, to ask memory for meanwhile: so many bytes with each group.
struct Ahead {
    const uint8_t* codes;
    const uint16_t* scales;
    int64_t codes_bytes, scales_bytes;
};

// Vector v of the outputs, where they exist.
static inline void store_outputs(float* y, const float* bias, int v, int64_t outputs, V sum) {
    int64_t left = outputs - v * V::N, at = v * V::N;
    if (left >= V::N) store(y + at, bias ? sum + load(bias + at) : sum);
    else if (left > 0) store(y + at, bias ? sum + load(bias + at, left) : sum, left);
}

// How far ahead of its use the first pass over weights asks for them.
constexpr int64_t prefetch_bytes = 4096;

// G: values of a group, 0 for any: the usual number saves the loop and with it the copying of all sums.
template <class Codes, int T, int P, int G, bool First>
static void tile(const Part& w, const Ahead& ahead, const char* const* x, float* const* y, const float* bias) {
    const Codes kind(w);
    V sums[T][P];
    for (int t = 0; t < T; t++)
        for (int p = 0; p < P; p++) sums[t][p] = zero();
    const uint8_t* codes = w.codes;
    const uint16_t* scales = w.scales;
    constexpr int64_t each = Codes::offsets ? 2 * panel_rows : panel_rows;  // scales of a group
    int64_t padded = G ? G : w.padded, at = 0, rest = w.groups * padded;
    for (int64_t g = 0; g < w.groups; g++, at += gap, rest += 8, scales += each) {
        I dots[T][P];
        for (int t = 0; t < T; t++) {
            int32_t start = 0;
            if (!Codes::offsets) memcpy(&start, x[t] + (gap ? at + padded : rest), 4);
            for (int p = 0; p < P; p++) dots[t][p] = set_int(start);
        }
        int64_t k = padded;
        for (; k >= 32; k -= 32)
#pragma GCC unroll 8
            for (int i = 0; i < 32 / Codes::values; i++, codes += Codes::bytes, at += Codes::values) {
                if (First)
                    for (int p = 0; p < P; p += per_panel)
                        for (int64_t line = 0; line < Codes::bytes; line += 64)
                            __builtin_prefetch(codes + p / per_panel * w.codes_stride + line + prefetch_bytes);
                kind.step(codes, w.codes_stride, x, at, dots);
            }
        for (; k > 0; k -= Codes::values, codes += Codes::bytes, at += Codes::values)
            kind.step(codes, w.codes_stride, x, at, dots);
        kind.finish(dots);
        for (int64_t at = 0; at < ahead.codes_bytes; at += 64)
            __builtin_prefetch(ahead.codes + g * ahead.codes_bytes + at);
        if (ahead.scales_bytes) __builtin_prefetch((const char*)ahead.scales + g * ahead.scales_bytes);
        if (First)
            for (int p = 0; p < P; p += per_panel) __builtin_prefetch(scales + p / per_panel * w.scales_stride + 8 * each);
        V scale[P], added[P];
        for (int p = 0; p < P; p++) {
            const uint16_t* its = scales + p / per_panel * w.scales_stride + p % per_panel * V::N;
            scale[p] = load_halves(its);
            if (Codes::offsets) added[p] = load_halves(its + panel_rows);
        }
        for (int t = 0; t < T; t++) {
            float x_scale;
            memcpy(&x_scale, x[t] + (gap ? at : rest) + 4, 4);
            for (int p = 0; p < P; p++)
                sums[t][p] = fma(to_float(dots[t][p]), scale[p] * set(x_scale), sums[t][p]);
            if (!Codes::offsets) continue;
            float x_sum;
            memcpy(&x_sum, x[t] + (gap ? at : rest), 4);
            for (int p = 0; p < P; p++) sums[t][p] = fma(added[p], set(x_sum), sums[t][p]);
        }
    }
    for (int t = 0; t < T; t++)
        for (int p = 0; p < P; p++)
            store_outputs(y[t], bias, p, w.outputs, sums[t][p]);
}

// Few tokens read the weights once, panel after panel: a single stream is what memory serves best. Many take tiles of
// two panels, which read fewer activations for the same work.
// What the registers hold, in one panel and in two; of one panel up to 12, but from 9 on two passes over two are faster.
#if defined(PONDER_NEON)
constexpr int few_tokens = 4, tile_tokens = 4, tile_panels = 1;
#else
constexpr int few_tokens = V::N == 16 ? 8 : V::N == 8 ? 3 : 1;
constexpr int tile_tokens = V::N == 16 ? 6 : V::N == 8 ? 3 : 1;
constexpr int tile_panels = V::N == 16 ? 2 : 1;
#endif

// `tokens` (at most T) over one part
template <class Codes, int T, int P, bool First>
static void tile_of(const Part& w, const Ahead& ahead, const char* const* x, int64_t tokens, float* const* y, const float* bias) {
    if constexpr (T > 0) {
        if (tokens < T) return tile_of<Codes, T - 1, P, First>(w, ahead, x, tokens, y, bias);
        if (w.padded == 32) tile<Codes, T, P, 32, First>(w, ahead, x, y, bias);
        else tile<Codes, T, P, 0, First>(w, ahead, x, y, bias);
    }
}

// All tokens over one part, in tiles of nearly equal height. fetched: it was asked for before. next: its codes and scales,
// or null. Each tile asks for a share of them, since memory is idle while later tiles multiply what the first brought.
template <class Codes, int P>
static void tiles_of(const Part& w, bool fetched, Ahead next, const char* const* x, int64_t tokens, float* const* y,
                     const float* bias) {
    int64_t tiles = (tokens + tile_tokens - 1) / tile_tokens, lines = w.codes_stride * (P / per_panel) / w.groups / 64;
    next.scales_bytes = next.scales ? (P / per_panel) * panel_rows * (Codes::offsets ? 4 : 2) : 0;
    for (int64_t i = 0, t = 0; i < tiles; i++) {
        int64_t count = (tokens - t + tiles - i - 1) / (tiles - i);
        next.codes_bytes = next.codes ? 64 * (lines / tiles + (i < lines % tiles)) : 0;
        if (i == 0 && !fetched) tile_of<Codes, tile_tokens, P, true>(w, next, x, count, y, bias);
        else tile_of<Codes, tile_tokens, P, false>(w, next, x + t, count, y + t, bias);
        next.codes += w.groups * next.codes_bytes;
        next.scales_bytes = 0;
        t += count;
    }
}

constexpr int64_t at_once = 64;  // tokens whose outputs have addresses on the stack

// One or two panels from output n on, for at most at_once tokens; y: their rows at n. fetched, next: see tiles_of.
template <class Codes>
static void part_of(const Matrix& w, int64_t n, int64_t outputs, bool fetched, const Ahead& next, const char* const* x,
                    int64_t tokens, float* const* y, const float* bias) {
    int64_t panel = n / panel_rows;
    Part part = {codes_at(w, panel, 0), scales_at(w, panel, 0), panel_codes(w), panel_scales(w), groups(w),
                 padded_group(w), outputs, grid_at(w)};
    if (tokens <= few_tokens && outputs <= panel_rows) tile_of<Codes, few_tokens, per_panel, true>(part, {}, x, tokens, y, bias);
    else if (outputs <= panel_rows) tiles_of<Codes, per_panel>(part, fetched, next, x, tokens, y, bias);
    else tiles_of<Codes, per_panel * tile_panels>(part, fetched, next, x, tokens, y, bias);
}

void linear_panels(const Matrix& w, int64_t n0, int64_t n1, const char* const* x, int64_t tokens, float* const* y,
                   const float* bias, const Rows& next) {
#if defined(__AMX_INT8__)
    if (tokens >= least_tile_tokens && takes_tiles(w)) return linear_tiles(w, n0, n1, x, tokens, y, bias);
#endif
    float* ys[at_once];
    int64_t step = panel_rows * (tokens <= few_tokens ? 1 : tile_panels);
    for (int64_t n = n0; n < n1; n += step)  // a part stays in the cache while all tokens pass over it
        for (int64_t t = 0; t < tokens; t += at_once) {
            int64_t count = tokens - t < at_once ? tokens - t : at_once, outputs = n1 - n < step ? n1 - n : step;
            for (int64_t i = 0; i < count; i++) ys[i] = y[t + i] + n;
            const float* b = bias ? bias + n : nullptr;
            bool fetched = n > n0 || t > 0;
            Ahead ahead = {};
            if (Rows rows = n + step < n1 ? Rows{&w, n + step} : next; rows.w && in_panels(*rows.w) && t == 0)
                ahead = {codes_at(*rows.w, rows.n / panel_rows, 0), scales_at(*rows.w, rows.n / panel_rows, 0), 0, 0};
            if (w.kind == Kind::int8) part_of<Int8>(w, n, outputs, fetched, ahead, x + t, count, ys, b);
            else if (w.kind == Kind::int4) part_of<Int4>(w, n, outputs, fetched, ahead, x + t, count, ys, b);
            else part_of<UInt4>(w, n, outputs, fetched, ahead, x + t, count, ys, b);
        }
}

}  // namespace ponder::PONDER_NS
