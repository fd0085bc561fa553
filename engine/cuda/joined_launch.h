/* Several operations by one launch. All pointers are device memory, 16-byte aligned, and memory is that
 * of one operation or the same element of another: a thread does its elements of all of them in turn.
 */
#ifndef ENGINE_CUDA_JOINED_LAUNCH_H
#define ENGINE_CUDA_JOINED_LAUNCH_H

#include "engine/joining.h"
#include "engine/cuda/pointwise_launch.h"
#include "engine/op.h"

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* OP_LOAD, OP_STORE, OP_NORMAL, OP_MIX, OP_ADD, OP_AFFINE or OP_PIXELS. */
struct pointwise_step {
    enum op_kind kind;
    void *y;
    enum dtype type;     /* of y */
    struct mix_terms x;  /* what it reads element by element, and which coefficients */
    const void *numbers; /* OP_MIX: coefficients; OP_LOAD, OP_STORE: slots [n] */
    struct normal_draw draw;
    float scale, shift; /* OP_ADD, OP_AFFINE */
};

struct pointwise_steps {
    int count;
    struct pointwise_step at[POINTWISE_JOINED_MAX];
};

/* n images of count elements, a multiple of 4; the same bits as the launches of single operations. */
cudaError_t launch_pointwise_steps(const struct pointwise_steps *steps, int n, size_t count,
                                   cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
