// y = x W^T for int8 and int4 weights in panels (panels.h). Compiled per instruction set.
//
// Activations are quantised to int8 in the weight's groups, one scale each. A group's dot products are exact integers,
// equal on every path; an output is then the sum over groups, in order, of fma(integer, weight scale * activation
// scale, sum), whatever the tile, so that a token's result does not depend on its neighbours (DT-1).
//
// A packed row is a run of groups: int8 q [padded group], int32 start = -offset * sum of q, float scale. Weight codes
// are unsigned (value + offset), so each integer sum begins at `start`.
#include "lanes.h"
#include "linear.h"
#include "panels.h"

namespace ponder::PONDER_NS {

static inline int64_t group_stride(const Matrix& w) { return padded_group(w) + 8; }

int64_t packed_bytes_panels(const Matrix& w) { return groups(w) * group_stride(w); }

static inline void pack_group(const float* x, int64_t group, int64_t padded, int32_t offset, char* packed) {
    V largest_lanes = zero(), bad_lanes = zero();  // bad: NaN when a value is not finite, and then so is the result
    for (int64_t i = 0; i < group; i += V::N) {
        V v = group - i < V::N ? load(x + i, group - i) : load(x + i);
        largest_lanes = max(abs(v), largest_lanes);
        bad_lanes = fma(v, zero(), bad_lanes);
    }
    float most = largest(largest_lanes), bad = sum(bad_lanes);
    float inverse = most > smallest_activation ? 127.0f / most : 0.0f;
    V total = zero();  // small integers, so exact
    int8_t* q = (int8_t*)packed;
    int64_t i = 0;
    for (; i + V::N <= group; i += V::N) total = total + round_to_bytes(load(x + i) * set(inverse), q + i);
    if (i < padded) {
        int8_t rest[V::N];
        V v = i < group ? load(x + i, group - i) : zero();
        total = total + round_to_bytes(v * set(inverse), rest);
        for (int64_t j = 0; i + j < padded; j++) q[i + j] = i + j < group ? rest[j] : 0;
    }
    int32_t start = bad == 0 ? -offset * (int32_t)sum(total) : 0;
    float scale = most * (1.0f / 127.0f) + bad;
    memcpy(packed + padded, &start, 4);
    memcpy(packed + padded + 4, &scale, 4);
}

void pack_panels(const Matrix& w, const float* x, char* packed) {
    int64_t stride = group_stride(w), padded = padded_group(w);
    int32_t offset = w.kind == Kind::int8 ? offset8 : offset4;
    for (int64_t g = 0; g < groups(w); g++)
        if (w.group == 32) pack_group(x + g * 32, 32, 32, offset, packed + g * stride);
        else pack_group(x + g * w.group, w.group, padded, offset, packed + g * stride);
}

// Some groups of one or two neighbouring panels.
struct Part {
    const uint8_t* codes;
    const uint16_t* scales;
    int64_t codes_stride, scales_stride;  // from panel to panel
    int64_t first, groups, padded;        // padded: values of a group
    int64_t outputs;                      // that exist: up to 16 a panel
};

constexpr int per_panel = (int)panel_rows / V::N;  // vectors of outputs

// One slice of 64 bytes of each panel for T tokens and P vectors of outputs.
struct Int8 {
    static constexpr int64_t values = 4;
    template <int T, int P>
    static inline __attribute__((always_inline)) void step(const uint8_t* codes, int64_t stride, const char* const* x,
                                                           int64_t at, I (&dots)[T][P]) {
        Code8 w[P];
        for (int p = 0; p < P; p++) w[p] = load_code8(codes + p / per_panel * stride + p % per_panel * 4 * V::N);
        for (int t = 0; t < T; t++) {
            X xs = load_x((const int8_t*)x[t] + at);
            for (int p = 0; p < P; p++) dots[t][p] = dot(dots[t][p], w[p], xs);
        }
    }
};

struct Int4 {
    static constexpr int64_t values = 8;
    template <int T, int P>
    static inline __attribute__((always_inline)) void step(const uint8_t* codes, int64_t stride, const char* const* x,
                                                           int64_t at, I (&dots)[T][P]) {
        Code4 low[P], high[P];
        for (int p = 0; p < P; p++)
            load_code4(codes + p / per_panel * stride + p % per_panel * 4 * V::N, low[p], high[p]);
        for (int t = 0; t < T; t++) {
            X x0 = load_x((const int8_t*)x[t] + at), x1 = load_x((const int8_t*)x[t] + at + 4);
            for (int p = 0; p < P; p++) dots[t][p] = dot2(dots[t][p], low[p], high[p], x0, x1);
        }
    }
};

// How far ahead of its use the first pass over weights asks for them.
constexpr int64_t prefetch_bytes = 4096;

template <class Codes, int T, int P, bool First>
static void tile(const Part& w, const char* const* x, float* const* y, const float* bias) {
    V sums[T][P];
    for (int t = 0; t < T; t++)
        for (int p = 0; p < P; p++) sums[t][p] = zero();
    if (w.first > 0)
        for (int t = 0; t < T; t++)
            for (int p = 0; p < P; p++)
                if (int64_t left = w.outputs - p * V::N; left > 0)
                    sums[t][p] = left < V::N ? load(y[t] + p * V::N, left) : load(y[t] + p * V::N);
    const uint8_t* codes = w.codes;
    const uint16_t* scales = w.scales;
    int64_t at = w.first * (w.padded + 8);
    for (int64_t g = 0; g < w.groups; g++, at += 8, scales += panel_rows) {
        I dots[T][P];
        for (int t = 0; t < T; t++) {
            int32_t start;
            memcpy(&start, x[t] + at + w.padded, 4);
            for (int p = 0; p < P; p++) dots[t][p] = set_int(start);
        }
        int64_t k = w.padded;
        for (; k >= 32; k -= 32)
#pragma GCC unroll 8
            for (int i = 0; i < 32 / Codes::values; i++, codes += 64, at += Codes::values) {
                if (First)
                    for (int p = 0; p < P; p += per_panel)
                        __builtin_prefetch(codes + p / per_panel * w.codes_stride + prefetch_bytes);
                Codes::step(codes, w.codes_stride, x, at, dots);
            }
        for (; k > 0; k -= Codes::values, codes += 64, at += Codes::values)
            Codes::step(codes, w.codes_stride, x, at, dots);
        V scale[P];
        for (int p = 0; p < P; p++)
            scale[p] = load_halves(scales + p / per_panel * w.scales_stride + p % per_panel * V::N);
        for (int t = 0; t < T; t++) {
            float x_scale;
            memcpy(&x_scale, x[t] + at + 4, 4);
            for (int p = 0; p < P; p++)
                sums[t][p] = fma(to_float(dots[t][p]), scale[p] * set(x_scale), sums[t][p]);
        }
    }
    for (int t = 0; t < T; t++)
        for (int p = 0; p < P; p++) {
            int64_t left = w.outputs - p * V::N;
            if (left <= 0) continue;
            if (left >= V::N) store(y[t] + p * V::N, bias ? sums[t][p] + load(bias + p * V::N) : sums[t][p]);
            else store(y[t] + p * V::N, bias ? sums[t][p] + load(bias + p * V::N, left) : sums[t][p], left);
        }
}

constexpr int most_tokens = V::N == 16 ? 6 : V::N == 8 ? 3 : 1;  // of a tile: what the registers hold
constexpr int most_panels = V::N == 16 ? 2 : 1;

template <class Codes, int T, bool First>
static void tile_of(const Part& w, const char* const* x, int64_t tokens, float* const* y, const float* bias) {
    if constexpr (T > 0) {
        if (tokens < T) return tile_of<Codes, T - 1, First>(w, x, tokens, y, bias);
        if (w.outputs <= panel_rows) tile<Codes, T, per_panel, First>(w, x, y, bias);
        else tile<Codes, T, per_panel * most_panels, First>(w, x, y, bias);
    }
}

// All tokens over one part, in tiles of nearly equal height.
template <class Codes>
static void tokens_of(const Part& w, const char* const* x, int64_t tokens, float* const* y, const float* bias) {
    int64_t tiles = (tokens + most_tokens - 1) / most_tokens;
    for (int64_t i = 0, t = 0; i < tiles; i++) {
        int64_t count = (tokens - t + tiles - i - 1) / (tiles - i);
        if (i == 0) tile_of<Codes, most_tokens, true>(w, x, count, y, bias);
        else tile_of<Codes, most_tokens, false>(w, x + t, count, y + t, bias);
        t += count;
    }
}

constexpr int64_t tokens_at_once = 64;

void linear_panels(const Matrix& w, int64_t n0, int64_t n1, const char* const* x, int64_t tokens, float* const* y,
                   const float* bias) {
    float* ys[tokens_at_once];
    for (int64_t n = n0; n < n1; n += panel_rows * most_panels) {
        Part part = {codes_at(w, n / panel_rows, 0), scales_at(w, n / panel_rows, 0), panel_codes(w), panel_scales(w),
                     0, groups(w), padded_group(w), n1 - n};
        if (part.outputs > panel_rows * most_panels) part.outputs = panel_rows * most_panels;
        for (int64_t t = 0; t < tokens; t += tokens_at_once) {
            int64_t count = tokens - t < tokens_at_once ? tokens - t : tokens_at_once;
            for (int64_t i = 0; i < count; i++) ys[i] = y[t + i] + n;
            if (w.kind == Kind::int8) tokens_of<Int8>(part, x + t, count, ys, bias ? bias + n : nullptr);
            else tokens_of<Int4>(part, x + t, count, ys, bias ? bias + n : nullptr);
        }
    }
}

}  // namespace ponder::PONDER_NS
