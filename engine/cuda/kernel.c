#include "engine/cuda/kernel.h"
#include "engine/base/error.h"
#include "engine/cuda/cuda_kernels.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

struct launched {
    struct kernel kernel; /* first: device.h */
    struct kernel_spec spec;
    cuda_launch_fn *launch;
};

static int launched_run(const struct kernel *kernel, int stage, int part,
                        const struct kernel_args *args, struct error *err)
{
    const struct launched *k = (const struct launched *)kernel;

    return cuda_check_launch(k->launch(&k->spec, args, (cudaStream_t)args->queue), k->spec.kind,
                             err);
}

static void launched_destroy(struct kernel *kernel)
{
    free(kernel);
}

static const struct kernel_ops launched_ops = {.run = launched_run, .destroy = launched_destroy};

const struct kernel_spec *cuda_kernel_spec(const struct kernel *kernel)
{
    return kernel->ops == &launched_ops ? &((const struct launched *)kernel)->spec : NULL;
}

/* Kernels count elements in 32 bits. */
static bool counts_fit(const struct tensor_desc *tensors, int n)
{
    bool fit = true;

    for (int i = 0; i < n; i++)
        fit = fit && tensor_count(&tensors[i]) <= INT_MAX;
    return fit;
}

int cuda_kernel_create(const struct kernel_spec *spec, cuda_launch_fn *launch, size_t scratch_bytes,
                       struct kernel **out, struct error *err)
{
    struct launched *k;

    if (!counts_fit(spec->inputs, spec->n_inputs) || !counts_fit(spec->outputs, spec->n_outputs))
        return error_set(err, -ENOTSUP, "%s on a GPU: a tensor of 2^31 elements or more",
                         op_name(spec->kind));
    k = calloc(1, sizeof(*k));
    if (!k)
        return error_set(err, -ENOMEM, "out of memory making a kernel for %s", op_name(spec->kind));
    kernel_init(&k->kernel, &launched_ops);
    k->kernel.scratch_bytes = scratch_bytes;
    k->spec = *spec;
    k->spec.algorithm = NULL; /* borrowed */
    k->launch = launch;
    *out = &k->kernel;
    return 0;
}
