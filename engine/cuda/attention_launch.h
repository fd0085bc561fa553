/* Attention and its gradient, enqueued. All pointers are device memory, 32-byte aligned. What they
 * compute: engine/op.h.
 */
#ifndef ENGINE_CUDA_ATTENTION_LAUNCH_H
#define ENGINE_CUDA_ATTENTION_LAUNCH_H

#include "engine/tensor.h"

#include <cuda_runtime_api.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* q, k, v, o are [n,positions,c], p [n,positions,positions]. */
struct attention_shape {
    int n, positions, c;
    float scale;
    enum dtype type;
};

size_t attention_scratch_bytes(const struct attention_shape *shape);
cudaError_t launch_attention(const struct attention_shape *shape, const void *q, const void *k,
                             const void *v, void *o, void *p, void *scratch, cudaStream_t stream);

struct attention_grad_arrays {
    const void *q, *k, *v, *p, *d_o;
    void *dq, *dk, *dv;
};

size_t attention_grad_scratch_bytes(const struct attention_shape *shape);
cudaError_t launch_attention_grad(const struct attention_shape *shape,
                                  const struct attention_grad_arrays *arrays, void *scratch,
                                  cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
