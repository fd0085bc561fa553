/* Silu, relu, add, affine, mix, multiply, pixels, half_square: bound by memory, so types are told
 * apart at run time. Where a product is added to, it is said how: an element has the same bits whether
 * it is among four or at the end. */
#include "engine/cuda/pointwise.cuh"
#include "engine/cuda/reduce.cuh"

enum { THREADS = 256, AT_ONCE = 4 };

struct silu {
    __device__ float operator()(float x, float) const
    {
        return silu_of<float>(x);
    }
};

struct silu_grad {
    __device__ float operator()(float x, float dy) const
    {
        return dy * silu_derivative<float>(x);
    }
};

struct relu {
    float top;
    __device__ float operator()(float x, float) const
    {
        return x < 0 ? 0 : x > top ? top : x; /* NaN stays */
    }
};

struct add {
    float scale;
    __device__ float operator()(float a, float b) const
    {
        return (a + b) * scale;
    }
};

struct affine {
    float scale, shift;
    __device__ float operator()(float x, float) const
    {
        return fmaf(x, scale, shift);
    }
};

struct multiply {
    __device__ float operator()(float x, float m) const
    {
        return x * m;
    }
};

template <int N, class F>
static __device__ __forceinline__ void apply(const void *a, enum dtype a_type, const void *b,
                                             enum dtype b_type, void *y, enum dtype y_type,
                                             size_t i, const F &f)
{
    float x[N], other[N] = {};

    typed_load<N>(a, a_type, i, x);
    if (b)
        typed_load<N>(b, b_type, i, other);
#pragma unroll
    for (int j = 0; j < N; j++)
        x[j] = f(x[j], other[j]);
    typed_store<N>(y, y_type, i, x);
}

/* y = f(a, b); b may be NULL. Not __restrict__: y may be a or b. */
template <class F>
static __global__ void SDK_BOUNDS(THREADS)
    pointwise(const void *a, enum dtype a_type, const void *b, enum dtype b_type, void *y,
              enum dtype y_type, size_t count, F f)
{
    const size_t first = ((size_t)blockIdx.x * THREADS + threadIdx.x) * AT_ONCE;

    if (first + AT_ONCE <= count) {
        apply<AT_ONCE>(a, a_type, b, b_type, y, y_type, first, f);
        return;
    }
    for (size_t i = first; i < count; i++)
        apply<1>(a, a_type, b, b_type, y, y_type, i, f);
}

template <class F>
static cudaError_t launch(const void *a, enum dtype a_type, const void *b, enum dtype b_type,
                          void *y, enum dtype y_type, size_t count, F f, cudaStream_t stream)
{
    return SDK_LAUNCH((pointwise<F>), dim3(blocks_of(count, THREADS * AT_ONCE)), dim3(THREADS), 0,
                      stream, a, a_type, b, b_type, y, y_type, count, f);
}

extern "C" cudaError_t launch_silu(const void *x, void *y, enum dtype type, size_t count,
                                   cudaStream_t stream)
{
    return launch(x, type, nullptr, type, y, type, count, silu(), stream);
}

extern "C" cudaError_t launch_silu_grad(const void *x, const void *dy, void *dx, enum dtype type,
                                        size_t count, cudaStream_t stream)
{
    return launch(x, type, dy, type, dx, type, count, silu_grad(), stream);
}

extern "C" cudaError_t launch_relu(const void *x, void *y, enum dtype type, size_t count, float top,
                                   cudaStream_t stream)
{
    return launch(x, type, nullptr, type, y, type, count, relu{top}, stream);
}

extern "C" cudaError_t launch_add(const void *a, const void *b, void *y, enum dtype type,
                                  size_t count, float scale, cudaStream_t stream)
{
    return launch(a, type, b, type, y, type, count, add{scale}, stream);
}

extern "C" cudaError_t launch_affine(const void *x, enum dtype x_type, void *y, enum dtype y_type,
                                     size_t count, float scale, float shift, cudaStream_t stream)
{
    return launch(x, x_type, nullptr, x_type, y, y_type, count, affine{scale, shift}, stream);
}

