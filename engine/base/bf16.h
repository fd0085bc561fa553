/* bfloat16 as its 16 bits: the upper half of a float32. */
#ifndef ENGINE_BASE_BF16_H
#define ENGINE_BASE_BF16_H

#include <stdint.h>
#include <string.h>

/* Rounded to nearest even; NaN stays NaN. Without a branch, for loops over many. */
static inline uint16_t bf16_from_float(float x)
{
    uint32_t bits, rounded, quiet;

    memcpy(&bits, &x, sizeof(bits));
    rounded = bits + 0x7FFF + (bits >> 16 & 1);
    quiet = bits | 0x400000;
    return (uint16_t)((x != x ? quiet : rounded) >> 16);
}

static inline float bf16_to_float(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float y;

    memcpy(&y, &bits, sizeof(y));
    return y;
}

#endif
