/* Operations element by element, enqueued. All pointers are device memory, 16-byte aligned; an output
 * may be an input of its type. What they compute: engine/op.h.
 */
#ifndef ENGINE_CUDA_POINTWISE_LAUNCH_H
#define ENGINE_CUDA_POINTWISE_LAUNCH_H

#include "engine/tensor.h"

#include <cuda_runtime_api.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MIX_TERMS_MAX = 7 };

struct mix_terms {
    int count, first, n_coefficients; /* coefficients first .. of n_coefficients belong to them */
    const void *x[MIX_TERMS_MAX];
    enum dtype types[MIX_TERMS_MAX];
};

/* What OP_NORMAL draws: keys [n] of struct philox_key; weights [n,2] and others are both NULL or neither. */
struct normal_draw {
    const uint32_t *keys;
    const float *weights;
    const uint32_t *others;
    uint32_t stream;
};

/* count: elements of the batch */
cudaError_t launch_silu(const void *x, void *y, enum dtype type, size_t count, cudaStream_t stream);
cudaError_t launch_silu_grad(const void *x, const void *dy, void *dx, enum dtype type, size_t count,
                             cudaStream_t stream);
cudaError_t launch_relu(const void *x, void *y, enum dtype type, size_t count, float top,
                        cudaStream_t stream);
cudaError_t launch_add(const void *a, const void *b, void *y, enum dtype type, size_t count,
                       float scale, cudaStream_t stream);
cudaError_t launch_affine(const void *x, enum dtype x_type, void *y, enum dtype y_type,
                          size_t count, float scale, float shift, cudaStream_t stream);
/* m has a factor for every `shared` neighbours of x */
cudaError_t launch_multiply(const void *x, enum dtype type, const void *m, enum dtype m_type,
                            void *y, size_t count, int shared, cudaStream_t stream);
cudaError_t launch_pixels(const float *x, uint8_t *y, size_t count, cudaStream_t stream);

/* n images of count elements */
cudaError_t launch_mix(const float *coefficients, const struct mix_terms *terms, void *y,
                       enum dtype y_type, int n, size_t count, cudaStream_t stream);
cudaError_t launch_half_square(const float *x, const float *weight, float *y, int n, size_t count,
                               cudaStream_t stream);
cudaError_t launch_half_square_grad(const float *x, const float *weight, const float *dy, float *dx,
                                    int n, size_t count, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
