#include "engine/cuda/joined.h"
#include "engine/cuda/cuda_kernels.h"
#include "engine/cuda/direct_launch.h"
#include "engine/cuda/group_norm_launch.h"
#include "engine/cuda/joined_launch.h"
#include "engine/joining.h"
#include "engine/cuda/kernel.h"
#include "engine/cuda/operands.h"

bool cuda_joins(const struct kernel *before, const struct kernel *kernel,
                const struct step_link *link)
{
    const struct kernel_spec *a = cuda_kernel_spec(before), *b = cuda_kernel_spec(kernel);

    return a && b && specs_join(a, b, link);
}

static struct pointwise_step pointwise_of(const struct kernel_spec *spec,
                                          const struct kernel_args *args)
{
    struct pointwise_step s = {.kind = spec->kind, .y = args->out[0]};

    s.type = spec->outputs[0].dtype;
    switch (spec->kind) {
    case OP_LOAD:
    case OP_STORE:
        s.numbers = args->in[1];
        break;
    case OP_NORMAL:
        s.draw = cuda_normal_draw(spec, args);
        return s;
    case OP_MIX:
        s.numbers = args->in[0];
        s.x = cuda_mix_terms(spec, args);
        return s;
    case OP_ADD:
        s.scale = spec->attributes.add.scale;
        s.x.x[1] = args->in[1];
        s.x.types[1] = spec->inputs[1].dtype;
        break;
    default:
        s.scale = spec->attributes.affine.scale;
        s.shift = spec->attributes.affine.shift;
        break;
    }
    s.x.x[0] = args->in[0];
    s.x.types[0] = spec->inputs[0].dtype;
    return s;
}

static cudaError_t launch_pointwise(const struct placed_step *steps, int n, cudaStream_t stream)
{
    const struct kernel_spec *first = cuda_kernel_spec(steps[0].kernel);
    /* of what is written, or where that is state, read */
    const struct tensor_desc *elements =
        first->kind == OP_STORE ? &first->inputs[0] : &first->outputs[0];
    struct pointwise_steps list = {.count = n};

    for (int i = 0; i < n; i++)
        list.at[i] = pointwise_of(cuda_kernel_spec(steps[i].kernel), &steps[i].args);
    return launch_pointwise_steps(&list, elements->n, shape_count(&elements->shape), stream);
}

static cudaError_t launch_norm(const struct placed_step *concat, const struct placed_step *norm,
                               cudaStream_t stream)
{
    const struct kernel_spec *spec = cuda_kernel_spec(norm->kernel);
    const struct group_norm_shape shape = cuda_group_norm_shape(spec);
    struct group_norm_arrays arrays = cuda_group_norm_arrays(spec, &norm->args);

    arrays.x = concat->args.in[0];
    arrays.beside = concat->args.in[1];
    arrays.x_channels = cuda_kernel_spec(concat->kernel)->inputs[0].shape.dims[2];
    arrays.joined = concat->args.out[0];
    return launch_group_norm(&shape, &arrays, norm->args.scratch, stream);
}

static cudaError_t launch_corruptions(const struct placed_step *steps, int n, cudaStream_t stream)
{
    const struct two_sided_shape shape = cuda_toeplitz_shape(cuda_kernel_spec(steps[0].kernel));
    struct toeplitz_step list[TOEPLITZ_JOINED_MAX];

    for (int i = 0; i < n; i++)
        list[i] = cuda_toeplitz_step(cuda_kernel_spec(steps[i].kernel), &steps[i].args);
    return launch_toeplitz(&shape, list, n, stream);
}

static cudaError_t launch_linears(const struct placed_step *steps, int n, cudaStream_t stream)
{
    const struct kernel_spec *first = cuda_kernel_spec(steps[0].kernel);
    struct vector_steps list = {.x = steps[0].args.in[0], .count = n};

    list.n_ins = (int)shape_count(&first->inputs[0].shape);
    for (int i = 0; i < n; i++)
        list.at[i] = cuda_vector_step(cuda_kernel_spec(steps[i].kernel), &steps[i].args);
    return launch_vectors(&list, first->inputs[0].n, stream);
}

int joined_enqueue(const struct placed_step *steps, int n, void *queue, struct error *err)
{
    const enum op_kind kind = cuda_kernel_spec(steps[0].kernel)->kind;
    cudaError_t status;

    if (kind == OP_CONCAT)
        status = launch_norm(&steps[0], &steps[1], queue);
    else if (kind == OP_TOEPLITZ)
        status = launch_corruptions(steps, n, queue);
    else if (kind == OP_LINEAR)
        status = launch_linears(steps, n, queue);
    else
        status = launch_pointwise(steps, n, queue);
    return cuda_check_launch(status, kind, err);
}
