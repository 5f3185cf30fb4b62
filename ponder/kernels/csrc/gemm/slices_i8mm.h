// slices.h by i8mm: one instruction multiplies two rows of 8 bytes with two others. Neighbouring outputs are the rows of
// codes, two tokens those of activations; the last of an odd number of tokens takes dot products.
#pragma once

namespace ponder::PONDER_NS {

// dots[t] and dots[t + 1], t even, hold tokens t and t + 1 of outputs 0, 1 and 2, 3 of a vector.
struct Sums {
    template <int T, int P>
    static inline __attribute__((always_inline)) void finish(I (&dots)[T][P]) {
        for (int t = 0; t + 2 <= T; t += 2)
            for (int p = 0; p < P; p++) {
                int32x4_t a = dots[t][p].v, b = dots[t + 1][p].v;
                dots[t][p].v = vuzp1q_s32(a, b);
                dots[t + 1][p].v = vuzp2q_s32(a, b);
            }
    }

    // low and high: values 0..3 and 4..7 of four outputs
    template <int T, int P>
    static inline __attribute__((always_inline)) void multiply(const X (&low)[P], const X (&high)[P], const char* const* x,
                                                               int64_t at, I (&dots)[T][P]) {
        if (T >= 2) {
            int8x16_t first[P], second[P];
            for (int p = 0; p < P; p++) {
                int32x4_t a = vreinterpretq_s32_s8(low[p].v), b = vreinterpretq_s32_s8(high[p].v);
                first[p] = vreinterpretq_s8_s32(vzip1q_s32(a, b));
                second[p] = vreinterpretq_s8_s32(vzip2q_s32(a, b));
            }
            for (int t = 0; t + 2 <= T; t += 2) {
                int8x16_t two = vcombine_s8(vld1_s8((const int8_t*)x[t] + at), vld1_s8((const int8_t*)x[t + 1] + at));
                for (int p = 0; p < P; p++) {
                    dots[t][p].v = vmmlaq_s32(dots[t][p].v, first[p], two);
                    dots[t + 1][p].v = vmmlaq_s32(dots[t + 1][p].v, second[p], two);
                }
            }
        }
        if (T % 2) {
            X x0 = load_x((const int8_t*)x[T - 1] + at), x1 = load_x((const int8_t*)x[T - 1] + at + 4);
            for (int p = 0; p < P; p++) dots[T - 1][p] = dot(dot(dots[T - 1][p], low[p], x0), high[p], x1);
        }
    }
};

struct Int8 : Sums {
    static constexpr int64_t values = 8, bytes = 128;
    static constexpr bool offsets = false;
    explicit Int8(const Part&) {}
    template <int T, int P>
    inline __attribute__((always_inline)) void step(const uint8_t* codes, int64_t stride, const char* const* x,
                                                    int64_t at, I (&dots)[T][P]) const {
        Code8 low[P], high[P];
        for (int p = 0; p < P; p++) {
            const uint8_t* from = codes + p / per_panel * stride + p % per_panel * 4 * V::N;
            low[p] = load_code8(from);
            high[p] = load_code8(from + 64);
        }
        multiply(low, high, x, at, dots);
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
        multiply(low, high, x, at, dots);
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
        multiply(low, high, x, at, dots);
    }
};

}  // namespace ponder::PONDER_NS
