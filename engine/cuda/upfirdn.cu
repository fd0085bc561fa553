/* Upfirdn: a thread has one pixel of y, and as many channels as 16 bytes hold. */
#include "engine/cuda/element.cuh"
#include "engine/cuda/upfirdn_launch.h"

enum { THREADS = 256, SIDE = 4 };

/* A block has a part of a row of y. UP is a constant so that taps that meet a zero between pixels are
 * left out of the program, not only of the sum. */
template <class T, int N, int UP>
static __global__ void SDK_BOUNDS(THREADS)
    upfirdn(struct upfirdn_shape s, const T *__restrict__ x, const float *__restrict__ bias,
            T *__restrict__ y)
{
    const int packs = s.c / N, i = blockIdx.x * THREADS + threadIdx.x;
    const int column = i / packs, channel = i % packs * N, row = blockIdx.y;
    const size_t image = (size_t)blockIdx.z * s.h * s.w;
    /* The first taps that lie on pixels, and these pixels. */
    const int top = row * s.down - s.top, left = column * s.down - s.left;
    const int first_row = UP == 2 ? top & 1 : 0, first_column = UP == 2 ? left & 1 : 0;
    const int x_row = (top + first_row) / UP, x_column = (left + first_column) / UP;
    float sum[N] = {};

    if (column >= s.yw)
        return;
    for (int k = 0; bias && k < N; k++)
        sum[k] = bias[channel + k];
#pragma unroll
    for (int a = 0; a < SIDE / UP; a++) {
#pragma unroll
        for (int b = 0; b < SIDE / UP; b++) {
            const int r = x_row + a, c = x_column + b;
            const int tap = (first_row + a * UP) * SIDE + first_column + b * UP;
            float at[N];

            if (r < 0 || r >= s.h || c < 0 || c >= s.w)
                continue;
            pack_load<N>(x + (image + (size_t)r * s.w + c) * s.c + channel, at);
#pragma unroll
            for (int k = 0; k < N; k++)
                sum[k] += s.kernel[tap] * at[k];
        }
    }
    pack_store<N>(y + (((size_t)blockIdx.z * s.yh + row) * s.yw + column) * s.c + channel, sum);
}

template <class T, int N>
static cudaError_t launch(const struct upfirdn_shape *s, const void *x, const float *bias, void *y,
                          cudaStream_t stream)
{
    const dim3 grid(blocks_of((size_t)s->yw * (s->c / N), THREADS), (unsigned)s->yh,
                    (unsigned)s->n);
    const T *from = static_cast<const T *>(x);

    if (s->up == 2)
        return SDK_LAUNCH((upfirdn<T, N, 2>), grid, dim3(THREADS), 0, stream, *s, from, bias,
                          static_cast<T *>(y));
    return SDK_LAUNCH((upfirdn<T, N, 1>), grid, dim3(THREADS), 0, stream, *s, from, bias,
                      static_cast<T *>(y));
}

extern "C" cudaError_t launch_upfirdn(const struct upfirdn_shape *s, const void *x,
                                      const float *bias, void *y, enum dtype type,
                                      cudaStream_t stream)
{
    return with_type(type, [=](auto element) {
        using T = decltype(element);
        enum { N = pack_of<T>::COUNT };

        return s->c % N == 0 ? launch<T, N>(s, x, bias, y, stream)
                             : launch<T, 1>(s, x, bias, y, stream);
    });
}
