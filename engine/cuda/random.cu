/* Random tensors: a thread has a block of philox, four elements. */
#include "engine/base/philox.h"
#include "engine/cuda/element.cuh"
#include "engine/cuda/random_launch.h"

enum { THREADS = 256, AT_ONCE = 4 };

/* As philox_normals() of a host. */
static __device__ void normals(const uint32_t *words, uint32_t stream_number, unsigned block,
                               float (&out)[AT_ONCE])
{
    const struct philox_key key = {words[0], words[1], words[2], words[3]};
    uint32_t drawn[4];

    philox_block(&key, stream_number, block, drawn);
#pragma unroll
    for (int pair = 0; pair < 2; pair++) {
        const float r = sqrtf(-2.0f * logf(philox_uniform(drawn[2 * pair])));
        const float angle = 6.28318530717958648f * philox_uniform(drawn[2 * pair + 1]);

        out[2 * pair] = r * cosf(angle);
        out[2 * pair + 1] = r * sinf(angle);
    }
}

static __global__ void SDK_BOUNDS(THREADS)
    normal(const uint32_t *__restrict__ keys, const float *__restrict__ weights,
           const uint32_t *__restrict__ others, uint32_t stream_number, float *__restrict__ y,
           unsigned count)
{
    const unsigned block = blockIdx.x * THREADS + threadIdx.x, image = blockIdx.y;
    const float weight = weights ? weights[2 * image] : 1;
    const float other_weight = weights ? weights[2 * image + 1] : 0;
    float sum[AT_ONCE] = {}, drawn[AT_ONCE];

    if (block * AT_ONCE >= count)
        return;
    if (weight != 0) {
        normals(keys + 4 * image, stream_number, block, drawn);
        for (int i = 0; i < AT_ONCE; i++)
            sum[i] = weight * drawn[i];
    }
    if (other_weight != 0) {
        normals(others + 4 * image, stream_number, block, drawn);
        for (int i = 0; i < AT_ONCE; i++)
            sum[i] += other_weight * drawn[i];
    }
    for (unsigned i = 0; i < AT_ONCE && block * AT_ONCE + i < count; i++)
        y[(size_t)image * count + block * AT_ONCE + i] = sum[i];
}

extern "C" cudaError_t launch_normal(const uint32_t *keys, const float *weights,
                                     const uint32_t *others, uint32_t stream_number, float *y,
                                     int n, size_t count, cudaStream_t stream)
{
    return SDK_LAUNCH(normal, dim3(blocks_of(count, THREADS * AT_ONCE), (unsigned)n), dim3(THREADS),
                      0, stream, keys, weights, others, stream_number, y, (unsigned)count);
}

static __global__ void SDK_BOUNDS(THREADS)
    dropout_mask(const uint32_t *__restrict__ keys, uint32_t stream_number, float rate, float kept,
                 void *__restrict__ m, enum dtype type, unsigned count)
{
    const unsigned block = blockIdx.x * THREADS + threadIdx.x;
    const uint32_t *words = keys + 4 * blockIdx.y;
    const struct philox_key key = {words[0], words[1], words[2], words[3]};
    uint32_t drawn[4];

    if (block * AT_ONCE >= count)
        return;
    philox_block(&key, stream_number, block, drawn);
    for (unsigned i = 0; i < AT_ONCE && block * AT_ONCE + i < count; i++) {
        const float factor[1] = {philox_uniform(drawn[i]) < rate ? 0 : kept};

        typed_store<1>(m, type, (size_t)blockIdx.y * count + block * AT_ONCE + i, factor);
    }
}

extern "C" cudaError_t launch_dropout_mask(const uint32_t *keys, uint32_t stream_number, float rate,
                                           void *m, enum dtype type, int n, size_t count,
                                           cudaStream_t stream)
{
    const float kept = (float)(1 / (1 - (double)rate));

    return SDK_LAUNCH(dropout_mask, dim3(blocks_of(count, THREADS * AT_ONCE), (unsigned)n),
                      dim3(THREADS), 0, stream, keys, stream_number, rate, kept, m, type,
                      (unsigned)count);
}
