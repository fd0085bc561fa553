/* Random tensors: normal and dropout_mask. */
#include "engine/cuda/cuda_kernels.h"
#include "engine/cuda/kernel.h"
#include "engine/cuda/operands.h"
#include "engine/cuda/random_launch.h"

struct normal_draw cuda_normal_draw(const struct kernel_spec *spec, const struct kernel_args *args)
{
    const bool mixed = spec->n_inputs > 1 && !spec->inputs[1].absent;

    return (struct normal_draw){
        .keys = args->in[0],
        .weights = mixed ? args->in[1] : NULL,
        .others = mixed ? args->in[2] : NULL,
        .stream = spec->attributes.draw.stream,
    };
}

static cudaError_t normal_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                                 cudaStream_t stream)
{
    const struct tensor_desc *y = &spec->outputs[0];
    const struct normal_draw draw = cuda_normal_draw(spec, args);

    return launch_normal(&draw, args->out[0], y->n, shape_count(&y->shape), stream);
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
