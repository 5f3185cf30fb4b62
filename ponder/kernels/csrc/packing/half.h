// float16 bits <-> float in plain C++, exact, rounding to nearest even. `static`: every instruction set gets its own copy.
#pragma once
#include <cstdint>
#include <cstring>

namespace ponder {

static inline float from_half(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 0x3ff, bits;
    if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24
        float value = (float)mantissa * 5.9604644775390625e-8f;
        return sign ? -value : value;
    }
    if (exponent == 31) bits = sign | 0x7f800000 | (mantissa << 13);
    else bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

// |x| at most 65504
static inline uint16_t to_half(float x) {
    uint32_t bits, half;
    memcpy(&bits, &x, 4);
    uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    if (size < 0x38800000) {  // below 2^-14, a multiple of 2^-24: that is the last place of 0.5
        float small;
        memcpy(&small, &size, 4);
        small += 0.5f;
        memcpy(&half, &small, 4);
        half -= 0x3f000000;
    } else {
        half = (size - (112u << 23) + 0xfff + (size >> 13 & 1)) >> 13;
    }
    return (uint16_t)(sign | half);
}

}  // namespace ponder
