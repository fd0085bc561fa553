/* Several operations that work element by element, one after the other. */
#include "engine/cuda/joined_launch.h"
#include "engine/cuda/pointwise.cuh"

enum { THREADS = 256, AT_ONCE = 4 };

/* Elements i .. of an image of count; what an earlier step of this thread has written is what it reads. */
static __device__ __forceinline__ void run_step(const struct pointwise_step &s, unsigned image,
                                                unsigned i, unsigned count)
{
    const size_t at = (size_t)image * count + i;
    float x[AT_ONCE], other[AT_ONCE];
    size_t slot;

    static_assert((int)AT_ONCE == (int)DRAWN, "a thread has a block of philox");
    switch (s.kind) {
    case OP_LOAD:
        slot = static_cast<const uint32_t *>(s.numbers)[image];
        for (int k = 0; k < AT_ONCE; k++)
            x[k] = 0;
        if (slot != SLOT_NONE)
            pack_load<AT_ONCE>(static_cast<const float *>(s.x.x[0]) + slot * count + i, x);
        pack_store<AT_ONCE>(static_cast<float *>(s.y) + at, x);
        break;
    case OP_STORE:
        slot = static_cast<const uint32_t *>(s.numbers)[image];
        if (slot == SLOT_NONE)
            break;
        pack_load<AT_ONCE>(static_cast<const float *>(s.x.x[0]) + at, x);
        pack_store<AT_ONCE>(static_cast<float *>(s.y) + slot * count + i, x);
        break;
    case OP_NORMAL:
        normal_elements(s.draw, image, i / DRAWN, x);
        pack_store<AT_ONCE>(static_cast<float *>(s.y) + at, x);
        break;
    case OP_MIX:
        mix_elements<AT_ONCE>(static_cast<const float *>(s.numbers) +
                                  (size_t)image * s.x.n_coefficients,
                              s.x, at, x);
        typed_store<AT_ONCE>(s.y, s.type, at, x);
        break;
    case OP_ADD:
        typed_load<AT_ONCE>(s.x.x[0], s.x.types[0], at, x);
        typed_load<AT_ONCE>(s.x.x[1], s.x.types[1], at, other);
        for (int k = 0; k < AT_ONCE; k++)
            x[k] = (x[k] + other[k]) * s.scale;
        typed_store<AT_ONCE>(s.y, s.type, at, x);
        break;
    case OP_AFFINE:
        typed_load<AT_ONCE>(s.x.x[0], s.x.types[0], at, x);
        for (int k = 0; k < AT_ONCE; k++)
            x[k] = fmaf(x[k], s.scale, s.shift);
        typed_store<AT_ONCE>(s.y, s.type, at, x);
        break;
    case OP_PIXELS:
        pack_load<AT_ONCE>(static_cast<const float *>(s.x.x[0]) + at, x);
        *reinterpret_cast<uchar4 *>(static_cast<uint8_t *>(s.y) + at) =
            make_uchar4(pixel_of(x[0]), pixel_of(x[1]), pixel_of(x[2]), pixel_of(x[3]));
        break;
    default:
        break;
    }
}

/* Left alone, the compiler would spill some registers for 10.0 to have twice the blocks. */
static __global__ void SDK_BOUNDS_BLOCKS(THREADS, 4)
    pointwise_steps(const __grid_constant__ struct pointwise_steps steps, unsigned count)
{
    const unsigned i = (blockIdx.x * THREADS + threadIdx.x) * AT_ONCE;

    if (i >= count)
        return;
    for (int k = 0; k < steps.count; k++)
        run_step(steps.at[k], blockIdx.y, i, count);
}

extern "C" cudaError_t launch_pointwise_steps(const struct pointwise_steps *steps, int n,
                                              size_t count, cudaStream_t stream)
{
    return SDK_LAUNCH(pointwise_steps, dim3(blocks_of(count, THREADS * AT_ONCE), (unsigned)n),
                      dim3(THREADS), 0, stream, *steps, (unsigned)count);
}
