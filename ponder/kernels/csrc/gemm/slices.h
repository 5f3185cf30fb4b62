// How linear_panels.cpp multiplies one slice of panels (`bytes` of each, `values` of K) with T tokens, for P vectors of
// outputs, and what `dots` hold after a group's last slice: `finish` leaves a token's outputs in its own row.
#pragma once
#include "gemm/lanes.h"
#include "packing/panels.h"

namespace ponder::PONDER_NS {

constexpr int per_panel = (int)panel_rows / V::N;  // vectors of outputs

// Some groups of one or two neighbouring panels.
struct Part {
    const uint8_t* codes;
    const uint16_t* scales;
    int64_t codes_stride, scales_stride;  // from panel to panel
    int64_t groups, padded;               // padded: values of a group
    int64_t outputs;                      // that exist: up to 16 a panel
    const uint8_t* grid;                  // of int4
};

}  // namespace ponder::PONDER_NS

#if defined(__ARM_FEATURE_MATMUL_INT8) && defined(PONDER_NEON)
#include "gemm/slices_i8mm.h"
#else

namespace ponder::PONDER_NS {

struct Sums {
    template <int T, int P>
    static void finish(I (&)[T][P]) {}
};

struct Int8 : Sums {
    static constexpr int64_t values = 4, bytes = 64;
    static constexpr bool offsets = false;
    explicit Int8(const Part&) {}
    template <int T, int P>
    inline __attribute__((always_inline)) void step(const uint8_t* codes, int64_t stride, const char* const* x,
                                                    int64_t at, I (&dots)[T][P]) const {
        Code8 w[P];
        for (int p = 0; p < P; p++) w[p] = load_code8(codes + p / per_panel * stride + p % per_panel * 4 * V::N);
        for (int t = 0; t < T; t++) {
            X xs = load_x((const int8_t*)x[t] + at);
            for (int p = 0; p < P; p++) dots[t][p] = dot(dots[t][p], w[p], xs);
        }
    }
};

struct Int4 : Sums {
    static constexpr int64_t values = 8, bytes = 64;
    static constexpr bool offsets = false;
    const Grid grid;
    explicit Int4(const Part& w) : grid(load_grid(w.grid)) {}
    template <int T, int P>
    inline __attribute__((always_inline)) void step(const uint8_t* codes, int64_t stride, const char* const* x,
                                                    int64_t at, I (&dots)[T][P]) const {
        Code4 low[P], high[P];
        for (int p = 0; p < P; p++)
            load_code4(codes + p / per_panel * stride + p % per_panel * 4 * V::N, grid, low[p], high[p]);
        for (int t = 0; t < T; t++) {
            X x0 = load_x((const int8_t*)x[t] + at), x1 = load_x((const int8_t*)x[t] + at + 4);
            for (int p = 0; p < P; p++) dots[t][p] = dot(dots[t][p], low[p], x0);
            for (int p = 0; p < P; p++) dots[t][p] = dot(dots[t][p], high[p], x1);
        }
    }
};

struct UInt4 : Sums {
    static constexpr int64_t values = 8, bytes = 64;
    static constexpr bool offsets = true;
    explicit UInt4(const Part&) {}
    template <int T, int P>
    inline __attribute__((always_inline)) void step(const uint8_t* codes, int64_t stride, const char* const* x,
                                                    int64_t at, I (&dots)[T][P]) const {
        Plain4 low[P], high[P];
        for (int p = 0; p < P; p++)
            load_plain4(codes + p / per_panel * stride + p % per_panel * 4 * V::N, low[p], high[p]);
        for (int t = 0; t < T; t++) {
            X x0 = load_x((const int8_t*)x[t] + at), x1 = load_x((const int8_t*)x[t] + at + 4);
            for (int p = 0; p < P; p++) dots[t][p] = dot_plain(dots[t][p], low[p], x0);
            for (int p = 0; p < P; p++) dots[t][p] = dot_plain(dots[t][p], high[p], x1);
        }
    }
};

}  // namespace ponder::PONDER_NS
#endif