static __global__ void SDK_BOUNDS(THREADS)
    multiply_shared(const void *x, enum dtype type, const void *m, enum dtype m_type, void *y,
                    unsigned count, unsigned shared)
{
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;
    float value[1], factor[1];

    if (i >= count)
        return;
    typed_load<1>(x, type, i, value);
    typed_load<1>(m, m_type, i / shared, factor);
    value[0] *= factor[0];
    typed_store<1>(y, type, i, value);
}

extern "C" cudaError_t launch_multiply(const void *x, enum dtype type, const void *m,
                                       enum dtype m_type, void *y, size_t count, int shared,
                                       cudaStream_t stream)
{
    if (shared == 1)
        return launch(x, type, m, m_type, y, type, count, multiply(), stream);
    return SDK_LAUNCH(multiply_shared, dim3(blocks_of(count, THREADS)), dim3(THREADS), 0, stream, x,
                      type, m, m_type, y, (unsigned)count, (unsigned)shared);
}

static __global__ void SDK_BOUNDS(THREADS) pixels(const float *x, uint8_t *y, unsigned count)
{
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;

    if (i >= count)
        return;
    y[i] = pixel_of(x[i]);
}

extern "C" cudaError_t launch_pixels(const float *x, uint8_t *y, size_t count, cudaStream_t stream)
{
    return SDK_LAUNCH(pixels, dim3(blocks_of(count, THREADS)), dim3(THREADS), 0, stream, x, y,
                      (unsigned)count);
}

template <int N>
static __global__ void SDK_BOUNDS(THREADS) mix(const float *coefficients, struct mix_terms terms,
                                               void *y, enum dtype y_type, unsigned count)
{
    const unsigned i = (blockIdx.x * THREADS + threadIdx.x) * N;
    const size_t at = (size_t)blockIdx.y * count + i;
    float sum[N];

    if (i >= count)
        return;
    mix_elements<N>(coefficients + blockIdx.y * terms.n_coefficients, terms, at, sum);
    typed_store<N>(y, y_type, at, sum);
}

extern "C" cudaError_t launch_mix(const float *coefficients, const struct mix_terms *terms, void *y,
                                  enum dtype y_type, int n, size_t count, cudaStream_t stream)
{
    if (count % AT_ONCE == 0)
        return SDK_LAUNCH((mix<AT_ONCE>), dim3(blocks_of(count, THREADS * AT_ONCE), (unsigned)n),
                          dim3(THREADS), 0, stream, coefficients, *terms, y, y_type,
                          (unsigned)count);
    return SDK_LAUNCH((mix<1>), dim3(blocks_of(count, THREADS), (unsigned)n), dim3(THREADS), 0,
                      stream, coefficients, *terms, y, y_type, (unsigned)count);
}

/* A block for an image. */
static __global__ void SDK_BOUNDS(THREADS)
    half_square(const float *__restrict__ x, const float *__restrict__ weight,
                float *__restrict__ y, unsigned count)
{
    SDK_SHARED(double, sums, [WARPS_MAX]);
    const float *image = x + (size_t)blockIdx.x * count;
    double sum = 0;

    for (unsigned i = threadIdx.x; i < count; i += THREADS)
        sum += (double)image[i] * image[i];
    sum = block_sum(sum, &sums[0]);
    if (threadIdx.x == 0)
        y[blockIdx.x] = (float)(0.5 * weight[blockIdx.x] * sum);
}

extern "C" cudaError_t launch_half_square(const float *x, const float *weight, float *y, int n,
                                          size_t count, cudaStream_t stream)
{
    return SDK_LAUNCH(half_square, dim3((unsigned)n), dim3(THREADS), 0, stream, x, weight, y,
                      (unsigned)count);
}

static __global__ void SDK_BOUNDS(THREADS)
    half_square_grad(const float *x, const float *weight, const float *dy, float *dx,
                     unsigned count)
{
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;
    const size_t at = (size_t)blockIdx.y * count + i;

    if (i < count)
        dx[at] = weight[blockIdx.y] * dy[blockIdx.y] * x[at];
}

extern "C" cudaError_t launch_half_square_grad(const float *x, const float *weight, const float *dy,
                                               float *dx, int n, size_t count, cudaStream_t stream)
{
    return SDK_LAUNCH(half_square_grad, dim3(blocks_of(count, THREADS), (unsigned)n), dim3(THREADS),
                      0, stream, x, weight, dy, dx, (unsigned)count);
}
