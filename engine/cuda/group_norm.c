/* Group norm and its gradient. */
#include "engine/cuda/cuda_kernels.h"
#include "engine/cuda/group_norm_launch.h"
#include "engine/cuda/kernel.h"
#include "engine/cuda/operands.h"

struct group_norm_shape cuda_group_norm_shape(const struct kernel_spec *spec)
{
    const struct tensor_desc *x = &spec->inputs[0];

    return (struct group_norm_shape){
        .n = x->n,
        .positions = x->shape.dims[0] * x->shape.dims[1],
        .c = x->shape.dims[2],
        .groups = spec->attributes.group_norm.groups,
        .eps = spec->attributes.group_norm.eps,
        .silu = spec->attributes.group_norm.silu,
        .type = x->dtype,
    };
}

struct group_norm_arrays cuda_group_norm_arrays(const struct kernel_spec *spec,
                                                const struct kernel_args *args)
{
    const bool shifted = spec->n_inputs > 3 && !spec->inputs[3].absent;

    return (struct group_norm_arrays){
        .x = args->in[0],
        .gamma = args->in[1],
        .beta = args->in[2],
        .shift = shifted ? args->in[3] : NULL,
        .y = args->out[0],
        .stats = args->out[1],
    };
}

static cudaError_t group_norm_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                                     cudaStream_t stream)
{
    const struct group_norm_shape shape = cuda_group_norm_shape(spec);
    const struct group_norm_arrays arrays = cuda_group_norm_arrays(spec, args);

    return launch_group_norm(&shape, &arrays, args->scratch, stream);
}

static cudaError_t group_norm_grad_launch(const struct kernel_spec *spec,
                                          const struct kernel_args *args, cudaStream_t stream)
{
    const struct group_norm_shape shape = cuda_group_norm_shape(spec);
    const bool shifted = spec->n_inputs > 5 && !spec->inputs[5].absent;
    const struct group_norm_grad_arrays arrays = {
        .x = args->in[0],
        .gamma = args->in[1],
        .beta = args->in[2],
        .stats = args->in[3],
        .dy = args->in[4],
        .shift = shifted ? args->in[5] : NULL,
        .dx = args->out[0],
        .dgamma = args->out[1],
        .dbeta = args->out[2],
        .dshift = shifted ? args->out[3] : NULL,
    };

    return launch_group_norm_grad(&shape, &arrays, args->scratch, stream);
}

int cuda_group_norm_create(struct cuda_device *device, const struct kernel_spec *spec,
                           struct kernel **out, struct error *err)
{
    const struct group_norm_shape shape = cuda_group_norm_shape(spec);

    return cuda_kernel_create(spec, group_norm_launch, group_norm_scratch_bytes(&shape), out, err);
}

int cuda_group_norm_grad_create(struct cuda_device *device, const struct kernel_spec *spec,
                                struct kernel **out, struct error *err)
{
    const struct group_norm_shape shape = cuda_group_norm_shape(spec);

    return cuda_kernel_create(spec, group_norm_grad_launch, group_norm_grad_scratch_bytes(&shape),
                              out, err);
}
