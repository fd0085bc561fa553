/* Reading and writing state, adding sums up, rows of tables. */
#include "engine/base/error.h"
#include "engine/cuda/cuda_kernels.h"
#include "engine/cuda/kernel.h"
#include "engine/cuda/state_launch.h"

#include <errno.h>

enum { GRID_ROWS_MAX = 65535 };

static cudaError_t load_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                               cudaStream_t stream)
{
    const struct tensor_desc *y = &spec->outputs[0];

    return launch_load(args->in[0], args->in[1], args->out[0], y->n, shape_count(&y->shape),
                       stream);
}

static cudaError_t store_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                                cudaStream_t stream)
{
    const struct tensor_desc *x = &spec->inputs[0];

    return launch_store(args->in[0], args->in[1], args->out[0], x->n, shape_count(&x->shape),
                        stream);
}

static cudaError_t sum_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                              cudaStream_t stream)
{
    float *sum = (float *)args->out[0] + spec->attributes.slice.first;

    return launch_sum(args->in[0], sum, shape_count(&spec->inputs[0].shape), stream);
}

static cudaError_t lookup_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                                 cudaStream_t stream)
{
    const struct tensor_desc *y = &spec->outputs[0];
    const bool indexed = spec->n_inputs > 1 && !spec->inputs[1].absent;

    return launch_lookup(args->in[0], indexed ? args->in[1] : NULL, args->out[0], y->n,
                         shape_count(&y->shape), stream);
}

static cudaError_t lookup_grad_launch(const struct kernel_spec *spec,
                                      const struct kernel_args *args, cudaStream_t stream)
{
    const struct tensor_desc *dy = &spec->inputs[1];

    return launch_lookup_grad(args->in[0], args->in[1], args->out[0],
                              spec->outputs[0].shape.dims[0], dy->n, shape_count(&dy->shape),
                              stream);
}

int cuda_load_create(struct cuda_device *device, const struct kernel_spec *spec,
                     struct kernel **out, struct error *err)
{
    return cuda_kernel_create(spec, load_launch, 0, out, err);
}

int cuda_store_create(struct cuda_device *device, const struct kernel_spec *spec,
                      struct kernel **out, struct error *err)
{
    return cuda_kernel_create(spec, store_launch, 0, out, err);
}

int cuda_sum_create(struct cuda_device *device, const struct kernel_spec *spec, struct kernel **out,
                    struct error *err)
{
    return cuda_kernel_create(spec, sum_launch, 0, out, err);
}

int cuda_lookup_create(struct cuda_device *device, const struct kernel_spec *spec,
                       struct kernel **out, struct error *err)
{
    if (spec->kind == OP_LOOKUP)
        return cuda_kernel_create(spec, lookup_launch, 0, out, err);
    if (spec->outputs[0].shape.dims[0] > GRID_ROWS_MAX)
        return error_set(err, -ENOTSUP, "lookup_grad on a GPU: a table of more than %d rows",
                         GRID_ROWS_MAX);
    return cuda_kernel_create(spec, lookup_grad_launch, 0, out, err);
}
