/* Concat and slice. */
#include "engine/cuda/channels_launch.h"
#include "engine/cuda/cuda_kernels.h"
#include "engine/cuda/kernel.h"

/* Bytes of a pixel, whose channels are the last dimension. */
static size_t pixel_bytes(const struct tensor_desc *tensor)
{
    return (size_t)tensor->shape.dims[tensor->shape.n_dims - 1] * dtype_size(tensor->dtype);
}

static cudaError_t concat_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                                 cudaStream_t stream)
{
    const struct tensor_desc *a = &spec->inputs[0], *b = &spec->inputs[1];
    const struct channel_rows rows = {
        .a = args->in[0],
        .b = args->in[1],
        .y = args->out[0],
        .n_rows = tensor_count(a) * dtype_size(a->dtype) / pixel_bytes(a),
        .a_bytes = pixel_bytes(a),
        .count = pixel_bytes(a),
        .b_bytes = pixel_bytes(b),
    };

    return launch_channels(&rows, stream);
}

static cudaError_t slice_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                                cudaStream_t stream)
{
    const struct tensor_desc *x = &spec->inputs[0];
    const size_t element = dtype_size(x->dtype);
    const struct channel_rows rows = {
        .a = args->in[0],
        .y = args->out[0],
        .n_rows = tensor_count(x) * element / pixel_bytes(x),
        .a_bytes = pixel_bytes(x),
        .a_first = (size_t)spec->attributes.slice.first * element,
        .count = (size_t)spec->attributes.slice.count * element,
    };

    return launch_channels(&rows, stream);
}

int cuda_concat_create(struct cuda_device *device, const struct kernel_spec *spec,
                       struct kernel **out, struct error *err)
{
    return cuda_kernel_create(spec, concat_launch, 0, out, err);
}

int cuda_slice_create(struct cuda_device *device, const struct kernel_spec *spec,
                      struct kernel **out, struct error *err)
{
    return cuda_kernel_create(spec, slice_launch, 0, out, err);
}
