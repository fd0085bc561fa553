/* Operators that come as a few numbers for each image, enqueued; for OP_TOEPLITZ see
 * separable_launch.h. All pointers are device memory. What they compute: engine/op.h.
 */
#ifndef ENGINE_CUDA_OPERATORS_LAUNCH_H
#define ENGINE_CUDA_OPERATORS_LAUNCH_H

#include <cuda_runtime_api.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* n images of count floats; a factor is for `shared` neighbours */
cudaError_t launch_multiply_table(const float *x, const float *table, const float *place, float *y,
                                  int n, size_t count, int shared, cudaStream_t stream);
/* ranks of pixels of c channels */
cudaError_t launch_multiply_rank(const float *x, const float *rank, const float *level, float *y,
                                 int n, size_t count, int c, cudaStream_t stream);
/* x [n,side,side,c] */
cudaError_t launch_modes(const float *x, const float *coefficients, const float *basis, float *y,
                         int n, int side, int c, int modes, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
