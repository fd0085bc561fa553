/* float16 as its 16 bits: IEEE 754 binary16, 1 sign, 5 exponent and 10 fraction bits. */
#ifndef ENGINE_BASE_F16_H
#define ENGINE_BASE_F16_H

#include <stdint.h>
#include <string.h>

/* Rounded to nearest even, from 65520 on to infinity; NaN stays NaN. */
static inline uint16_t f16_from_float(float x)
{
    uint32_t bits, sign, size;

    memcpy(&bits, &x, sizeof(bits));
    sign = bits >> 16 & 0x8000;
    size = bits & 0x7FFFFFFF;
    if (size > 0x7F800000)
        return (uint16_t)(sign | 0x7E00);
    if (size >= 0x47800000) /* 2^16 */
        return (uint16_t)(sign | 0x7C00);
    if (size <
        0x38800000) { /* 2^-14: what lies below is a multiple of 2^-24, as floats at 0.5 are */
        float small;

        memcpy(&small, &size, sizeof(small));
        small += 0.5f;
        memcpy(&size, &small, sizeof(size));
        return (uint16_t)(sign | (size - 0x3F000000));
    }
    size += 0xFFF + (size >> 13 & 1);
    return (uint16_t)(sign | (size - 0x38000000) >> 13);
}

static inline float f16_to_float(uint16_t x)
{
    uint32_t sign = (uint32_t)(x & 0x8000) << 16, size = x & 0x7FFF;
    uint32_t bits =
        sign | (size >= 0x7C00 ? 0x7F800000 | (size & 0x3FF) << 13 : (size << 13) + 0x38000000);
    float y;

    if (size < 0x400) { /* subnormal */
        y = (float)size * 0x1p-24f;
        return sign ? -y : y;
    }
    memcpy(&y, &bits, sizeof(y));
    return y;
}

#endif
