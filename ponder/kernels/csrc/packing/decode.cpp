// Rows of a file to floats: plain types and the block formats of GGUF. Compiled per instruction set.
//
// Layouts: ggml-org/llama.cpp ggml/src/ggml-common.h; ponder/model/formats/ggml_blocks.py is the same in numpy, bit-equal.
// A value is q * scale, or q * scale + offset, each operation rounded on its own (no contraction).
#include "packing/half.h"
#include "runtime/kernels.h"
#include "runtime/simd.h"

namespace ponder::PONDER_NS {

static inline uint16_t bits_at(const uint8_t* p) {
    uint16_t bits;
    memcpy(&bits, p, 2);
    return bits;
}
static inline float half_at(const uint8_t* p) { return from_half(bits_at(p)); }

// The codes of 32 values from 16 bytes: first the low halves, then the high ones. GCC 12 would unroll these loops
// before it vectorises them.
static inline void nibbles32(const uint8_t* b, uint8_t* q) {
#pragma GCC unroll 1
    for (int i = 0; i < 16; i++) q[i] = b[i] & 15;
#pragma GCC unroll 1
    for (int i = 0; i < 16; i++) q[i + 16] = b[i] >> 4;
}
static inline void fifth_bits(uint32_t high, uint8_t* q) {
    for (int i = 0; i < 32; i++) q[i] = (uint8_t)(q[i] | (high >> i & 1) << 4);
}

static inline uint32_t word_at(const uint8_t* p) { return bits_at(p) | (uint32_t)bits_at(p + 2) << 16; }

static inline void scaled(const uint8_t* q, int n, int minus, float scale, float* out) {
    for (int i = 0; i < n; i++) out[i] = (float)((int)q[i] - minus) * scale;
}
static inline void scaled_offset(const uint8_t* q, int n, float scale, float offset, float* out) {
    for (int i = 0; i < n; i++) out[i] = (float)(int)q[i] * scale + offset;
}

static void q4_0(const uint8_t* b, float* out) {
    uint8_t q[32];
    nibbles32(b + 2, q);
    scaled(q, 32, 8, half_at(b), out);
}
static void q4_1(const uint8_t* b, float* out) {
    uint8_t q[32];
    nibbles32(b + 4, q);
    scaled_offset(q, 32, half_at(b), half_at(b + 2), out);
}
static void q5_0(const uint8_t* b, float* out) {
    uint8_t q[32];
    nibbles32(b + 6, q);
    fifth_bits(word_at(b + 2), q);
    scaled(q, 32, 16, half_at(b), out);
}
static void q5_1(const uint8_t* b, float* out) {
    uint8_t q[32];
    nibbles32(b + 8, q);
    fifth_bits(word_at(b + 4), q);
    scaled_offset(q, 32, half_at(b), half_at(b + 2), out);
}
static void q8_0(const uint8_t* b, float* out) {
    float scale = half_at(b);
    for (int i = 0; i < 32; i++) out[i] = (float)(int8_t)b[2 + i] * scale;
}

// 32 values from 16 bytes of nibbles on the grid of IQ4_NL
static inline void normal32(const uint8_t* b, float scale, float* out) {
    uint8_t q[32];
    nibbles32(b, q);
    for (int i = 0; i < 32; i++) out[i] = (float)normal_grid[q[i]] * scale;
}
static void iq4_nl(const uint8_t* b, float* out) { normal32(b + 2, half_at(b), out); }
static void iq4_xs(const uint8_t* b, float* out) {
    for (int g = 0; g < 8; g++) {  // scales of six bits, less 32: four in the bytes 4..7, two in bytes 2 and 3
        int s = (b[4 + g / 2] >> (g % 2 * 4) & 15) | (b[2 + g / 4] >> (g % 4 * 2) & 3) << 4;
        normal32(b + 8 + 16 * g, half_at(b) * (float)(s - 32), out + 32 * g);
    }
}

// Scale and offset of group g of the 8 in a Q4_K or Q5_K block: d * sc and -(dmin * m), both six bits, packed in 12
// bytes: 4 of sc, 4 of m, 4 with the low halves of the last four of each (their high bits top the first eight).
static inline void k_scale(const uint8_t* b, int g, float& scale, float& offset) {
    const uint8_t* p = b + 4;
    int sc = g < 4 ? p[g] & 63 : (p[g + 4] & 15) | (p[g - 4] >> 2 & 48);
    int m = g < 4 ? p[g + 4] & 63 : p[g + 4] >> 4 | (p[g] >> 2 & 48);
    scale = half_at(b) * (float)sc;
    offset = -(half_at(b + 2) * (float)m);
}

static void q4_k(const uint8_t* b, float* out) {
    for (int g = 0; g < 8; g++) {
        uint8_t q[32];
        const uint8_t* run = b + 16 + g / 2 * 32;
        for (int i = 0; i < 32; i++) q[i] = run[i] >> (g % 2 * 4) & 15;
        float scale, offset;
        k_scale(b, g, scale, offset);
        scaled_offset(q, 32, scale, offset, out + 32 * g);
    }
}
static void q5_k(const uint8_t* b, float* out) {
    for (int g = 0; g < 8; g++) {
        uint8_t q[32];
        const uint8_t* run = b + 48 + g / 2 * 32;
        for (int i = 0; i < 32; i++) q[i] = (uint8_t)((run[i] >> (g % 2 * 4) & 15) | (b[16 + i] >> g & 1) << 4);
        float scale, offset;
        k_scale(b, g, scale, offset);
        scaled_offset(q, 32, scale, offset, out + 32 * g);
    }
}
static void q6_k(const uint8_t* b, float* out) {
    float d = half_at(b + 208);
    for (int run = 0; run < 8; run++) {  // two halves of 128 values, four runs of 32 each
        int half = run / 4, r = run % 4;
        const uint8_t *low = b + half * 64 + r % 2 * 32, *high = b + 128 + half * 32;
        uint8_t q[32];
        for (int i = 0; i < 32; i++) q[i] = (uint8_t)((low[i] >> (r / 2 * 4) & 15) | (high[i] >> (2 * r) & 3) << 4);
        for (int i = 0; i < 2; i++)
            scaled(q + 16 * i, 16, 32, d * (float)(int8_t)b[192 + 2 * run + i], out + 32 * run + 16 * i);
    }
}

static int blocks(const uint8_t* raw, int64_t k, int64_t elements, int64_t bytes, void (*block)(const uint8_t*, float*),
                  float* out) {
    uint32_t most = 0;
    for (int64_t i = 0; i < k; i += elements, raw += bytes) {
        block(raw, out + i);
        for (int64_t j = i; j < i + elements; j++) {
            uint32_t bits;
            memcpy(&bits, out + j, 4);
            most = (bits & 0x7fffffff) > most ? bits & 0x7fffffff : most;
        }
    }
    return most >= 0x7f800000 ? bad_not_finite : 0;
}

static void halves(const uint8_t* raw, int64_t k, float* out) {
    int64_t i = 0;
#if defined(__F16C__)
    for (; i + 8 <= k; i += 8) _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(raw + 2 * i))));
