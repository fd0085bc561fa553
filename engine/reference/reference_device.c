#include "engine/reference/reference_device.h"
#include "engine/base/error.h"
#include "engine/host/host_device.h"
#include "engine/reference/reference_ops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct device {
    struct host_device host;
};

struct reference_kernel {
    struct kernel kernel;
    struct kernel_spec spec;
};

static const struct reference_op *const ops[OP_KINDS] = {
    [OP_CONVOLUTION] = &reference_convolution,
    [OP_CONVOLUTION_ADD] = &reference_convolution,
    [OP_CONVOLUTION_GENERAL] = &reference_convolution_general,
    [OP_CONVOLUTION_GRAD_DATA] = &reference_convolution_grad_data,
    [OP_CONVOLUTION_GRAD_WEIGHT] = &reference_convolution_grad_weight,
    [OP_LINEAR] = &reference_linear,
    [OP_LINEAR_GRAD_DATA] = &reference_linear_grad_data,
    [OP_LINEAR_GRAD_WEIGHT] = &reference_linear_grad_weight,
    [OP_GROUP_NORM] = &reference_group_norm,
    [OP_GROUP_NORM_GRAD] = &reference_group_norm_grad,
    [OP_SILU] = &reference_silu,
    [OP_SILU_GRAD] = &reference_silu_grad,
    [OP_RELU] = &reference_relu,
    [OP_MAX_POOL] = &reference_max_pool,
    [OP_MEAN_POOL] = &reference_mean_pool,
    [OP_AVERAGE_POOL] = &reference_average_pool,
    [OP_UPFIRDN] = &reference_upfirdn,
    [OP_CONCAT] = &reference_concat,
    [OP_SLICE] = &reference_slice,
    [OP_ATTENTION] = &reference_attention,
    [OP_ATTENTION_GRAD] = &reference_attention_grad,
    [OP_FOURIER] = &reference_fourier,
    [OP_POSITIONAL] = &reference_positional,
    [OP_ADD] = &reference_add,
    [OP_AFFINE] = &reference_affine,
    [OP_MIX] = &reference_mix,
    [OP_MULTIPLY] = &reference_multiply,
    [OP_SEPARABLE] = &reference_separable,
    [OP_TOEPLITZ] = &reference_toeplitz,
    [OP_MULTIPLY_TABLE] = &reference_multiply_table,
    [OP_MULTIPLY_RANK] = &reference_multiply_rank,
    [OP_MODES] = &reference_modes,
    [OP_LOOKUP] = &reference_lookup,
    [OP_LOOKUP_GRAD] = &reference_lookup_grad,
    [OP_PIXELS] = &reference_pixels,
    [OP_NORMAL] = &reference_normal,
    [OP_DROPOUT_MASK] = &reference_dropout_mask,
    [OP_HALF_SQUARE] = &reference_half_square,
    [OP_HALF_SQUARE_GRAD] = &reference_half_square_grad,
    [OP_LOAD] = &reference_load,
    [OP_STORE] = &reference_store,
    [OP_SUM] = &reference_sum,
    [OP_NORM] = &reference_norm,
    [OP_ADAM] = &reference_adam,
    [OP_AVERAGE] = &reference_average,
};

static int reference_run(const struct kernel *kernel, int stage, int part,
                         const struct kernel_args *args, struct error *err)
{
    const struct reference_kernel *k = (const struct reference_kernel *)kernel;

    ops[k->spec.kind]->run(&k->spec, args->in, args->out, args->scratch);
    return 0;
}

static void kernel_destroy(struct kernel *kernel)
{
    free(kernel);
}

static const struct kernel_ops kernel_ops = {
    .run = reference_run,
    .destroy = kernel_destroy,
};

static bool has_rounded(const struct tensor_desc *tensors, int n)
{
    bool rounded = false;

    for (int i = 0; i < n; i++)
        rounded = rounded || (!tensors[i].absent && dtype_is_rounded(tensors[i].dtype));
    return rounded;
}

static int reference_kernel_create(struct device *device, const struct kernel_spec *spec,
                                   struct kernel **out, struct error *err)
{
    struct reference_kernel *k;

    if (!ops[spec->kind])
        return error_set(err, -ENOTSUP, "device \"reference\" has no %s", op_name(spec->kind));
    if (has_rounded(spec->inputs, spec->n_inputs) || has_rounded(spec->outputs, spec->n_outputs))
        return error_set(err, -ENOTSUP, "device \"reference\" has %s in fp32 only",
                         op_name(spec->kind));
    k = calloc(1, sizeof(*k));
    if (!k)
        return error_set(err, -ENOMEM, "out of memory for a kernel of %s", op_name(spec->kind));
    kernel_init(&k->kernel, &kernel_ops);
    k->spec = *spec;
    if (ops[spec->kind]->scratch_bytes)
        k->kernel.scratch_bytes = ops[spec->kind]->scratch_bytes(spec);
    *out = &k->kernel;
    return 0;
}

static void reference_close(struct device *device)
{
    if (!device)
        return;
    host_device_fini(&device->host);
    free(device);
}

static int reference_open(int ordinal, int n_threads, struct device **out, struct error *err)
{
    struct device *device = calloc(1, sizeof(*device));
    int rc;

    if (!device)
        return error_set(err, -ENOMEM, "out of memory opening device \"reference\"");
    rc = host_device_init(&device->host, &reference_device_ops, n_threads, NULL, err);
    if (rc < 0) {
        reference_close(device);
        return rc;
    }
    *out = device;
    return 0;
}

static int reference_precision(struct device *device, enum precision wanted, enum precision *out,
                               struct error *err)
{
    if (wanted == PRECISION_BF16 || wanted == PRECISION_FP16)
        return error_set(err, -ENOTSUP, "device \"reference\" computes in fp32 only");
    *out = PRECISION_FP32;
    return 0;
}

static void reference_describe(struct device *device, char *text, size_t size)
{
    snprintf(text, size, "plain loops, double accumulators");
}

const struct device_ops reference_device_ops = {
    .name = "reference",
    .open = reference_open,
    .close = reference_close,
    .precision = reference_precision,
    .describe = reference_describe,
    .kernel_create = reference_kernel_create,
    .kernel_run = host_device_kernel_run,
    .size = host_device_size,
    .halves = true,
    .executor = &host_executor_ops,
    .tasks = host_device_tasks,
    .memory_create = host_memory_create,
    .memory_destroy = host_memory_destroy,
    .upload = host_memory_copy,
    .download = host_memory_copy,
    .memory_copy = host_memory_copy,
    .memory_clear = host_memory_clear,
};
