/* Philox4x32-10: counter-based random numbers, so that noise depends on what it is for and on
 * nothing else (batch, lane, thread, device).
 *
 * Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 4.3.
 *
 * Addressing. A key names one draw: (seed, image, step). With `stream` telling apart the draws
 * that one step makes, block b of the draw is
 *     philox4x32-10(key = {seed low, seed high}, counter = {b, stream, step, image}).
 * Element e of a tensor, counted in memory order (row, column, channel), uses word e % 4 of
 * block e / 4.
 *
 * Thread: any; there is no state.
 */
#ifndef ENGINE_BASE_PHILOX_H
#define ENGINE_BASE_PHILOX_H

#include <stddef.h>
#include <stdint.h>

struct philox_key {
    uint32_t seed_low, seed_high;
    uint32_t image;
    uint32_t step;
};

/* The draws of one step. New ones are appended: numbers are part of "same seed, same bytes". */
enum philox_stream {
    PHILOX_STREAM_PRIOR,   /* x_1 = prior mean + noise, coefficients */
    PHILOX_STREAM_START,   /* x_1, pixel noise */
    PHILOX_STREAM_ETA,     /* eta of a sampler step or of a training example */
    PHILOX_STREAM_TIME,    /* t of a training example */
    PHILOX_STREAM_DATA,    /* order of the data, flips */
    PHILOX_STREAM_INIT,    /* initial weights */
    PHILOX_STREAM_DROPOUT, /* masks; the i-th dropout of a network uses PHILOX_STREAM_DROPOUT + i */
    PHILOX_STREAM_XI = 1 << 20,   /* perturbation of a training example */
    PHILOX_STREAM_AUGMENT,        /* of a training example: uniform ... */
    PHILOX_STREAM_AUGMENT_NORMAL, /* ... and normal */
};

struct philox_key philox_key(uint64_t seed, uint32_t image, uint32_t step);

/* What devices share: a CUDA compiler makes these for both sides. */
#ifdef __CUDACC__
#define PHILOX_INLINE static inline __host__ __device__
#else
#define PHILOX_INLINE static inline
#endif

enum { PHILOX_ROUNDS = 10 };

/* A round on a counter, before which the keys have been moved by philox_next_key() once for every
 * round that came before. */
PHILOX_INLINE void philox_round(uint32_t *c0, uint32_t *c1, uint32_t *c2, uint32_t *c3, uint32_t k0,
                                uint32_t k1)
{
    uint64_t p0 = (uint64_t)0xD2511F53u * *c0;
    uint64_t p1 = (uint64_t)0xCD9E8D57u * *c2;

    *c0 = (uint32_t)(p1 >> 32) ^ *c1 ^ k0;
    *c1 = (uint32_t)p1;
    *c2 = (uint32_t)(p0 >> 32) ^ *c3 ^ k1;
    *c3 = (uint32_t)p0;
}

PHILOX_INLINE void philox_next_key(uint32_t *k0, uint32_t *k1)
{
    *k0 += 0x9E3779B9u;
    *k1 += 0xBB67AE85u;
}

/* The four words of one block. */
PHILOX_INLINE void philox_block(const struct philox_key *key, uint32_t stream, uint32_t block,
                                uint32_t out[4])
{
    uint32_t k0 = key->seed_low, k1 = key->seed_high;

    out[0] = block;
    out[1] = stream;
    out[2] = key->step;
    out[3] = key->image;
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        philox_round(&out[0], &out[1], &out[2], &out[3], k0, k1);
        philox_next_key(&k0, &k1);
    }
}

/* A word as a uniform number in (0, 1]: (word >> 8 + 0.5) 2^-24, rounded to float32. */
PHILOX_INLINE float philox_uniform(uint32_t word)
{
    return ((float)(word >> 8) + 0.5f) * 0x1p-24f;
}

/* n uniform numbers. */
void philox_uniforms(const struct philox_key *key, uint32_t stream, size_t n, float *out);

/* n standard normals by Box-Muller: words (0, 1) of a block give elements 0 and 1, words (2, 3)
 * give 2 and 3; with u, v uniform as above, r = sqrt(-2 ln u), they are r cos(2 pi v) and
 * r sin(2 pi v). Computed in single precision. */
void philox_normals(const struct philox_key *key, uint32_t stream, size_t n, float *out);

#endif
