/* The optimiser, enqueued. All pointers are device memory, arrays 16-byte aligned. What they compute:
 * engine/op.h.
 */
#ifndef ENGINE_CUDA_UPDATE_LAUNCH_H
#define ENGINE_CUDA_UPDATE_LAUNCH_H

#include <cuda_runtime_api.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of scratch that the norm of count elements needs. */
size_t norm_scratch_bytes(size_t count);

cudaError_t launch_norm(const float *x, float *norm, double *scratch, size_t count,
                        cudaStream_t stream);
cudaError_t launch_adam(float *weights, float *m, float *v, float *gradient, const float *norm,
                        const float *numbers, size_t count, cudaStream_t stream);
/* rate: one number */
cudaError_t launch_average(float *average, const float *weights, const float *norm,
                           const float *rate, size_t count, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
