/* Copies of channels, enqueued. All pointers are device memory, 16-byte aligned. */
#ifndef ENGINE_CUDA_CHANNELS_LAUNCH_H
#define ENGINE_CUDA_CHANNELS_LAUNCH_H

#include <cuda_runtime_api.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Rows of bytes: each of y begins with `count` bytes of a from `a_first` on, of rows of `a_bytes`, and
 * goes on with the row of b, of `b_bytes` (b may be NULL and b_bytes 0). Sizes are multiples of 2. */
struct channel_rows {
    const void *a, *b;
    void *y;
    size_t n_rows, a_bytes, a_first, count, b_bytes;
};

cudaError_t launch_channels(const struct channel_rows *rows, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
