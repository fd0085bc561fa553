/* Concat and slice: bytes are copied, in the largest units that fit all sizes. */
#include "engine/cuda/channels_launch.h"
#include "engine/cuda/element.cuh"

enum { THREADS = 256 };

template <class U>
static __global__ void SDK_BOUNDS(THREADS)
    copy_channels(const U *__restrict__ a, const U *__restrict__ b, U *__restrict__ y,
                  unsigned n_units, unsigned a_units, unsigned first, unsigned count,
                  unsigned b_units)
{
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;
    const unsigned row = i / (count + b_units), at = i % (count + b_units);

    if (i >= n_units)
        return;
    y[i] =
        at < count ? a[(size_t)row * a_units + first + at] : b[(size_t)row * b_units + at - count];
}

template <class U> static cudaError_t launch(const struct channel_rows *r, cudaStream_t stream)
{
    const size_t unit = sizeof(U), n_units = r->n_rows * ((r->count + r->b_bytes) / unit);

    return SDK_LAUNCH((copy_channels<U>), dim3(blocks_of(n_units, THREADS)), dim3(THREADS), 0,
                      stream, static_cast<const U *>(r->a), static_cast<const U *>(r->b),
                      static_cast<U *>(r->y), (unsigned)n_units, (unsigned)(r->a_bytes / unit),
                      (unsigned)(r->a_first / unit), (unsigned)(r->count / unit),
                      (unsigned)(r->b_bytes / unit));
}

extern "C" cudaError_t launch_channels(const struct channel_rows *r, cudaStream_t stream)
{
    const size_t sizes = r->a_bytes | r->a_first | r->count | r->b_bytes;

    if (sizes % sizeof(uint4) == 0)
        return launch<uint4>(r, stream);
    if (sizes % sizeof(uint32_t) == 0)
        return launch<uint32_t>(r, stream);
    return launch<uint16_t>(r, stream);
}
