/* What is done with elements alone, for the kernels of single operations and for the one that does several:
 * an element gets the same bits by either. */
#ifndef ENGINE_CUDA_POINTWISE_CUH
#define ENGINE_CUDA_POINTWISE_CUH

#include "engine/base/philox.h"
#include "engine/cuda/element.cuh"
#include "engine/cuda/pointwise_launch.h"

/* Elements of philox_block(). */
enum { DRAWN = 4 };

/* N elements from `at` on of the batch; coefficients of their image. */
template <int N>
static __device__ __forceinline__ void mix_elements(const float *coefficients,
                                                    const struct mix_terms &terms, size_t at,
                                                    float (&sum)[N])
{
#pragma unroll
    for (int k = 0; k < N; k++)
        sum[k] = 0;
#pragma unroll /* so that pointers are read from where parameters are */
    for (int j = 0; j < MIX_TERMS_MAX; j++) {
        float x[N];

        if (j >= terms.count)
            break;
        typed_load<N>(terms.x[j], terms.types[j], at, x);
#pragma unroll
        for (int k = 0; k < N; k++)
            sum[k] = fmaf(coefficients[terms.first + j], x[k], sum[k]);
    }
}

/* NaN fails both comparisons. The product is rounded before the sum, as the reference does. */
static __device__ __forceinline__ uint8_t pixel_of(float x)
{
    return x >= 1 ? 255 : x > 0 ? (uint8_t)__fadd_rn(__fmul_rn(255.0f, x), 0.5f) : 0;
}

/* As philox_normals() of a host: elements 4 block .. of a key. */
static __device__ __forceinline__ void normals_of_block(const uint32_t *words,
                                                        uint32_t stream_number, unsigned block,
                                                        float (&out)[DRAWN])
{
    const struct philox_key key = {words[0], words[1], words[2], words[3]};
    uint32_t drawn[DRAWN];

    philox_block(&key, stream_number, block, drawn);
#pragma unroll
    for (int pair = 0; pair < 2; pair++) {
        const float r = sqrtf(-2.0f * logf(philox_uniform(drawn[2 * pair])));
        const float angle = 6.28318530717958648f * philox_uniform(drawn[2 * pair + 1]);

        out[2 * pair] = r * cosf(angle);
        out[2 * pair + 1] = r * sinf(angle);
    }
}

/* OP_NORMAL for an image: weights and others may be NULL. */
static __device__ __forceinline__ void normal_elements(const struct normal_draw &d, unsigned image,
                                                       unsigned block, float (&sum)[DRAWN])
{
    const float weight = d.weights ? d.weights[2 * image] : 1;
    const float other_weight = d.weights ? d.weights[2 * image + 1] : 0;
    float drawn[DRAWN];

#pragma unroll
    for (int i = 0; i < DRAWN; i++)
        sum[i] = 0;
    if (weight != 0) {
        normals_of_block(d.keys + 4 * image, d.stream, block, drawn);
#pragma unroll
        for (int i = 0; i < DRAWN; i++)
            sum[i] = weight * drawn[i];
    }
    if (other_weight != 0) {
        normals_of_block(d.others + 4 * image, d.stream, block, drawn);
#pragma unroll
        for (int i = 0; i < DRAWN; i++)
            sum[i] = fmaf(other_weight, drawn[i], sum[i]);
    }
}

#endif
