/* The optimiser. Its states are inputs and outputs in one place: only the outputs are passed on. */
#include "engine/cuda/cuda_kernels.h"
#include "engine/cuda/kernel.h"
#include "engine/cuda/update_launch.h"

static cudaError_t norm_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                               cudaStream_t stream)
{
    return launch_norm(args->in[0], args->out[0], args->scratch,
                       shape_count(&spec->inputs[0].shape), stream);
}

static cudaError_t adam_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                               cudaStream_t stream)
{
    return launch_adam(args->out[0], args->out[1], args->out[2], args->out[3], args->in[4],
                       args->in[5], shape_count(&spec->inputs[0].shape), stream);
}

static cudaError_t average_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                                  cudaStream_t stream)
{
    const float *rate = (const float *)args->in[3] + spec->attributes.slice.first;

    return launch_average(args->out[0], args->in[1], args->in[2], rate,
                          shape_count(&spec->inputs[0].shape), stream);
}

int cuda_update_create(struct cuda_device *device, const struct kernel_spec *spec,
                       struct kernel **out, struct error *err)
{
    if (spec->kind == OP_NORM)
        return cuda_kernel_create(spec, norm_launch,
                                  norm_scratch_bytes(shape_count(&spec->inputs[0].shape)), out,
                                  err);
    return cuda_kernel_create(spec, spec->kind == OP_ADAM ? adam_launch : average_launch, 0, out,
                              err);
}
