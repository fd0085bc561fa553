/* State, sums and tables, enqueued. All pointers are device memory. What they compute: engine/op.h. */
#ifndef ENGINE_CUDA_STATE_LAUNCH_H
#define ENGINE_CUDA_STATE_LAUNCH_H

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* n images of count floats; slots [n], index [n] or NULL for row 0 */
cudaError_t launch_load(const float *state, const uint32_t *slots, float *y, int n, size_t count,
                        cudaStream_t stream);
cudaError_t launch_store(const float *x, const uint32_t *slots, float *state, int n, size_t count,
                         cudaStream_t stream);
cudaError_t launch_lookup(const float *table, const float *index, float *y, int n, size_t count,
                          cudaStream_t stream);
cudaError_t launch_lookup_grad(const float *index, const float *dy, float *dtable, int n_rows,
                               int n, size_t count, cudaStream_t stream);
/* sum[i] += x[i] for i < count */
cudaError_t launch_sum(const float *x, float *sum, size_t count, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
