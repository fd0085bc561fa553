/* y = A X B^T per channel, for matrices that are stored and for such that a row of numbers stands for.
 *
 * A block has a few rows of y. It makes these rows of A X, which mix whole rows of x, keeps them in
 * shared memory, and mixes their columns with B. x is read once by each band of rows, from the
 * second-level cache.
 */
#include "engine/cuda/element.cuh"
#include "engine/cuda/separable_launch.h"

enum { THREADS = 192, ROWS = 4, SHARED_BYTES = 48 << 10 };

static __device__ __forceinline__ float element(const struct dense_matrix &m, unsigned image, int i,
                                                int j)
{
    return m.data[image * m.image_step + i * m.step_y + j * m.step_x];
}

static __device__ __forceinline__ float element(const struct toeplitz_matrix &m, unsigned image,
                                                int i, int j)
{
    const float *row = m.rows + (size_t)image * m.n;
    const float near = row[i < j ? j - i : i - j];
    const int mirrored = i + j + 1;

    if (!m.reflect || mirrored == m.n)
        return near;
    return near + row[mirrored < m.n ? mirrored : 2 * m.n - mirrored];
}

/* What a kernel does at a time. */
template <class M> struct two_sided_step {
    const float *x;
    M a, b;
    const float *gate;
    float *y;
};

template <class M> struct two_sided_steps {
    struct two_sided_step<M> at[TOEPLITZ_JOINED_MAX];
};

/* Rows of y from blockIdx.x R on, of image blockIdx.y of step blockIdx.z. */
template <int R, class M>
static __global__ void SDK_BOUNDS(THREADS)
    two_sided(struct two_sided_shape s, const __grid_constant__ struct two_sided_steps<M> steps)
{
    SDK_SHARED_DYNAMIC(float, memory);
    const struct two_sided_step<M> &step = steps.at[blockIdx.z];
    const M a = step.a, b = step.b;
    const float *__restrict__ x = step.x, *__restrict__ gate = step.gate;
    float *__restrict__ y = step.y;
    const unsigned image = blockIdx.y;
    const int first = blockIdx.x * R, width = s.w * s.c, y_width = s.yw * s.c;
    float *rows = memory, *factors = memory + R * width; /* [R,width] of A X, [R,h] of A */

    x += (size_t)image * s.h * width;
    y += ((size_t)image * s.yh + first) * y_width;
    if (gate && gate[image] == 0) {
        for (int i = threadIdx.x; i < R * y_width && first + i / y_width < s.yh; i += THREADS)
            y[i] = 0;
        return;
    }
    for (int i = threadIdx.x; i < R * s.h; i += THREADS) {
        const int row = first + i / s.h;

        factors[i] = row < s.yh ? element(a, image, row, i % s.h) : 0;
    }
    SDK_SYNC_BLOCK();
    for (int e = threadIdx.x; e < width; e += THREADS) {
        float sums[R] = {};

#pragma unroll 8
        for (int p = 0; p < s.h; p++) {
            const float at = x[(size_t)p * width + e];

#pragma unroll
            for (int r = 0; r < R; r++)
                sums[r] += factors[r * s.h + p] * at;
        }
#pragma unroll
        for (int r = 0; r < R; r++)
            rows[r * width + e] = sums[r];
    }
    SDK_SYNC_BLOCK();
    for (int e = threadIdx.x; e < y_width; e += THREADS) {
        const int column = e / s.c, channel = e % s.c;
        float sums[R] = {};

#pragma unroll 4
        for (int q = 0; q < s.w; q++) {
            const float factor = element(b, image, column, q);

#pragma unroll
            for (int r = 0; r < R; r++)
                sums[r] += factor * rows[r * width + q * s.c + channel];
        }
#pragma unroll
        for (int r = 0; r < R; r++) {
            if (first + r < s.yh)
                y[r * y_width + e] = sums[r];
        }
    }
}

static size_t shared_bytes(const struct two_sided_shape *s, int rows)
{
    return (size_t)rows * ((size_t)s->w * s->c + s->h) * sizeof(float);
}

extern "C" bool two_sided_fits(const struct two_sided_shape *s)
{
    return shared_bytes(s, 1) <= SHARED_BYTES;
}

template <int R, class M>
static cudaError_t launch_rows(const struct two_sided_shape *s,
                               const struct two_sided_steps<M> *steps, int count,
                               cudaStream_t stream)
{
    const dim3 grid(blocks_of((size_t)s->yh, R), (unsigned)s->n, (unsigned)count);

    return SDK_LAUNCH((two_sided<R, M>), grid, dim3(THREADS), shared_bytes(s, R), stream, *s,
                      *steps);
}

template <class M>
static cudaError_t launch(const struct two_sided_shape *s, const struct two_sided_steps<M> *steps,
                          int count, cudaStream_t stream)
{
    return shared_bytes(s, ROWS) <= SHARED_BYTES ? launch_rows<ROWS>(s, steps, count, stream)
                                                 : launch_rows<1>(s, steps, count, stream);
}

extern "C" cudaError_t launch_separable(const struct two_sided_shape *s, const float *x,
                                        const struct dense_matrix *a, const struct dense_matrix *b,
                                        float *y, cudaStream_t stream)
{
    const struct two_sided_steps<struct dense_matrix> steps = {
        {
            {
                x, *a, *b, nullptr, y
            }
        }
    };

    return launch(s, &steps, 1, stream);
}

extern "C" cudaError_t launch_toeplitz(const struct two_sided_shape *s,
                                       const struct toeplitz_step *list, int count,
                                       cudaStream_t stream)
{
    struct two_sided_steps<struct toeplitz_matrix> steps = {
    };

    for (int i = 0; i < count; i++)
        steps.at[i] = {list[i].x, list[i].a, list[i].b, list[i].gate, list[i].y};
    return launch(s, &steps, count, stream);
}
