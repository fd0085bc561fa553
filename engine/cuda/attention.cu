/* One-head attention over the positions of an image.
 *
 * With 16 bits and sizes that are multiples of 16 one kernel does all of it: a block has 16 queries, whose
 * logits, then weights, are in shared memory. Else three: products, weights of rows, products.
 */
#include "engine/cuda/attention_launch.h"
#include "engine/cuda/matrices.cuh"
#include "engine/cuda/reduce.cuh"

#include <math.h>

enum {
    THREADS = 256,
    WARPS = THREADS / WARP,
    PART = 16, /* rows and columns of a product of tensor cores */
    POSITIONS_MAX = 1024,
    SHARED_MAX = 64 << 10,
    SHARED_WITHOUT_ASKING = 48 << 10,
};

/* The softmax of a row of n logits, by a warp, in place; not yet divided by the sum, which is
 * returned. */
static __device__ __forceinline__ float exponents_of_row(float *row, int n, float scale)
{
    const int lane = threadIdx.x % WARP;
    float largest = -INFINITY, sum = 0;

    for (int i = lane; i < n; i += WARP)
        largest = fmaxf(largest, row[i]);
    for (int step = WARP / 2; step > 0; step /= 2)
        largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, step));
    for (int i = lane; i < n; i += WARP) {
        row[i] = expf((row[i] - largest) * scale);
        sum += row[i];
    }
    return lanes_sum(sum, WARP);
}

/* ---- one kernel ---- */

/* Shared memory: logits float [PART, the larger of positions and c], weights T [PART,positions]. */
static size_t fused_bytes(const struct attention_shape *s)
{
    const int widest = s->c > s->positions ? s->c : s->positions;

    return PART * ((size_t)widest * sizeof(float) + (size_t)s->positions * 2);
}

static bool is_fused(const struct attention_shape *s)
{
    return s->type != DTYPE_F32 && s->positions % PART == 0 && s->c % PART == 0 &&
           s->positions <= POSITIONS_MAX && fused_bytes(s) <= SHARED_MAX;
}

/* out [PART, n_columns float apart `stride`] = a [PART,depth] b, tile by tile of 16 columns, a warp
 * each. LAYOUT: b is [depth,columns] by rows, or its transpose by columns. */
template <class LAYOUT, class T>
static __device__ __forceinline__ void multiply_rows(float *out, int stride, const T *a,
                                                     int a_stride, const T *b, int b_stride,
                                                     int n_columns, int depth)
{
    using namespace nvcuda;
    const bool by_rows = std::is_same<LAYOUT, wmma::row_major>::value;

    for (int column = threadIdx.x / WARP * PART; column < n_columns; column += WARPS * PART) {
        wmma::fragment<wmma::accumulator, PART, PART, PART, float> sums;

        wmma::fill_fragment(sums, 0.0f);
#pragma unroll 4
        for (int k = 0; k < depth; k += PART) {
            wmma::fragment<wmma::matrix_a, PART, PART, PART, T, wmma::row_major> x;
            wmma::fragment<wmma::matrix_b, PART, PART, PART, T, LAYOUT> y;

            wmma::load_matrix_sync(x, a + k, a_stride);
            wmma::load_matrix_sync(y,
                                   by_rows ? b + (size_t)k * b_stride + column
                                           : b + (size_t)column * b_stride + k,
                                   b_stride);
            wmma::mma_sync(sums, x, y, sums);
        }
        wmma::store_matrix_sync(out + column, sums, stride, wmma::mem_row_major);
    }
}

