/* Asynchronous copies into shared memory (cp.async), as <cuda_pipeline_primitives.h> has them. A copy
 * happens as late as it may: when its thread waits for it. Until then its destination is NaN. (With
 * CUDASIM_SCHEDULE=eager it happens at once.) The bytes are moved in the kernel's own code, where the
 * sanitizers see them. */
#ifndef TESTS_CUDASIM_PIPELINE_HPP
#define TESTS_CUDASIM_PIPELINE_HPP

#include "tests/cudasim/device.hpp"

template <class T> static inline void cudasim_move_as(const cudasim_copy &copy)
{
    T value{};

    if (!copy.zeros)
        value = *static_cast<const T *>(copy.src);
    else
        memcpy(&value, copy.src, copy.bytes - copy.zeros);
    *static_cast<T *>(copy.dst) = value;
}

static inline void cudasim_move(const cudasim_copy &copy)
{
    if (copy.bytes == 4)
        cudasim_move_as<uint32_t>(copy);
    else if (copy.bytes == 8)
        cudasim_move_as<uint2>(copy);
    else
        cudasim_move_as<uint4>(copy);
}

static inline void cudasim_pipeline_copy(void *dst, const void *src, size_t bytes, size_t zeros,
                                         const cudasim::site *where)
{
    const cudasim_copy copy = {dst, src, (unsigned)bytes, (unsigned)zeros};

    cudasim_copy_start(&copy, where);
    if (cudasim_copies_late())
        memset(dst, 0xff, bytes);
    else
        cudasim_move(copy);
}

static inline void cudasim_pipeline_wait(unsigned n_left)
{
    cudasim_copy copy;

    while (cudasim_copy_next(n_left, &copy))
        if (cudasim_copies_late())
            cudasim_move(copy);
}

#define CUDASIM_PIPELINE_COPY(dst, src, bytes, zeros, ...) \
    cudasim_pipeline_copy((dst), (src), (bytes), (zeros), CUDASIM_SITE("__pipeline_memcpy_async"))
#define __pipeline_memcpy_async(...)  CUDASIM_PIPELINE_COPY(__VA_ARGS__, 0, 0)
#define __pipeline_commit()           cudasim_copy_commit()
#define __pipeline_wait_prior(n_left) cudasim_pipeline_wait(n_left)

#endif
