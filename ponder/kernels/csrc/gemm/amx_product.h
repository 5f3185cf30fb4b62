// The product of tile_product.h by AMX: its rows of 32 lanes are rows of two right operands. Included by it for `amx`.
#pragma once
#include "gemm/amx.h"

namespace ponder::PONDER_NS {

// The steps first .. end, `depth` at a time, of up to 16 rows: tile A their values, C and C + 1 their 32 sums.
template <class Dot, int C, int A>
static inline void tile_product(const char* rows, int64_t row_bytes, const Matrices& b, int64_t first, int64_t end,
                                int64_t depth, bool ahead, char* out, int64_t out_bytes) {
    if (b.more || first > 0) {
        load_tile<C>(out, out_bytes);
        load_tile<C + 1>(out + tile_bytes, out_bytes);
    } else {
        zero_tile<C>();
        zero_tile<C + 1>();
    }
    int64_t i = first / b.per, at = first % b.per * lane_row;
    for (int64_t s = first; s < end; s += depth) {
        const char* m = b.tiles[i] + b.offset + at;
        if (ahead)
            for (int64_t line = 0; line < depth * lane_row; line += 64) __builtin_prefetch(b.ahead[i] + at + line);
        load_tile<A>(rows + s * Dot::row_step, row_bytes);
        load_tile<6>(m, lane_row);
        load_tile<7>(m + tile_bytes, lane_row);
        Dot::template multiply<C, A, 6>();
        Dot::template multiply<C + 1, A, 7>();
        at += depth * lane_row;
        if (at == b.per * lane_row) {
            at = 0;
            i++;
        }
    }
    store_tile<C>(out, out_bytes);
    store_tile<C + 1>(out + tile_bytes, out_bytes);
}

// Steps first .. end, which `depth` divides; 16 rows at a time, and the rest.
template <class Dot>
static void tile_products(const char* rows, int64_t count, int64_t row_bytes, const Matrices& b, int64_t first,
                          int64_t end, int64_t depth, char* out, int64_t out_bytes) {
    int64_t rest = count % tile_rows, whole = count - rest;
    TileConfig config;
    for (int c = 0; c < 2; c++) {
        config.shape(c, tile_rows, tile_bytes);
        config.shape(6 + c, depth, tile_bytes);
        if (rest) config.shape(3 + c, rest, tile_bytes);
    }
    config.shape(2, tile_rows, depth * Dot::row_step);
    if (rest) config.shape(5, rest, depth * Dot::row_step);
    Tiles tiles(config);
    for (int64_t q = 0; q < whole; q += tile_rows)
        tile_product<Dot, 0, 2>(rows + q * row_bytes, row_bytes, b, first, end, depth, b.ahead && q == 0,
                                out + q * out_bytes, out_bytes);
    if (rest)
        tile_product<Dot, 3, 5>(rows + whole * row_bytes, row_bytes, b, first, end, depth, b.ahead && whole == 0,
                                out + whole * out_bytes, out_bytes);
}

// A right operand lies within one matrix, whose end may be cut short: what follows there may be anything.
template <class Dot>
static void product_by_tiles(const char* rows, int64_t count, int64_t row_bytes, const Matrices& b, char* out,
                             int64_t out_bytes) {
    int64_t depth = b.per % tile_rows ? tile_rows / 2 : tile_rows, tail = b.steps % depth, whole = b.steps - tail;
    if (whole) tile_products<Dot>(rows, count, row_bytes, b, 0, whole, depth, out, out_bytes);
    if (tail) tile_products<Dot>(rows, count, row_bytes, b, whole, b.steps, tail, out, out_bytes);
}

}  // namespace ponder::PONDER_NS
