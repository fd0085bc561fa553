/* What the inner loops do to one element. Everything here is inlined into loops that the compiler
 * vectorises, so there are no branches on data and no calls.
 */
#ifndef ENGINE_CPU_LANES_H
#define ENGINE_CPU_LANES_H

#include "engine/base/bf16.h"
#include "engine/device.h"

#include <stdint.h>
#include <string.h>

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

/* The table that this compilation makes: LANES_NAME(norm_loops) is norm_loops_avx2, say, where
 * meson.build defines LANES_SET as avx2. */
#define LANES_JOIN_(a, b) a##_##b
#define LANES_JOIN(a, b)  LANES_JOIN_(a, b)
#define LANES_NAME(name)  LANES_JOIN(name, LANES_SET)

#define LANES_INLINE static inline __attribute__((always_inline))

LANES_INLINE float lane_from_bits(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof(x));
    return x;
}

LANES_INLINE uint32_t lane_bits(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

/* a b + c, rounded once where the processor can. Sums of products are written with it and compiled
 * without contraction: a compiler left to choose treats the last few elements of a loop unlike
 * the vectors before them, and an image's bytes would depend on its place in memory. */
LANES_INLINE float lane_fma(float a, float b, float c)
{
#ifdef __FMA__
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

/* Element i of x. `type` is a constant where this is inlined. */
LANES_INLINE float lane_read(const void *x, enum dtype type, size_t i)
{
    const uint16_t *halves = x;
    const float *floats = x;

    return type == DTYPE_BF16 ? bf16_to_float(halves[i]) : floats[i];
}

/* Results are written a tile at a time, through a buffer in the first-level cache where they are
 * to be rounded: loops over floats vectorise better than loops that also pack.
 *
 * lanes_tile() tells where the tile that begins at element `start` of y is computed: in y itself
 * or in buffer. lanes_finish() rounds what is there into y. */
enum { LANES_TILE = 512 };

LANES_INLINE float *lanes_tile(void *y, enum dtype type, size_t start, float *buffer)
{
    float *floats = y;

    return type == DTYPE_F32 ? floats + start : buffer;
}

LANES_INLINE void lanes_finish(void *y, enum dtype type, size_t start, const float *tile, size_t n)
{
    uint16_t *restrict halves = (uint16_t *)y + start;
    size_t i = 0;

    if (type == DTYPE_F32)
        return;
#ifdef __AVX512BF16__
    for (; i + 16 <= n; i += 16)
        _mm256_storeu_si256((__m256i *)(halves + i),
                            (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(tile + i)));
#endif
    for (; i < n; i++)
        halves[i] = bf16_from_float(tile[i]);
}

/* Elements of the tile that begins at `start` of n. */
LANES_INLINE size_t lanes_count(size_t start, size_t n)
{
    return n - start < LANES_TILE ? n - start : LANES_TILE;
}

/* x + i elements. */
LANES_INLINE const void *lane_at(const void *x, enum dtype type, size_t i)
{
    return (const char *)x + i * (type == DTYPE_BF16 ? 2 : 4);
}

LANES_INLINE void *lane_at_mutable(void *x, enum dtype type, size_t i)
{
    return (char *)x + i * (type == DTYPE_BF16 ? 2 : 4);
}

/* exp(x) to 2e-7 relative for |x| <= 87, exp(87) and exp(-87) beyond; NaN for NaN.
 *
 * exp(x) = 2^n exp(r) with n whole and |r| <= ln(2) / 2: exp(r) by the polynomial of degree 5
 * with the smallest relative error (7.5e-8), 2^n through the exponent's bits. ln(2) is split so
 * that n times its high part is exact (Cody and Waite). */
LANES_INLINE float lane_exp(float x)
{
    const float magic = 0x1.8p23f; /* adding it leaves the whole part in the low bits */
    float bounded = x < -87.0f ? -87.0f : x > 87.0f ? 87.0f : x;
    float shifted = lane_fma(bounded, 1.44269504088896341f, magic);
    float n = shifted - magic;
    float r = lane_fma(n, 2.12194440e-4f, lane_fma(n, -0.693359375f, bounded));
    float p = 8.297654800e-3f;

    p = lane_fma(p, r, 4.191538319e-2f);
    p = lane_fma(p, r, 1.666757464e-1f);
    p = lane_fma(p, r, 4.999889433e-1f);
    p = lane_fma(p, r, 9.999997020e-1f);
    p = lane_fma(p, r, 1.000000119f);
    return lane_from_bits(lane_bits(p) + (lane_bits(shifted) << 23));
}

/* 1 / (1 + exp(-x)) to 3e-7 relative; 0 where x < -100, so that x times it is right for huge x;
 * NaN for NaN. */
LANES_INLINE float lane_sigmoid(float x)
{
    float sigmoid = 1.0f / (1.0f + lane_exp(-x));

    return x < -100.0f ? 0.0f : sigmoid;
}

LANES_INLINE float lane_silu(float x)
{
    return x * lane_sigmoid(x);
}

/* d/dx of lane_silu(). */
LANES_INLINE float lane_silu_slope(float x)
{
    float s = lane_sigmoid(x);

    return s * lane_fma(x, 1.0f - s, 1.0f);
}

#endif
