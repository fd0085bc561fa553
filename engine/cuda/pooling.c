/* Max and mean over places. */
#include "engine/cuda/cuda_kernels.h"
#include "engine/cuda/kernel.h"
#include "engine/cuda/pooling_launch.h"

static cudaError_t max_pool_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                                   cudaStream_t stream)
{
    const struct tensor_desc *x = &spec->inputs[0], *y = &spec->outputs[0];
    const struct pool_window window = {
        .n = x->n,
        .h = x->shape.dims[0],
        .w = x->shape.dims[1],
        .c = x->shape.dims[2],
        .yh = y->shape.dims[0],
        .yw = y->shape.dims[1],
        .side = spec->attributes.window.side,
        .stride = spec->attributes.window.stride,
    };

    return launch_max_pool(&window, args->in[0], args->out[0], x->dtype, stream);
}

static cudaError_t mean_pool_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                                    cudaStream_t stream)
{
    const struct tensor_desc *x = &spec->inputs[0];

    return launch_mean_pool(args->in[0], x->dtype, args->out[0], x->n,
                            x->shape.dims[0] * x->shape.dims[1], x->shape.dims[2], stream);
}

static cudaError_t average_pool_launch(const struct kernel_spec *spec,
                                       const struct kernel_args *args, cudaStream_t stream)
{
    const struct tensor_desc *x = &spec->inputs[0];

    return launch_average_pool(args->in[0], args->out[0], x->dtype, x->n, x->shape.dims[0],
                               x->shape.dims[1], x->shape.dims[2], stream);
}

int cuda_max_pool_create(struct cuda_device *device, const struct kernel_spec *spec,
                         struct kernel **out, struct error *err)
{
    return cuda_kernel_create(spec, max_pool_launch, 0, out, err);
}

int cuda_mean_pool_create(struct cuda_device *device, const struct kernel_spec *spec,
                          struct kernel **out, struct error *err)
{
    return cuda_kernel_create(spec, mean_pool_launch, 0, out, err);
}

int cuda_average_pool_create(struct cuda_device *device, const struct kernel_spec *spec,
                             struct kernel **out, struct error *err)
{
    return cuda_kernel_create(spec, average_pool_launch, 0, out, err);
}
