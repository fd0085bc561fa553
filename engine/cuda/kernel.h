/* What the kernels of this folder are made of: an operation on concrete tensors, and the function
 * that enqueues it.
 */
#ifndef ENGINE_CUDA_KERNEL_H
#define ENGINE_CUDA_KERNEL_H

#include "engine/device.h"

#include <cuda_runtime_api.h>
#include <stddef.h>

struct error;

/* Enqueues all of an operation on stream. Neither allocates nor waits: it may be captured. */
typedef cudaError_t cuda_launch_fn(const struct kernel_spec *spec, const struct kernel_args *args,
                                   cudaStream_t stream);

/* Makes a kernel of one stage of one part that launches spec, without parameters it wants packed.
 * spec is copied. 0, -ENOTSUP (a tensor of 2^31 elements or more), -ENOMEM. */
int cuda_kernel_create(const struct kernel_spec *spec, cuda_launch_fn *launch, size_t scratch_bytes,
                       struct kernel **out, struct error *err);

/* The operation of a kernel that was made so; NULL: it was made otherwise. */
const struct kernel_spec *cuda_kernel_spec(const struct kernel *kernel);

#endif
