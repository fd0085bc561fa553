/* Time embeddings, enqueued. All pointers are device memory. What they compute: engine/op.h. */
#ifndef ENGINE_CUDA_EMBEDDING_LAUNCH_H
#define ENGINE_CUDA_EMBEDDING_LAUNCH_H

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* time_cond [n], weight [half] -> y [n, 2 half] */
cudaError_t launch_fourier(const float *time_cond, const float *weight, float *y, int n, int half,
                           cudaStream_t stream);
cudaError_t launch_positional(const float *time_cond, float *y, int n, int half,
                              cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
