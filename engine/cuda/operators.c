/* Linear operators that come as short rows, a few numbers for each image. */
#include "engine/base/error.h"
#include "engine/cuda/cuda_kernels.h"
#include "engine/cuda/kernel.h"
#include "engine/cuda/operands.h"
#include "engine/cuda/operators_launch.h"
#include "engine/cuda/separable_launch.h"

#include <errno.h>

struct two_sided_shape cuda_toeplitz_shape(const struct kernel_spec *spec)
{
    const int *xs = spec->inputs[0].shape.dims;

    return (struct two_sided_shape){spec->inputs[0].n, xs[0], xs[1], xs[2], xs[0], xs[1]};
}

struct toeplitz_step cuda_toeplitz_step(const struct kernel_spec *spec,
                                        const struct kernel_args *args)
{
    const bool reflect = spec->attributes.toeplitz.reflect;
    const struct two_sided_shape shape = cuda_toeplitz_shape(spec);
    const struct toeplitz_matrix a = {args->in[1], shape.h, reflect};
    const struct toeplitz_matrix b = {args->in[2], shape.w, reflect};

    return (struct toeplitz_step){.x = args->in[0],
                                  .a = a,
                                  .b = args->in[2] ? b : a,
                                  .gate = args->in[3],
                                  .y = args->out[0]};
}

static cudaError_t toeplitz_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                                   cudaStream_t stream)
{
    const struct two_sided_shape shape = cuda_toeplitz_shape(spec);
    const struct toeplitz_step step = cuda_toeplitz_step(spec, args);

    return launch_toeplitz(&shape, &step, 1, stream);
}

static cudaError_t table_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                                cudaStream_t stream)
{
    const struct tensor_desc *x = &spec->inputs[0];
    const int c = x->shape.dims[2];

    return launch_multiply_table(args->in[0], args->in[1], args->in[2], args->out[0], x->n,
                                 shape_count(&x->shape), c / spec->inputs[1].shape.dims[3], stream);
}

static cudaError_t rank_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                               cudaStream_t stream)
{
    const struct tensor_desc *x = &spec->inputs[0];

    return launch_multiply_rank(args->in[0], args->in[1], args->in[2], args->out[0], x->n,
                                shape_count(&x->shape), x->shape.dims[2], stream);
}

static cudaError_t modes_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                                cudaStream_t stream)
{
    const struct tensor_desc *x = &spec->inputs[0];

    return launch_modes(args->in[0], args->in[1], args->in[2], args->out[0], x->n, x->shape.dims[0],
                        x->shape.dims[2], spec->inputs[2].shape.dims[1], stream);
}

int cuda_operator_create(struct cuda_device *device, const struct kernel_spec *spec,
                         struct kernel **out, struct error *err)
{
    const struct two_sided_shape shape = cuda_toeplitz_shape(spec);

    if (spec->kind == OP_MULTIPLY_TABLE)
        return cuda_kernel_create(spec, table_launch, 0, out, err);
    if (spec->kind == OP_MULTIPLY_RANK)
        return cuda_kernel_create(spec, rank_launch, 0, out, err);
    if (spec->kind == OP_MODES)
        return cuda_kernel_create(spec, modes_launch, 0, out, err);
    if (!two_sided_fits(&shape))
        return error_set(err, -ENOTSUP, "toeplitz on a GPU: images of %dx%d with %d channels",
                         shape.h, shape.w, shape.c);
    return cuda_kernel_create(spec, toeplitz_launch, 0, out, err);
}
