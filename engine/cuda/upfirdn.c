/* Upfirdn. */
#include "engine/cuda/cuda_kernels.h"
#include "engine/cuda/kernel.h"
#include "engine/cuda/upfirdn_launch.h"

static cudaError_t upfirdn_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                                  cudaStream_t stream)
{
    const struct tensor_desc *x = &spec->inputs[0], *y = &spec->outputs[0];
    const bool biased = spec->n_inputs > 1 && !spec->inputs[1].absent;
    struct upfirdn_shape shape = {
        .n = x->n,
        .h = x->shape.dims[0],
        .w = x->shape.dims[1],
        .c = x->shape.dims[2],
        .yh = y->shape.dims[0],
        .yw = y->shape.dims[1],
        .up = spec->attributes.upfirdn.up,
        .down = spec->attributes.upfirdn.down,
        .top = spec->attributes.upfirdn.pad[0],
        .left = spec->attributes.upfirdn.pad[2],
    };

    for (int i = 0; i < 16; i++)
        shape.kernel[i] = spec->attributes.upfirdn.kernel[15 - i];
    return launch_upfirdn(&shape, args->in[0], biased ? args->in[1] : NULL, args->out[0], x->dtype,
                          stream);
}

int cuda_upfirdn_create(struct cuda_device *device, const struct kernel_spec *spec,
                        struct kernel **out, struct error *err)
{
    return cuda_kernel_create(spec, upfirdn_launch, 0, out, err);
}