/* Queries 16 blockIdx.x .. of image blockIdx.y. p may be NULL. */
template <class T>
static __global__ void SDK_BOUNDS(THREADS)
    attend(struct attention_shape s, const T *__restrict__ q, const T *__restrict__ k,
           const T *__restrict__ v, T *__restrict__ o, T *__restrict__ p)
{
    SDK_SHARED_DYNAMIC(float, rows);

    if constexpr (has_tensor_cores<T>()) {
        const int widest = max(s.c, s.positions), warp = threadIdx.x / WARP,
                  lane = threadIdx.x % WARP;
        const size_t image = blockIdx.y, first = image * s.positions + blockIdx.x * PART;
        T *weights = reinterpret_cast<T *>(rows + PART * widest);

        multiply_rows<nvcuda::wmma::col_major>(rows, widest, q + first * s.c, s.c,
                                               k + image * s.positions * s.c, s.c, s.positions,
                                               s.c);
        SDK_SYNC_BLOCK();
        for (int row = warp; row < PART; row += WARPS) {
            const float rest = 1 / exponents_of_row(rows + row * widest, s.positions, s.scale);

            for (int i = lane; i < s.positions; i += WARP) {
                element_set(weights[row * s.positions + i], rows[row * widest + i] * rest);
                if (p)
                    p[(first + row) * s.positions + i] = weights[row * s.positions + i];
            }
        }
        SDK_SYNC_BLOCK();
        multiply_rows<nvcuda::wmma::row_major>(rows, widest, (const T *)weights, s.positions,
                                               v + image * s.positions * s.c, s.c, s.c,
                                               s.positions);
        SDK_SYNC_BLOCK();
        for (int i = threadIdx.x; i < PART * s.c; i += THREADS)
            element_set(o[first * s.c + i], rows[i / s.c * widest + i % s.c]);
    }
}

template <class T>
static cudaError_t launch_fused(const struct attention_shape *s, const T *q, const T *k, const T *v,
                                T *o, T *p, cudaStream_t stream)
{
    const size_t bytes = fused_bytes(s);

    if (bytes > SHARED_WITHOUT_ASKING) {
        cudaError_t status = SDK_OPT_IN((attend<T>), SHARED_MAX);

        if (status != cudaSuccess)
            return status;
    }
    return SDK_LAUNCH((attend<T>), dim3((unsigned)(s->positions / PART), (unsigned)s->n),
                      dim3(THREADS), bytes, stream, *s, q, k, v, o, p);
}

/* ---- three kernels ---- */

/* A warp for a row of logits [n positions, positions], which becomes weights. p may be NULL. */
template <class T>
static __global__ void SDK_BOUNDS(THREADS)
    weights_of_rows(float *__restrict__ logits, T *__restrict__ p, int n_rows, int positions)
{
    const int row = blockIdx.x * WARPS + threadIdx.x / WARP;
    float *own = logits + (size_t)row * positions;

    if (row >= n_rows) /* a whole warp */
        return;
    const float rest = 1 / exponents_of_row(own, positions, 1);

    for (int i = threadIdx.x % WARP; i < positions; i += WARP) {
        own[i] *= rest;
        if (p)
            element_set(p[(size_t)row * positions + i], own[i]);
    }
}

template <class T>
static cudaError_t launch_three(const struct attention_shape *s, const T *q, const T *k, const T *v,
                                T *o, T *p, float *logits, cudaStream_t stream)
{
    const size_t image = (size_t)s->positions * s->c, square = (size_t)s->positions * s->positions;
    const int n_rows = s->n * s->positions;
    const struct matrices queries = {s->n,     s->positions,     s->positions,    s->c,
                                     s->scale, {image, s->c, 1}, {image, 1, s->c}};
    const struct matrices values =
        {s->n, s->positions, s->c, s->positions, 1, {square, s->positions, 1}, {image, s->c, 1}};
    cudaError_t status = multiply_matrices<T>(&queries, q, k, logits, stream);

    if (status == cudaSuccess)
        status = SDK_LAUNCH((weights_of_rows<T>), dim3(blocks_of((size_t)n_rows, WARPS)),
                            dim3(THREADS), 0, stream, logits, p, n_rows, s->positions);
    if (status == cudaSuccess)
        status = multiply_matrices<T>(&values, (const float *)logits, v, o, stream);
    return status;
}

/* ---- */

extern "C" size_t attention_scratch_bytes(const struct attention_shape *s)
{
    return is_fused(s) ? 0 : (size_t)s->n * s->positions * s->positions * sizeof(float);
}

extern "C" cudaError_t launch_attention(const struct attention_shape *s, const void *q,
                                        const void *k, const void *v, void *o, void *p,
                                        void *scratch, cudaStream_t stream)
{
    return with_type(s->type, [=](auto element) {
        using T = decltype(element);
        const T *from[] = {static_cast<const T *>(q), static_cast<const T *>(k),
                           static_cast<const T *>(v)};
        T *to[] = {static_cast<T *>(o), static_cast<T *>(p)};

        if constexpr (!std::is_same<T, float>::value) {
            if (is_fused(s))
                return launch_fused(s, from[0], from[1], from[2], to[0], to[1], stream);
        }
        return launch_three(s, from[0], from[1], from[2], to[0], to[1],
                            static_cast<float *>(scratch), stream);
    });
}
