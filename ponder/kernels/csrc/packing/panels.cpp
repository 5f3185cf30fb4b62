// Row-major int8, int4 and uint4 (ponder/kernels/tensor.py) to panels and back, exactly; on all threads.
#include "packing/panels.h"

#include <cstring>

#include "program/ops.h"
#include "runtime/pool.h"

namespace ponder {

namespace {

constexpr uint32_t low_nibbles = 0x0f0f0f0f, offsets8 = 0x80808080;

// Code k of a group in the row-major layout of int4.
int nibble(const uint8_t* row, int64_t group, int64_t k) {
    return k < group / 2 ? row[k] & 15 : row[k - group / 2] >> 4;
}

uint32_t word(const uint8_t* p) {
    uint32_t w;
    memcpy(&w, p, 4);
    return w;
}

// One group of one row to words of a panel, 16 apart: `group` values at `row`.
void pack_group8(const uint8_t* row, int64_t group, uint32_t* out) {
    int64_t k = 0;
    for (; k + 4 <= group; k += 4, out += panel_rows) *out = word(row + k) ^ offsets8;
    for (; k < up(group, 8); k += 4, out += panel_rows) {
        uint32_t w = 0;
        for (int64_t i = 0; k + i < group && i < 4; i++) w |= (uint32_t)row[k + i] << (8 * i);
        *out = w ^ offsets8;
    }
}

void pack_group4(const uint8_t* row, int64_t group, uint32_t* out) {
    if (group % 16 == 0) {  // whole words of one half
        for (int64_t half = 0; half < 2; half++)
            for (int64_t k = 0; k < group / 2; k += 8, out += panel_rows) {
                uint32_t a = word(row + k), b = word(row + k + 4);
                *out = half ? (a >> 4 & low_nibbles) | (b & ~low_nibbles) : (a & low_nibbles) | (b & low_nibbles) << 4;
            }
        return;
    }
    for (int64_t k = 0; k < up(group, 8); k += 8, out += panel_rows) {
        uint32_t w = 0;
        for (int64_t i = 0; i < 8; i++) {
            uint32_t value = k + i < group ? (uint32_t)nibble(row, group, k + i) : 0;
            w |= value << (i % 4 * 8 + i / 4 * 4);
        }
        *out = w;
    }
}

void unpack_group8(const uint32_t* in, int64_t group, uint8_t* row) {
    for (int64_t k = 0; k < group; k++) row[k] = (uint8_t)((in[k / 4 * panel_rows] ^ offsets8) >> (k % 4 * 8));
}

void unpack_group4(const uint32_t* in, int64_t group, uint8_t* row) {
    memset(row, 0, (size_t)group / 2);
    for (int64_t k = 0; k < group; k++) {
        uint32_t value = in[k / 8 * panel_rows] >> (k % 4 * 8 + k / 4 % 2 * 4) & 15;
        row[k % (group / 2)] |= (uint8_t)(k < group / 2 ? value : value << 4);
    }
}

constexpr int64_t at_once = 16;  // panels in one piece of work

template <class F>
void each_panel(const Matrix& w, F work) {
    Operation op;
    op.run((panels(w) + at_once - 1) / at_once, [&](int64_t piece, int) {
        for (int64_t p = piece * at_once; p < panels(w) && p < (piece + 1) * at_once; p++) work(p);
    });
}

}  // namespace

void to_panels(const Matrix& w, const uint8_t* data, const uint16_t* scale, const int8_t* grid, uint8_t* buffer) {
    bool four = four_bits(w);
    for (int i = 0; grid && i < 16; i++) buffer[code_bytes(w) + scale_bytes(w) + i] = (uint8_t)(grid[i] + 128);
    int64_t row_bytes = four ? w.k / 2 : w.k, group_bytes = four ? w.group / 2 : w.group, count = groups(w);
    int64_t each = group_scales(w) / panel_rows;
    each_panel(w, [&](int64_t p) {
        uint16_t* scales = (uint16_t*)(buffer + code_bytes(w)) + p * panel_scales(w);
        for (int64_t g = 0; g < count; g++) {
            uint32_t* codes = (uint32_t*)(buffer + p * panel_codes(w) + g * group_codes(w));
            for (int64_t r = 0; r < panel_rows; r++) {
                int64_t n = p * panel_rows + r;
                for (int64_t i = 0; i < each; i++)
                    scales[(g * each + i) * panel_rows + r] = n < w.n ? scale[(n * count + g) * each + i] : 0;
                if (n >= w.n) {  // any code does: its scale is 0
                    for (int64_t i = 0; i < group_codes(w) / 64; i++) codes[i * panel_rows + r] = 0;
                    continue;
                }
                const uint8_t* row = data + n * row_bytes + g * group_bytes;
                if (four) pack_group4(row, w.group, codes + r);
                else pack_group8(row, w.group, codes + r);
            }
        }
    });
}

void from_panels(const Matrix& w, uint8_t* data, uint16_t* scale, int8_t* grid) {
    bool four = four_bits(w);
    int64_t each = group_scales(w) / panel_rows;
    for (int i = 0; grid && i < 16; i++) grid[i] = (int8_t)(grid_at(w)[i] - 128);
    int64_t row_bytes = four ? w.k / 2 : w.k, group_bytes = four ? w.group / 2 : w.group;
    each_panel(w, [&](int64_t p) {
        for (int64_t r = 0; r < panel_rows && p * panel_rows + r < w.n; r++)
            for (int64_t g = 0, n = p * panel_rows + r; g < groups(w); g++) {
                const uint32_t* codes = (const uint32_t*)codes_at(w, p, g) + r;
                uint8_t* row = data + n * row_bytes + g * group_bytes;
                for (int64_t i = 0; i < each; i++)
                    scale[(n * groups(w) + g) * each + i] = scales_at(w, p, g)[i * panel_rows + r];
                if (four) unpack_group4(codes, w.group, row);
                else unpack_group8(codes, w.group, row);
            }
    });
}

}  // namespace ponder
