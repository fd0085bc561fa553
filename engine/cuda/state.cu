/* Reading and writing state, adding sums up, rows of tables. */
#include "engine/cuda/element.cuh"
#include "engine/cuda/state_launch.h"

enum { THREADS = 256 };

/* The grid of kernels that take an image from blockIdx.y. */
static dim3 images_grid(int n, size_t count)
{
    return dim3(blocks_of(count, THREADS), (unsigned)n);
}

static __global__ void SDK_BOUNDS(THREADS)
    load_slots(const float *__restrict__ state, const uint32_t *__restrict__ slots,
               float *__restrict__ y, unsigned count)
{
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;
    const uint32_t slot = slots[blockIdx.y];

    if (i < count)
        y[(size_t)blockIdx.y * count + i] = slot == SLOT_NONE ? 0 : state[(size_t)slot * count + i];
}

extern "C" cudaError_t launch_load(const float *state, const uint32_t *slots, float *y, int n,
                                   size_t count, cudaStream_t stream)
{
    return SDK_LAUNCH(load_slots, images_grid(n, count), dim3(THREADS), 0, stream, state, slots, y,
                      (unsigned)count);
}

static __global__ void SDK_BOUNDS(THREADS)
    store_slots(const float *__restrict__ x, const uint32_t *__restrict__ slots,
                float *__restrict__ state, unsigned count)
{
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;
    const uint32_t slot = slots[blockIdx.y];

    if (i < count && slot != SLOT_NONE)
        state[(size_t)slot * count + i] = x[(size_t)blockIdx.y * count + i];
}

extern "C" cudaError_t launch_store(const float *x, const uint32_t *slots, float *state, int n,
                                    size_t count, cudaStream_t stream)
{
    return SDK_LAUNCH(store_slots, images_grid(n, count), dim3(THREADS), 0, stream, x, slots, state,
                      (unsigned)count);
}

static __global__ void SDK_BOUNDS(THREADS)
    lookup(const float *__restrict__ table, const float *__restrict__ index, float *__restrict__ y,
           unsigned count)
{
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;
    const size_t row = index ? (size_t)index[blockIdx.y] : 0;

    if (i < count)
        y[(size_t)blockIdx.y * count + i] = table[row * count + i];
}

extern "C" cudaError_t launch_lookup(const float *table, const float *index, float *y, int n,
                                     size_t count, cudaStream_t stream)
{
    return SDK_LAUNCH(lookup, images_grid(n, count), dim3(THREADS), 0, stream, table, index, y,
                      (unsigned)count);
}

/* blockIdx.y is a row of the table; its images are added in their order. */
static __global__ void SDK_BOUNDS(THREADS)
    lookup_grad(const float *__restrict__ index, const float *__restrict__ dy,
                float *__restrict__ dtable, int n, unsigned count)
{
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;
    float sum = 0;

    if (i >= count)
        return;
    for (int image = 0; image < n; image++) {
        if ((unsigned)index[image] == blockIdx.y)
            sum += dy[(size_t)image * count + i];
    }
    dtable[(size_t)blockIdx.y * count + i] = sum;
}

extern "C" cudaError_t launch_lookup_grad(const float *index, const float *dy, float *dtable,
                                          int n_rows, int n, size_t count, cudaStream_t stream)
{
    return SDK_LAUNCH(lookup_grad, images_grid(n_rows, count), dim3(THREADS), 0, stream, index, dy,
                      dtable, n, (unsigned)count);
}

static __global__ void SDK_BOUNDS(THREADS)
    add_to_sum(const float *__restrict__ x, float *__restrict__ sum, unsigned count)
{
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;

    if (i < count)
        sum[i] += x[i];
}

extern "C" cudaError_t launch_sum(const float *x, float *sum, size_t count, cudaStream_t stream)
{
    return SDK_LAUNCH(add_to_sum, dim3(blocks_of(count, THREADS)), dim3(THREADS), 0, stream, x, sum,
                      (unsigned)count);
}
