// Rows of a weight as floats: what an embedding table is read with.
#include <algorithm>
#include <cstring>

#include "packing/half.h"
#include "program/ops.h"
#include "packing/panels.h"
#include "runtime/pool.h"

namespace ponder {

void decode_row(const Matrix& w, int64_t n, float* out) {
    if (w.kind == Kind::f32) {
        std::memcpy(out, (const float*)w.data + n * w.k, w.k * 4);
    } else if (w.kind == Kind::bf16) {
        const uint16_t* bits = (const uint16_t*)w.data + n * w.k;
        for (int64_t i = 0; i < w.k; i++) {
            uint32_t wide = (uint32_t)bits[i] << 16;
            std::memcpy(out + i, &wide, 4);
        }
    } else {
        for (int64_t g = 0; g < groups(w); g++, out += w.group) {
            const uint8_t* codes = codes_at(w, n / panel_rows, g) + n % panel_rows * 4;
            float scale = from_half(scales_at(w, n / panel_rows, g)[n % panel_rows]);
            if (w.kind == Kind::int8)
                for (int64_t k = 0; k < w.group; k++) out[k] = (float)(codes[k / 4 * 64 + k % 4] - 128) * scale;
            else {
                float offset = w.kind == Kind::uint4 ? from_half(scales_at(w, n / panel_rows, g)[panel_rows + n % panel_rows]) : 0;
                for (int64_t k = 0; k < w.group; k++) {
                    int code = codes[k / 8 * 64 + k % 4] >> (k % 8 / 4 * 4) & 15;
                    out[k] = w.kind == Kind::uint4 ? (float)code * scale + offset : (float)(grid_at(w)[code] - 128) * scale;
                }
            }
        }
    }
}

void embed(const Matrix& w, const int32_t* ids, int64_t count, float* out) {
    Operation op;
    op.split(count, std::max<int64_t>(1, 16384 / w.k), [&](int64_t i) { decode_row(w, ids[i], out + i * w.k); });
}

}  // namespace ponder
