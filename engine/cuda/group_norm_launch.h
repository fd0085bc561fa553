/* Group norm and its gradient, enqueued. All pointers are device memory; x, y, dy, dx and scratch are
 * 16-byte aligned. What they compute: engine/op.h.
 */
#ifndef ENGINE_CUDA_GROUP_NORM_LAUNCH_H
#define ENGINE_CUDA_GROUP_NORM_LAUNCH_H

#include "engine/joining.h"
#include "engine/tensor.h"

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* x is [n,positions,c]; a group is c / groups neighbouring channels at all positions. */
struct group_norm_shape {
    int n, positions, c, groups;
    float eps;
    bool silu;
    enum dtype type; /* of x, y, dy, dx */
};

/* x may be in two parts, which lie apart: its first channels, and the others, where joining.h says so. What
 * they are side by side is then written, too. */
struct group_norm_arrays {
    const void *x;
    const void *beside;        /* the others, or NULL: x is all */
    int x_channels;            /* with others: how many are in x */
    void *joined;              /* with others: [n,positions,c], both parts */
    const float *gamma, *beta; /* [c] */
    const float *shift;        /* [n,c] or NULL */
    void *y;
    float *stats; /* [n,2,groups] */
};

struct group_norm_grad_arrays {
    const void *x, *dy;
    const float *gamma, *beta, *stats;
    const float *shift; /* NULL: none, and no dshift */
    void *dx;
    float *dgamma, *dbeta; /* [c] */
    float *dshift;         /* [n,c] */
};

size_t group_norm_scratch_bytes(const struct group_norm_shape *shape);
cudaError_t launch_group_norm(const struct group_norm_shape *shape,
                              const struct group_norm_arrays *arrays, void *scratch,
                              cudaStream_t stream);

size_t group_norm_grad_scratch_bytes(const struct group_norm_shape *shape);
cudaError_t launch_group_norm_grad(const struct group_norm_shape *shape,
                                   const struct group_norm_grad_arrays *arrays, void *scratch,
                                   cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
