/* Separable operators: y = a X b^T, or a^T X b. */
#include "engine/base/error.h"
#include "engine/cuda/cuda_kernels.h"
#include "engine/cuda/kernel.h"
#include "engine/cuda/separable_launch.h"

#include <errno.h>

static struct two_sided_shape shape_of(const struct kernel_spec *spec)
{
    const int *xs = spec->inputs[0].shape.dims, *ys = spec->outputs[0].shape.dims;

    return (struct two_sided_shape){spec->inputs[0].n, xs[0], xs[1], xs[2], ys[0], ys[1]};
}

static struct dense_matrix matrix_of(const struct kernel_spec *spec, int input,
                                     const struct kernel_args *args)
{
    const struct tensor_desc *desc = &spec->inputs[input];
    const int n_columns = desc->shape.dims[1];
    const bool transposed = spec->attributes.separable.transposed;

    return (struct dense_matrix){
        .data = args->in[input],
        .image_step = desc->shape.batched ? shape_count(&desc->shape) : 0,
        .step_y = transposed ? 1 : n_columns,
        .step_x = transposed ? n_columns : 1,
    };
}

static cudaError_t separable_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                                    cudaStream_t stream)
{
    const struct two_sided_shape shape = shape_of(spec);
    const struct dense_matrix a = matrix_of(spec, 1, args), b = matrix_of(spec, 2, args);

    return launch_separable(&shape, args->in[0], &a, &b, args->out[0], stream);
}

int cuda_separable_create(struct cuda_device *device, const struct kernel_spec *spec,
                          struct kernel **out, struct error *err)
{
    const struct two_sided_shape shape = shape_of(spec);

    if (!two_sided_fits(&shape))
        return error_set(err, -ENOTSUP, "separable on a GPU: images of %dx%d with %d channels",
                         shape.h, shape.w, shape.c);
    return cuda_kernel_create(spec, separable_launch, 0, out, err);
}
