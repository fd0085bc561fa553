/* Random tensors, enqueued. All pointers are device memory; keys are struct philox_key, one an image. */
#ifndef ENGINE_CUDA_RANDOM_LAUNCH_H
#define ENGINE_CUDA_RANDOM_LAUNCH_H

#include "engine/cuda/pointwise_launch.h"

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

cudaError_t launch_normal(const struct normal_draw *draw, float *y, int n, size_t count,
                          cudaStream_t stream);
cudaError_t launch_dropout_mask(const uint32_t *keys, uint32_t stream_number, float rate, void *m,
                                enum dtype type, int n, size_t count, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
