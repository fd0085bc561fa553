/* A kernel for each word that the simulated device knows. */
#ifndef TESTS_CUDASIM_WORDS_LAUNCH_H
#define TESTS_CUDASIM_WORDS_LAUNCH_H

#include <cuda_runtime_api.h>

enum { WORDS_THREADS = 256 };

enum word {
    WORD_SHUFFLE,        /* out[t] = in[7 of its warp] */
    WORD_SHUFFLE_XOR,    /* in[t ^ 5] */
    WORD_SHUFFLE_DOWN,   /* in[t + 3], its own at the end of a warp */
    WORD_SHUFFLE_UP,     /* in[t - 2], likewise at the start */
    WORD_SHUFFLE_HALF,   /* in[t ^ 1], by two halves of a warp after each other */
    WORD_BALLOT,         /* how many of its warp have in > 0 */
    WORD_SHARED,         /* in[255 - t] through shared memory */
    WORD_SHARED_DYNAMIC, /* likewise, of 64 KiB */
    WORD_SYNC_WARP,      /* in[t ^ 1] through shared memory, a warp at a time */
    WORD_ATOMIC,       /* int out: how many threads there are, in out[0]; the highest t in out[1] */
    WORD_PRODUCT_HALF, /* out [16][16] = in [16][16] times its transpose, by the tensor cores */
    WORD_PRODUCT_BFLOAT, /* likewise in bfloat16 */
    WORD_PIPELINE,       /* in[t] + in[255 - t], copied asynchronously in two groups */
    WORD_PIPELINE_ZEROS, /* in, but every fourth is 0 */
    WORD_PLACES,         /* out[t] = block.y * 1000 + block.x * 100 + threads of a warp before it */
    WORD_COUNT
};

/* in: 256 floats of the device; out: 256. */
#ifdef __cplusplus
extern "C"
#endif
    cudaError_t
    words_launch(enum word word, const float *in, float *out, cudaStream_t stream);

#endif
