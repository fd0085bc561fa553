/* One-head attention over the positions of an image, and its gradient. */
#include "engine/cuda/attention_launch.h"
#include "engine/cuda/cuda_kernels.h"
#include "engine/cuda/kernel.h"

static struct attention_shape shape_of(const struct kernel_spec *spec)
{
    const struct tensor_desc *q = &spec->inputs[0];

    return (struct attention_shape){
        .n = q->n,
        .positions = q->shape.dims[0] * q->shape.dims[1],
        .c = q->shape.dims[2],
        .scale = spec->attributes.attention.scale,
        .type = q->dtype,
    };
}

static cudaError_t attention_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                                    cudaStream_t stream)
{
    const struct attention_shape shape = shape_of(spec);

    return launch_attention(&shape, args->in[0], args->in[1], args->in[2], args->out[0],
                            args->out[1], args->scratch, stream);
}

static cudaError_t attention_grad_launch(const struct kernel_spec *spec,
                                         const struct kernel_args *args, cudaStream_t stream)
{
    const struct attention_shape shape = shape_of(spec);
    const struct attention_grad_arrays arrays = {
        .q = args->in[0],
        .k = args->in[1],
        .v = args->in[2],
        .p = args->in[3],
        .d_o = args->in[4],
        .dq = args->out[0],
        .dk = args->out[1],
        .dv = args->out[2],
    };

    return launch_attention_grad(&shape, &arrays, args->scratch, stream);
}

int cuda_attention_create(struct cuda_device *device, const struct kernel_spec *spec,
                          struct kernel **out, struct error *err)
{
    const struct attention_shape shape = shape_of(spec);

    return cuda_kernel_create(spec, attention_launch, attention_scratch_bytes(&shape), out, err);
}

int cuda_attention_grad_create(struct cuda_device *device, const struct kernel_spec *spec,
                               struct kernel **out, struct error *err)
{
    const struct attention_shape shape = shape_of(spec);

    return cuda_kernel_create(spec, attention_grad_launch, attention_grad_scratch_bytes(&shape),
                              out, err);
}
