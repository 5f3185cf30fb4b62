// How int8, int4 and uint4 matrices lie in memory: panels of 16 output rows, the same for every instruction set.
//
// One buffer, codes, scales and grid, 64-byte aligned (docs/kernels.md):
//   int8 codes [N/16][K/4][16 rows][4 k]      value + 128
//   int4 codes [N/16][K/8][16 rows][4 bytes]  low nibbles hold k 0..3 of the 8, high nibbles k 4..7
//   uint4 codes, as those of int4
//   scales     [N/16][K/group][16 rows]       float16; of uint4 [N/16][K/group][2][16 rows], scales and offsets
//   grid       [16]                           of int4: the value of each code, + 128
// Rows are filled up to 16 with scale 0, groups to a multiple of 8 codes of any value (the activations there are 0). A
// slice of 64 bytes holds 4 (8) values of 16 outputs: the unsigned operand of vpdpbusd, and a row of an AMX tile.
#pragma once
#include <cstdint>

#include "runtime/kernels.h"

namespace ponder {

constexpr int64_t panel_rows = 16;

static inline int64_t up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
static inline bool four_bits(const Matrix& w) { return w.kind == Kind::int4 || w.kind == Kind::uint4; }
static inline bool in_panels(const Matrix& w) { return w.kind == Kind::int8 || four_bits(w); }
static inline int64_t padded_group(const Matrix& w) { return up(w.group, 8); }
static inline int64_t groups(const Matrix& w) { return w.k / w.group; }
static inline int64_t panels(const Matrix& w) { return up(w.n, panel_rows) / panel_rows; }
// bytes of the codes of a group, of a panel; scales (and offsets) of a group, of a panel
static inline int64_t group_codes(const Matrix& w) { return padded_group(w) * (four_bits(w) ? 8 : 16); }
static inline int64_t panel_codes(const Matrix& w) { return groups(w) * group_codes(w); }
static inline int64_t group_scales(const Matrix& w) { return w.kind == Kind::uint4 ? 2 * panel_rows : panel_rows; }
static inline int64_t panel_scales(const Matrix& w) { return groups(w) * group_scales(w); }
static inline int64_t code_bytes(const Matrix& w) { return panels(w) * panel_codes(w); }  // a multiple of 64
static inline int64_t scale_bytes(const Matrix& w) { return panels(w) * panel_scales(w) * 2; }
static inline int64_t buffer_bytes(const Matrix& w) {
    return code_bytes(w) + scale_bytes(w) + (w.kind == Kind::int4 ? 16 : 0);
}

static inline const uint8_t* codes_at(const Matrix& w, int64_t panel, int64_t group) {
    return (const uint8_t*)w.data + panel * panel_codes(w) + group * group_codes(w);
}
static inline const uint16_t* scales_at(const Matrix& w, int64_t panel, int64_t group) {
    return w.scale + panel * panel_scales(w) + group * group_scales(w);
}
static inline const uint8_t* grid_at(const Matrix& w) { return (const uint8_t*)w.scale + scale_bytes(w); }

}  // namespace ponder
