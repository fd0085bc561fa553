/* Products of activations and weights by own kernels, and what goes with those of cuDNN. All pointers are
 * device memory, 16-byte aligned; nothing waits.
 *
 * For all types, channels and windows, in float32 without tensor cores: what cuDNN has nothing for (exact
 * values, a rounded x with a float32 y, odd channels) and the check mode. Weights are the plain float32
 * ones. An element of a result is one sum in one order, whatever the number of images.
 */
#ifndef ENGINE_CUDA_DIRECT_LAUNCH_H
#define ENGINE_CUDA_DIRECT_LAUNCH_H

#include "engine/joining.h"
#include "engine/cuda/product.h"

#include <cuda_runtime_api.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where the weight of an output, an input and a tap of the window lies: at their sum. */
struct weight_layout {
    int out, in, tap;          /* strides in elements */
    int n_outs, n_ins, n_taps; /* all of them: the size of the weight */
};

/* y = (x * weight + bias + residual) scale; bias and residual may be NULL. Channels are one group. */
cudaError_t launch_direct(const struct product *p, const struct weight_layout *layout,
                          const void *x, const float *weight, const float *bias,
                          const void *residual, void *y, cudaStream_t stream);
/* The same where channels are in groups: without a residual, from a plain weight [o,i/groups,kh,kw]. */
cudaError_t launch_grouped(const struct product *p, const void *x, const float *weight,
                           const float *bias, void *y, cudaStream_t stream);
/* Linear operations of one x [n,n_ins] in float32, with plain weights [n_outs,n_ins]. */
struct vector_step {
    const float *weight, *bias; /* bias may be NULL */
    float *y;                   /* [n,n_outs] */
    int n_outs;
    int block; /* its first, set by the launch */
};

struct vector_steps {
    const float *x;
    int n_ins, count; /* 1 .. VECTORS_JOINED_MAX, which do not depend on each other */
    struct vector_step at[VECTORS_JOINED_MAX];
};

/* Whether launch_vectors() is for a product. */
bool direct_is_vectors(const struct product *p, const struct weight_layout *layout);
cudaError_t launch_vectors(const struct vector_steps *steps, int n, cudaStream_t stream);

cudaError_t launch_direct_grad_data(const struct product *p, const struct weight_layout *layout,
                                    const void *dy, const float *weight, void *dx,
                                    cudaStream_t stream);
/* pieces: scratch of direct_grad_weight_bytes() */
cudaError_t launch_direct_grad_weight(const struct product *p, const struct weight_layout *layout,
                                      const void *x, const void *dy, float *dweight, float *pieces,
                                      cudaStream_t stream);
size_t direct_grad_weight_bytes(const struct product *p);

/* dbias = the sum of dy over images and positions; pieces: scratch of bias_grad_bytes() */
cudaError_t launch_bias_grad(const struct product *p, const void *dy, float *dbias, float *pieces,
                             cudaStream_t stream);
size_t bias_grad_bytes(const struct product *p);

/* cuDNN's weights [n_outs, n_taps, n_ins] of a rounded type: times scale from the plain ones, and back. */
cudaError_t launch_weight_pack(const struct weight_layout *layout, const float *weight, float scale,
                               void *packed, enum dtype type, cudaStream_t stream);
cudaError_t launch_weight_unpack(const struct weight_layout *layout, const void *packed,
                                 enum dtype type, float *weight, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
