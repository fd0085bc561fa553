/* Random tensors: normal and dropout_mask. */
#include "engine/cuda/cuda_kernels.h"
#include "engine/cuda/kernel.h"
#include "engine/cuda/random_launch.h"

static cudaError_t normal_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                                 cudaStream_t stream)
{
    const struct tensor_desc *y = &spec->outputs[0];
    const bool mixed = spec->n_inputs > 1 && !spec->inputs[1].absent;

    return launch_normal(args->in[0], mixed ? args->in[1] : NULL, mixed ? args->in[2] : NULL,
                         spec->attributes.draw.stream, args->out[0], y->n, shape_count(&y->shape),
                         stream);
}

static cudaError_t dropout_mask_launch(const struct kernel_spec *spec,
                                       const struct kernel_args *args, cudaStream_t stream)
{
    const struct tensor_desc *m = &spec->outputs[0];

    return launch_dropout_mask(args->in[0], spec->attributes.draw.stream,
                               spec->attributes.draw.rate, args->out[0], m->dtype, m->n,
                               shape_count(&m->shape), stream);
}

int cuda_random_create(struct cuda_device *device, const struct kernel_spec *spec,
                       struct kernel **out, struct error *err)
{
    return cuda_kernel_create(spec, spec->kind == OP_NORMAL ? normal_launch : dropout_mask_launch,
                              0, out, err);
}