#endif
    for (; i < k; i++) out[i] = half_at(raw + 2 * i);
}

static void widen_row(const uint8_t* raw, int64_t k, float* out) {
    for (int64_t i = 0; i < k; i++) {
        uint32_t bits = (uint32_t)bits_at(raw + 2 * i) << 16;
        memcpy(out + i, &bits, 4);
    }
}

int decode(Stored type, const uint8_t* raw, int64_t k, float* out) {
    switch (type) {
        case Stored::f32: memcpy(out, raw, (size_t)k * 4); return 0;
        case Stored::f16: halves(raw, k, out); return 0;
        case Stored::bf16: widen_row(raw, k, out); return 0;
        case Stored::q4_0: return blocks(raw, k, 32, 18, q4_0, out);
        case Stored::q4_1: return blocks(raw, k, 32, 20, q4_1, out);
        case Stored::q5_0: return blocks(raw, k, 32, 22, q5_0, out);
        case Stored::q5_1: return blocks(raw, k, 32, 24, q5_1, out);
        case Stored::q8_0: return blocks(raw, k, 32, 34, q8_0, out);
        case Stored::q4_k: return blocks(raw, k, 256, 144, q4_k, out);
        case Stored::q5_k: return blocks(raw, k, 256, 176, q5_k, out);
        case Stored::q6_k: return blocks(raw, k, 256, 210, q6_k, out);
        case Stored::iq4_nl: return blocks(raw, k, 32, 18, iq4_nl, out);
        case Stored::iq4_xs: return blocks(raw, k, 256, 136, iq4_xs, out);
    }
    return 0;
}

// Scale and offset of a group as float16.
static inline int put_scales(float scale, float offset, uint16_t* out) {
    float largest = scale < 0 ? -scale : scale, other = offset < 0 ? -offset : offset;
    if (!(largest <= 65504.0f && other <= 65504.0f)) return largest == largest && other == other ? bad_too_large : bad_not_finite;
    out[0] = to_half(scale);
    out[1] = to_half(offset);
    return 0;
}

// 64 codes, a byte of which holds one of each of two groups, to two groups whose bytes hold values 16 apart.
static inline void regroup64(const uint8_t* raw, uint8_t* data) {
    for (int i = 0; i < 16; i++) {
        data[i] = (uint8_t)((raw[i] & 15) | raw[i + 16] << 4);
        data[16 + i] = (uint8_t)(raw[i] >> 4 | (raw[i + 16] & 0xf0));
    }
}

static int copy_offset_codes(Stored type, const uint8_t* raw, int64_t k, uint8_t* data, uint16_t* scale) {
    int flags = 0;
    if (type == Stored::q4_1)
        for (int64_t g = 0; g < k / 32; g++, raw += 20, data += 16, scale += 2) {
            flags |= put_scales(half_at(raw), half_at(raw + 2), scale);
            memcpy(data, raw + 4, 16);
        }
    else
        for (int64_t b = 0; b < k / 256; b++, raw += 144, scale += 16)
            for (int g = 0; g < 8; g++) {
                float step, offset;
                k_scale(raw, g, step, offset);
                flags |= put_scales(step, offset, scale + 2 * g);
                if (g % 2) continue;
                regroup64(raw + 16 + g * 16, data);
                data += 32;
            }
    return flags;
}

int copy_codes(Stored type, const uint8_t* raw, int64_t k, uint8_t* data, uint16_t* scale) {
    if (type == Stored::q4_1 || type == Stored::q4_k) return copy_offset_codes(type, raw, k, data, scale);
    int flags = 0;
    bool four = type == Stored::q4_0 || type == Stored::iq4_nl;
    for (int64_t g = 0; g < k / 32; g++) {
        scale[g] = bits_at(raw);
        if ((scale[g] >> 10 & 31) == 31) flags = bad_not_finite;
        if (type == Stored::q8_0) {
            memcpy(data, raw + 2, 32);
        } else if (four) {
            memcpy(data, raw + 2, 16);
        } else {
            nibbles32(raw + 6, data);
            fifth_bits(word_at(raw + 2), data);
            for (int i = 0; i < 32; i++) data[i] = (uint8_t)(data[i] - 16);
        }
        data += four ? 16 : 32;
        raw += type == Stored::q8_0 ? 34 : four ? 18 : 22;
    }
    return flags;
}

}  // namespace ponder::PONDER_NS
