/* Random tensors: a thread has a block of philox, four elements. */
#include "engine/cuda/pointwise.cuh"
#include "engine/cuda/random_launch.h"

enum { THREADS = 256 };

static __global__ void SDK_BOUNDS(THREADS)
    normal(struct normal_draw draw, float *__restrict__ y, unsigned count)
{
    const unsigned block = blockIdx.x * THREADS + threadIdx.x, image = blockIdx.y;
    float sum[DRAWN];

    if (block * DRAWN >= count)
        return;
    normal_elements(draw, image, block, sum);
    for (unsigned i = 0; i < DRAWN && block * DRAWN + i < count; i++)
        y[(size_t)image * count + block * DRAWN + i] = sum[i];
}

extern "C" cudaError_t launch_normal(const struct normal_draw *draw, float *y, int n, size_t count,
                                     cudaStream_t stream)
{
    return SDK_LAUNCH(normal, dim3(blocks_of(count, THREADS * DRAWN), (unsigned)n), dim3(THREADS),
                      0, stream, *draw, y, (unsigned)count);
}

static __global__ void SDK_BOUNDS(THREADS)
    dropout_mask(const uint32_t *__restrict__ keys, uint32_t stream_number, float rate, float kept,
                 void *__restrict__ m, enum dtype type, unsigned count)
{
    const unsigned block = blockIdx.x * THREADS + threadIdx.x;
    const uint32_t *words = keys + 4 * blockIdx.y;
    const struct philox_key key = {words[0], words[1], words[2], words[3]};
    uint32_t drawn[DRAWN];

    if (block * DRAWN >= count)
        return;
    philox_block(&key, stream_number, block, drawn);
    for (unsigned i = 0; i < DRAWN && block * DRAWN + i < count; i++) {
        const float factor[1] = {philox_uniform(drawn[i]) < rate ? 0 : kept};

        typed_store<1>(m, type, (size_t)blockIdx.y * count + block * DRAWN + i, factor);
    }
}

extern "C" cudaError_t launch_dropout_mask(const uint32_t *keys, uint32_t stream_number, float rate,
                                           void *m, enum dtype type, int n, size_t count,
                                           cudaStream_t stream)
{
    const float kept = (float)(1 / (1 - (double)rate));

    return SDK_LAUNCH(dropout_mask, dim3(blocks_of(count, THREADS * DRAWN), (unsigned)n),
                      dim3(THREADS), 0, stream, keys, stream_number, rate, kept, m, type,
                      (unsigned)count);
}
