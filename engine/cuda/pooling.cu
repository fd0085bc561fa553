/* Max and mean over places, a channel a thread. */
#include "engine/cuda/element.cuh"
#include "engine/cuda/pooling_launch.h"

enum { THREADS = 128 };

static __device__ __forceinline__ float at(const void *x, enum dtype type, size_t i)
{
    float value[1];

    typed_load<1>(x, type, i, value);
    return value[0];
}

static __global__ void SDK_BOUNDS(THREADS)
    max_pool(struct pool_window s, const void *__restrict__ x, void *__restrict__ y,
             enum dtype type, unsigned count)
{
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;
    const unsigned c = i % s.c, place = i / s.c;
    const unsigned column = place % s.yw * s.stride, row = place / s.yw % s.yh * s.stride;
    const size_t first = ((size_t)(place / s.yw / s.yh * s.h + row) * s.w + column) * s.c + c;
    float largest[1];

    if (i >= count)
        return;
    largest[0] = at(x, type, first);
    for (int r = 0; r < s.side; r++) {
        for (int k = 0; k < s.side; k++) {
            const float value = at(x, type, first + ((size_t)r * s.w + k) * s.c);

            largest[0] = value > largest[0] ? value : largest[0];
        }
    }
    typed_store<1>(y, type, i, largest);
}

extern "C" cudaError_t launch_max_pool(const struct pool_window *s, const void *x, void *y,
                                       enum dtype type, cudaStream_t stream)
{
    const size_t count = (size_t)s->n * s->yh * s->yw * s->c;

    return SDK_LAUNCH(max_pool, dim3(blocks_of(count, THREADS)), dim3(THREADS), 0, stream, *s, x, y,
                      type, (unsigned)count);
}

static __global__ void SDK_BOUNDS(THREADS) mean_pool(const void *__restrict__ x, enum dtype type,
                                                     float *__restrict__ y, int positions, int c)
{
    const int channel = blockIdx.x * THREADS + threadIdx.x;
    const size_t first = (size_t)blockIdx.y * positions * c + channel;
    double sum = 0;

    if (channel >= c)
        return;
    for (int i = 0; i < positions; i++)
        sum += at(x, type, first + (size_t)i * c);
    y[(size_t)blockIdx.y * c + channel] = (float)(sum / positions);
}

extern "C" cudaError_t launch_mean_pool(const void *x, enum dtype type, float *y, int n,
                                        int positions, int c, cudaStream_t stream)
{
    return SDK_LAUNCH(mean_pool, dim3(blocks_of((size_t)c, THREADS), (unsigned)n), dim3(THREADS), 0,
                      stream, x, type, y, positions, c);
}

static __global__ void SDK_BOUNDS(THREADS)
    average_pool(const void *__restrict__ x, void *__restrict__ y, enum dtype type, int h, int w,
                 int n_c, unsigned count)
{
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;
    const int c = (int)(i % n_c), column = (int)(i / n_c % w), row = (int)(i / n_c / w % h);
    const size_t image = (size_t)(i / n_c / w / h) * h * w * n_c;
    float mean[1] = {0};
    int places = 0;

    if (i >= count)
        return;
    for (int r = row > 0 ? row - 1 : 0; r <= row + 1 && r < h; r++) {
        for (int k = column > 0 ? column - 1 : 0; k <= column + 1 && k < w; k++) {
            mean[0] += at(x, type, image + ((size_t)r * w + k) * n_c + c);
            places++;
        }
    }
    mean[0] /= (float)places;
    typed_store<1>(y, type, i, mean);
}

extern "C" cudaError_t launch_average_pool(const void *x, void *y, enum dtype type, int n, int h,
                                           int w, int c, cudaStream_t stream)
{
    const size_t count = (size_t)n * h * w * c;

    return SDK_LAUNCH(average_pool, dim3(blocks_of(count, THREADS)), dim3(THREADS), 0, stream, x, y,
                      type, h, w, c, (unsigned)count);
}
