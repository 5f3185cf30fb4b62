// Rows of a weight as floats: what an embedding table is read with.
#include <algorithm>
#include <cstring>

#include "half.h"
#include "ops.h"
#include "pool.h"

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
        for (int64_t at = n * w.k; at < (n + 1) * w.k; at += w.group, out += w.group) {
            float scale = from_half(w.scale[at / w.group]);
            if (w.kind == Kind::int8) {
                const int8_t* q = (const int8_t*)w.data + at;
                for (int64_t i = 0; i < w.group; i++) out[i] = (float)q[i] * scale;
            } else {
                const uint8_t* q = (const uint8_t*)w.data + at / 2;
                for (int64_t i = 0; i < w.group / 2; i++) {
                    out[i] = (float)((q[i] & 15) - 8) * scale;
                    out[i + w.group / 2] = (float)((q[i] >> 4) - 8) * scale;
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
