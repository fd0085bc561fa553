/* Time embeddings. Arguments reach hundreds of radians, so functions are computed in double, and the
 * roundings between them are part of the definition. */
#include "engine/cuda/element.cuh"
#include "engine/cuda/embedding_launch.h"

#include <math.h>

enum { THREADS = 64 };

static __global__ void SDK_BOUNDS(THREADS)
    fourier(const float *__restrict__ time_cond, const float *__restrict__ weight,
            float *__restrict__ y, int half)
{
    const int i = blockIdx.x * THREADS + threadIdx.x;
    float *row = y + (size_t)blockIdx.y * 2 * half, angle;

    if (i >= half)
        return;
    angle = (float)log((double)time_cond[blockIdx.y]) * weight[i];
    angle = angle * 2;
    angle = angle * 3.14159265358979323846f;
    row[i] = (float)sin((double)angle);
    row[half + i] = (float)cos((double)angle);
}

extern "C" cudaError_t launch_fourier(const float *time_cond, const float *weight, float *y, int n,
                                      int half, cudaStream_t stream)
{
    return SDK_LAUNCH(fourier, dim3(blocks_of((size_t)half, THREADS), (unsigned)n), dim3(THREADS),
                      0, stream, time_cond, weight, y, half);
}

static __global__ void SDK_BOUNDS(THREADS)
    positional(const float *__restrict__ time_cond, float step, float *__restrict__ y, int half)
{
    const int i = blockIdx.x * THREADS + threadIdx.x;
    float *row = y + (size_t)blockIdx.y * 2 * half;
    float exponent, frequency, angle;

    if (i >= half)
        return;
    exponent = (float)i * step;
    frequency = (float)exp((double)exponent);
    angle = time_cond[blockIdx.y] * frequency;
    row[i] = (float)sin((double)angle);
    row[half + i] = (float)cos((double)angle);
}

extern "C" cudaError_t launch_positional(const float *time_cond, float *y, int n, int half,
                                         cudaStream_t stream)
{
    const float step = (float)(-log(10000.0) / (half - 1));

    return SDK_LAUNCH(positional, dim3(blocks_of((size_t)half, THREADS), (unsigned)n),
                      dim3(THREADS), 0, stream, time_cond, step, y, half);
}
