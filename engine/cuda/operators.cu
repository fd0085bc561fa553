/* Operators that come as a few numbers for each image. Where roundings are part of the definition
 * products and sums are spelled out, since compilers would join them. */
#include "engine/cuda/element.cuh"
#include "engine/cuda/operators_launch.h"

enum { THREADS = 256 };

static dim3 images_grid(int n, size_t count)
{
    return dim3(blocks_of(count, THREADS), (unsigned)n);
}

static __global__ void SDK_BOUNDS(THREADS)
    multiply_table(const float *__restrict__ x, const float *__restrict__ table,
                   const float *__restrict__ place, float *__restrict__ y, unsigned count,
                   unsigned shared)
{
    const unsigned i = blockIdx.x * THREADS + threadIdx.x, image = blockIdx.y;
    const size_t at = (size_t)image * count + i, entry = count / shared;
    const float *low = table + (size_t)place[2 * image] * entry, *high = low + entry;
    const float fraction = place[2 * image + 1];

    if (i >= count)
        return;
    y[at] = x[at] * __fadd_rn(__fmul_rn(1 - fraction, low[i / shared]),
                              __fmul_rn(fraction, high[i / shared]));
}

extern "C" cudaError_t launch_multiply_table(const float *x, const float *table, const float *place,
                                             float *y, int n, size_t count, int shared,
                                             cudaStream_t stream)
{
    return SDK_LAUNCH(multiply_table, images_grid(n, count), dim3(THREADS), 0, stream, x, table,
                      place, y, (unsigned)count, (unsigned)shared);
}

static __global__ void SDK_BOUNDS(THREADS)
    multiply_rank(const float *__restrict__ x, const float *__restrict__ rank,
                  const float *__restrict__ level, float *__restrict__ y, unsigned count,
                  unsigned c)
{
    const unsigned i = blockIdx.x * THREADS + threadIdx.x, image = blockIdx.y;
    const size_t at = (size_t)image * count + i;
    float m;

    if (i >= count)
        return;
    m = (level[2 * image] - rank[i / c]) + level[2 * image + 1];
    y[at] = x[at] * (m < 0 ? 0 : m > 1 ? 1 : m);
}

extern "C" cudaError_t launch_multiply_rank(const float *x, const float *rank, const float *level,
                                            float *y, int n, size_t count, int c,
                                            cudaStream_t stream)
{
    return SDK_LAUNCH(multiply_rank, images_grid(n, count), dim3(THREADS), 0, stream, x, rank,
                      level, y, (unsigned)count, (unsigned)c);
}

static __global__ void SDK_BOUNDS(THREADS)
    modes(const float *__restrict__ x, const float *__restrict__ coefficients,
          const float *__restrict__ basis, float *__restrict__ y, int side, int c, int n_modes)
{
    const int i = blockIdx.x * THREADS + threadIdx.x, channel = i % c;
    const float *row = basis + (size_t)(i / c / side) * n_modes;
    const float *column = basis + (size_t)(i / c % side) * n_modes;
    const float *k =
        coefficients + ((size_t)blockIdx.y * c + channel) * (n_modes * (n_modes + 1) / 2);
    const size_t at = (size_t)blockIdx.y * side * side * c + i;
    float sum = 0;

    if (i >= side * side * c)
        return;
    for (int l = 0; l < n_modes; l++) {
        const float *coefficient =
            k + l; /* of (0, l), then (1, l): a row has one less than before */
        float inner = 0;

        for (int m = 0; m + l < n_modes; m++) {
            inner = __fadd_rn(inner, __fmul_rn(row[m], *coefficient));
            coefficient += n_modes - m;
        }
        sum = __fadd_rn(sum, __fmul_rn(inner, column[l]));
    }
    y[at] = x[at] + sum;
}

extern "C" cudaError_t launch_modes(const float *x, const float *coefficients, const float *basis,
                                    float *y, int n, int side, int c, int n_modes,
                                    cudaStream_t stream)
{
    return SDK_LAUNCH(modes, images_grid(n, (size_t)side * side * c), dim3(THREADS), 0, stream, x,
                      coefficients, basis, y, side, c, n_modes);
}
