/* Pools, enqueued. All pointers are device memory. What they compute: engine/op.h. */
#ifndef ENGINE_CUDA_POOLING_LAUNCH_H
#define ENGINE_CUDA_POOLING_LAUNCH_H

#include "engine/tensor.h"

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* x [n,h,w,c] -> y [n,yh,yw,c] */
struct pool_window {
    int n, h, w, c, yh, yw, side, stride;
};

cudaError_t launch_max_pool(const struct pool_window *window, const void *x, void *y,
                            enum dtype type, cudaStream_t stream);
/* x [n,positions,c] -> y [n,c] */
cudaError_t launch_mean_pool(const void *x, enum dtype type, float *y, int n, int positions, int c,
                             cudaStream_t stream);
/* x [n,h,w,c] -> y [n,h,w,c] */
cudaError_t launch_average_pool(const void *x, void *y, enum dtype type, int n, int h, int w, int c,
                                cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
