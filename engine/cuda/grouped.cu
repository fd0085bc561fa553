/* Convolutions by groups of channels. A thread has one output and sums over its window, row by row, in each
 * place over the channels of its group: neighbours in a warp are neighbours in channels, so that
 * convolutions channel by channel, which are most of these, read and write whole lines. */
#include "engine/cuda/direct_launch.h"
#include "engine/cuda/element.cuh"

enum { THREADS = 256 };

/* Outputs of image blockIdx.y. */
template <class T, class Y>
static __global__ void SDK_BOUNDS(THREADS)
    grouped(struct product p, const T *__restrict__ x, const float *__restrict__ weight,
            const float *__restrict__ bias, Y *__restrict__ y)
{
    const int i = blockIdx.x * THREADS + threadIdx.x, n_ins = p.x_c / p.groups;
    const int out = i % p.y_c, at = i / p.y_c;
    const int top = at / p.y_w * p.stride - p.pad[0], left = at % p.y_w * p.stride - p.pad[2];
    const int first = out / (p.y_c / p.groups) * n_ins, n_taps = p.window_h * p.window_w;
    const T *image = x + (size_t)blockIdx.y * p.x_h * p.x_w * p.x_c;
    float sum = 0;

    if (at >= p.y_h * p.y_w)
        return;
    weight += (size_t)out * n_ins * n_taps;
    for (int tap = 0; tap < n_taps; tap++) {
        const int h = top + tap / p.window_w, w = left + tap % p.window_w;

        if (h < 0 || h >= p.x_h || w < 0 || w >= p.x_w)
            continue;
        for (int j = 0; j < n_ins; j++)
            sum += element_float(image[((size_t)h * p.x_w + w) * p.x_c + first + j]) *
                   weight[j * n_taps + tap];
    }
    if (bias)
        sum += bias[out];
    element_set(y[(size_t)blockIdx.y * p.y_h * p.y_w * p.y_c + i], sum);
}

cudaError_t launch_grouped(const struct product *p, const void *x, const float *weight,
                           const float *bias, void *y, cudaStream_t stream)
{
    const dim3 grid(blocks_of((size_t)p->y_h * p->y_w * p->y_c, THREADS), p->n);

    return with_type(p->x_type, [&](auto from) {
        typedef decltype(from) T;

        if (p->y_type == DTYPE_F32)
            return SDK_LAUNCH((grouped<T, float>), grid, THREADS, 0, stream, *p,
                              static_cast<const T *>(x), weight, bias, static_cast<float *>(y));
        return SDK_LAUNCH((grouped<T, T>), grid, THREADS, 0, stream, *p, static_cast<const T *>(x),
                          weight, bias, static_cast<T *>(y));
    });
}
