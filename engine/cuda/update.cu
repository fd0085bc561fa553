/* The optimiser. Sums are over blocks of a fixed size, in their order. */
#include "engine/cuda/element.cuh"
#include "engine/cuda/reduce.cuh"
#include "engine/cuda/update_launch.h"

#include <math.h>

enum { THREADS = 256, BLOCK = 16384 /* elements that a block of threads sums */ };

enum { CLIP, BETA1, BETA2, REST1, REST2, STEP, ROOT, EPS }; /* of the numbers of OP_ADAM */

extern "C" size_t norm_scratch_bytes(size_t count)
{
    return blocks_of(count, BLOCK) * sizeof(double);
}

static __global__ void SDK_BOUNDS(THREADS)
    sum_squares(const float *__restrict__ x, double *__restrict__ sums, size_t count)
{
    SDK_SHARED(double, shared, [WARPS_MAX]);
    const size_t first = (size_t)blockIdx.x * BLOCK;
    const size_t end = first + BLOCK < count ? first + BLOCK : count;
    double sum = 0;

    for (size_t i = first + threadIdx.x; i < end; i += THREADS)
        sum += (double)x[i] * x[i];
    sum = block_sum(sum, &shared[0]);
    if (threadIdx.x == 0)
        sums[blockIdx.x] = sum;
}

static __global__ void SDK_BOUNDS(THREADS)
    root_of_sum(const double *__restrict__ sums, int n, float *__restrict__ norm)
{
    SDK_SHARED(double, shared, [WARPS_MAX]);
    double sum = 0;

    for (int i = threadIdx.x; i < n; i += THREADS)
        sum += sums[i];
    sum = block_sum(sum, &shared[0]);
    if (threadIdx.x == 0)
        norm[0] = (float)sqrt(sum);
}

extern "C" cudaError_t launch_norm(const float *x, float *norm, double *scratch, size_t count,
                                   cudaStream_t stream)
{
    const unsigned n = blocks_of(count, BLOCK);
    cudaError_t status =
        SDK_LAUNCH(sum_squares, dim3(n), dim3(THREADS), 0, stream, x, scratch, count);

    if (status != cudaSuccess)
        return status;
    return SDK_LAUNCH(root_of_sum, dim3(1), dim3(THREADS), 0, stream, (const double *)scratch,
                      (int)n, norm);
}

static __global__ void SDK_BOUNDS(THREADS)
    adam(float *__restrict__ weights, float *__restrict__ m, float *__restrict__ v,
         float *__restrict__ gradient, const float *__restrict__ norm,
         const float *__restrict__ numbers, size_t count)
{
    const size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    const float clip = numbers[CLIP] > 0 ? fminf(1, numbers[CLIP] / (norm[0] + 1e-6f)) : 1;

    if (i >= count)
        return;
    if (isfinite(norm[0])) {
        const float g = gradient[i] * clip;

        m[i] = numbers[BETA1] * m[i] + numbers[REST1] * g;
        v[i] = numbers[BETA2] * v[i] + numbers[REST2] * g * g;
        weights[i] -= numbers[STEP] * m[i] / (sqrtf(v[i]) / numbers[ROOT] + numbers[EPS]);
    }
    gradient[i] = 0;
}

extern "C" cudaError_t launch_adam(float *weights, float *m, float *v, float *gradient,
                                   const float *norm, const float *numbers, size_t count,
                                   cudaStream_t stream)
{
    return SDK_LAUNCH(adam, dim3(blocks_of(count, THREADS)), dim3(THREADS), 0, stream, weights, m,
                      v, gradient, norm, numbers, count);
}

static __global__ void SDK_BOUNDS(THREADS)
    move_average(float *__restrict__ average, const float *__restrict__ weights,
                 const float *__restrict__ norm, const float *__restrict__ rate, size_t count)
{
    const size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;

    if (i < count && isfinite(norm[0]))
        average[i] += rate[0] * (weights[i] - average[i]);
}

extern "C" cudaError_t launch_average(float *average, const float *weights, const float *norm,
                                      const float *rate, size_t count, cudaStream_t stream)
{
    return SDK_LAUNCH(move_average, dim3(blocks_of(count, THREADS)), dim3(THREADS), 0, stream,
                      average, weights, norm, rate, count);
}
