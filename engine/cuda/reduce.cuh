/* Sums over a warp and over a block, each in an order that depends on the number of threads alone. */
#ifndef ENGINE_CUDA_REDUCE_CUH
#define ENGINE_CUDA_REDUCE_CUH

#include "engine/cuda/sdk.h"

enum { WARP = 32, WARPS_MAX = 1024 / WARP };

/* Of every `width` neighbouring lanes, a power of two; all of them get it. */
template <class T> static __device__ __forceinline__ T lanes_sum(T x, int width)
{
    for (int step = width / 2; step > 0; step /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}

/* Of all threads of a block; all of them get it. sums: shared memory, read until the next barrier. */
template <class T> static __device__ __forceinline__ T block_sum(T x, T *sums)
{
    const int thread = threadIdx.x, n_warps = blockDim.x / WARP;
    T sum = 0;

    x = lanes_sum(x, WARP);
    if (thread % WARP == 0)
        sums[thread / WARP] = x;
    SDK_SYNC_BLOCK();
    for (int i = 0; i < n_warps; i++)
        sum += sums[i];
    return sum;
}

#endif
