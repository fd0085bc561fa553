/* Products of images with matrices from both sides, enqueued. All pointers are device memory. What
 * they compute: engine/op.h, OP_SEPARABLE and OP_TOEPLITZ.
 */
#ifndef ENGINE_CUDA_SEPARABLE_LAUNCH_H
#define ENGINE_CUDA_SEPARABLE_LAUNCH_H

#include "engine/joining.h"

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* x [n,h,w,c] -> y [n,yh,yw,c] */
struct two_sided_shape {
    int n, h, w, c, yh, yw;
};

/* Element (row of y, row of x) of the matrix of image i is at i image_step + row_y step_y + row_x
 * step_x. */
struct dense_matrix {
    const float *data;
    size_t image_step;
    int step_y, step_x;
};

/* A row of n numbers for each image, which stands for a symmetric matrix [n,n]. */
struct toeplitz_matrix {
    const float *rows;
    int n;
    bool reflect;
};

struct toeplitz_step {
    const float *x;
    struct toeplitz_matrix a, b;
    const float *gate; /* [n] or NULL */
    float *y;
};

/* Whether images fit: what a row of one takes must find room in shared memory. */
bool two_sided_fits(const struct two_sided_shape *shape);

cudaError_t launch_separable(const struct two_sided_shape *shape, const float *x,
                             const struct dense_matrix *a, const struct dense_matrix *b, float *y,
                             cudaStream_t stream);
/* Several at a time, 1 .. TOEPLITZ_JOINED_MAX, which do not depend on each other. */
cudaError_t launch_toeplitz(const struct two_sided_shape *shape, const struct toeplitz_step *steps,
                            int count, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
