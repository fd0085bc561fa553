/* Upfirdn, enqueued. All pointers are device memory, x and y 16-byte aligned. What it computes:
 * engine/op.h.
 */
#ifndef ENGINE_CUDA_UPFIRDN_LAUNCH_H
#define ENGINE_CUDA_UPFIRDN_LAUNCH_H

#include "engine/tensor.h"

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* x [n,h,w,c] -> y [n,yh,yw,c] */
struct upfirdn_shape {
    int n, h, w, c, yh, yw, up, down;
    int top, left;    /* padding */
    float kernel[16]; /* as it slides over the dense grid: flipped */
};

/* bias: [c] or NULL */
cudaError_t launch_upfirdn(const struct upfirdn_shape *shape, const void *x, const float *bias,
                           void *y, enum dtype type, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
