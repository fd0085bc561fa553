/* The gradient of attention. With S = scale Q K^T, P = softmax(S), O = P V:
 *     dV = P^T dO    dP = dO V^T    dS = scale P (dP - rowsum(dP P))
 *     dQ = dS K      dK = dS^T Q
 */
#include "engine/cuda/attention_launch.h"
#include "engine/cuda/matrices.cuh"
#include "engine/cuda/reduce.cuh"

enum { THREADS = 256, WARPS = THREADS / WARP };

/* A warp for a row of dP [n positions, positions], which becomes dS. */
template <class T>
static __global__ void SDK_BOUNDS(THREADS)
    logits_grad(float *__restrict__ rows, const T *__restrict__ p, int n_rows, int positions,
                float scale)
{
    const int row = blockIdx.x * WARPS + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    float *own = rows + (size_t)row * positions;
    double mean = 0; /* what is left of dP beside it may be small */

    if (row >= n_rows) /* a whole warp */
        return;
    p += (size_t)row * positions;
    for (int i = lane; i < positions; i += WARP)
        mean += (double)element_float(p[i]) * own[i];
    mean = lanes_sum(mean, WARP);
    for (int i = lane; i < positions; i += WARP)
        own[i] = scale * element_float(p[i]) * (float)(own[i] - mean);
}

template <class T>
static cudaError_t launch(const struct attention_shape *s, const struct attention_grad_arrays *a,
                          float *square, cudaStream_t stream)
{
    const int positions = s->positions, c = s->c, n_rows = s->n * positions;
    const size_t image = (size_t)positions * c, squares = (size_t)positions * positions;
    const T *q = static_cast<const T *>(a->q), *k = static_cast<const T *>(a->k);
    const T *v = static_cast<const T *>(a->v), *p = static_cast<const T *>(a->p);
    const T *d_o = static_cast<const T *>(a->d_o);
    /* [positions,positions] from two images, and [positions,c] from such a square or its transpose */
    const struct matrices outer = {s->n, positions, positions, c, 1, {image, c, 1}, {image, 1, c}};
    const struct matrices inner = {s->n,         positions, c,
                                   positions,    1,         {squares, positions, 1},
                                   {image, c, 1}};
    const struct matrices transposed = {s->n,         positions, c,
                                        positions,    1,         {squares, 1, positions},
                                        {image, c, 1}};
    cudaError_t status = multiply_matrices<T>(&outer, d_o, v, square, stream);

    if (status == cudaSuccess)
        status = SDK_LAUNCH((logits_grad<T>), dim3(blocks_of((size_t)n_rows, WARPS)), dim3(THREADS),
                            0, stream, square, p, n_rows, positions, s->scale);
    if (status == cudaSuccess)
        status =
            multiply_matrices<T>(&inner, (const float *)square, k, static_cast<T *>(a->dq), stream);
    if (status == cudaSuccess)
        status = multiply_matrices<T>(&transposed, (const float *)square, q,
                                      static_cast<T *>(a->dk), stream);
    if (status == cudaSuccess)
        status = multiply_matrices<T>(&transposed, p, d_o, static_cast<T *>(a->dv), stream);
    return status;
}

extern "C" size_t attention_grad_scratch_bytes(const struct attention_shape *s)
{
    return (size_t)s->n * s->positions * s->positions * sizeof(float);
}

extern "C" cudaError_t launch_attention_grad(const struct attention_shape *s,
                                             const struct attention_grad_arrays *a, void *scratch,
                                             cudaStream_t stream)
{
    return with_type(s->type, [=](auto element) {
        return launch<decltype(element)>(s, a, static_cast<float *>(scratch), stream);
    });
}
