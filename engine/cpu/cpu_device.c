#include "engine/cpu/cpu_device.h"
#include "engine/base/error.h"
#include "engine/base/headroom.h"
#include "engine/cpu/algorithms.h"
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/loops.h"
#include "engine/cpu/onednn.h"

#include <errno.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* oneDNN dies of a mapping for generated code, or of an object, that it does not get. What it takes
 * for one kernel is far less. */
enum { HEADROOM_BYTES = 32 << 20 };

static cpu_create_fn *const creators[OP_KINDS] = {
    [OP_CONVOLUTION] = cpu_convolution_create,
    [OP_CONVOLUTION_ADD] = cpu_convolution_create,
    [OP_CONVOLUTION_GENERAL] = cpu_convolution_general_create,
    [OP_CONVOLUTION_GRAD_DATA] = cpu_convolution_create,
    [OP_CONVOLUTION_GRAD_WEIGHT] = cpu_convolution_create,
    [OP_LINEAR] = cpu_linear_create,
    [OP_LINEAR_GRAD_DATA] = cpu_linear_grad_data_create,
    [OP_LINEAR_GRAD_WEIGHT] = cpu_linear_grad_weight_create,
    [OP_GROUP_NORM] = cpu_group_norm_create,
    [OP_GROUP_NORM_GRAD] = cpu_group_norm_grad_create,
    [OP_SILU] = cpu_activation_create,
    [OP_SILU_GRAD] = cpu_activation_create,
    [OP_RELU] = cpu_activation_create,
    [OP_MAX_POOL] = cpu_max_pool_create,
    [OP_MEAN_POOL] = cpu_mean_pool_create,
    [OP_AVERAGE_POOL] = cpu_average_pool_create,
    [OP_UPFIRDN] = cpu_upfirdn_create,
    [OP_CONCAT] = cpu_concat_create,
    [OP_SLICE] = cpu_slice_create,
    [OP_ATTENTION] = cpu_attention_create,
    [OP_ATTENTION_GRAD] = cpu_attention_grad_create,
    [OP_FOURIER] = cpu_embedding_create,
    [OP_POSITIONAL] = cpu_embedding_create,
    [OP_ADD] = cpu_add_create,
    [OP_AFFINE] = cpu_affine_create,
    [OP_MIX] = cpu_mix_create,
    [OP_MULTIPLY] = cpu_multiply_create,
    [OP_SEPARABLE] = cpu_separable_create,
    [OP_TOEPLITZ] = cpu_operator_create,
    [OP_MULTIPLY_TABLE] = cpu_operator_create,
    [OP_MULTIPLY_RANK] = cpu_operator_create,
    [OP_MODES] = cpu_operator_create,
    [OP_LOOKUP] = cpu_lookup_create,
    [OP_LOOKUP_GRAD] = cpu_lookup_create,
    [OP_PIXELS] = cpu_pixels_create,
    [OP_NORMAL] = cpu_random_create,
    [OP_DROPOUT_MASK] = cpu_random_create,
    [OP_HALF_SQUARE] = cpu_half_square_create,
    [OP_HALF_SQUARE_GRAD] = cpu_half_square_create,
    [OP_LOAD] = cpu_load_create,
    [OP_STORE] = cpu_store_create,
    [OP_SUM] = cpu_sum_create,
    [OP_NORM] = cpu_update_create,
    [OP_ADAM] = cpu_update_create,
    [OP_AVERAGE] = cpu_update_create,
};

static const struct cpu_device *cpu_device(const struct device *device)
{
    return (const struct cpu_device *)device;
}

/* oneDNN splits a primitive over OpenMP threads; ours are those of engine/host/. The
 * setting belongs to the calling thread. */
static void cpu_enter_thread(void)
{
    omp_set_num_threads(1);
}

static void cpu_close(struct device *device)
{
    struct cpu_device *cpu = (struct cpu_device *)device;

    if (!cpu)
        return;
    host_device_fini(&cpu->host);
    onednn_engine_destroy(cpu->engine);
    free(cpu);
}

static int cpu_open(int ordinal, int n_threads, struct device **out, struct error *err)
{
    struct cpu_device *cpu = calloc(1, sizeof(*cpu));
    int rc;

    if (!cpu)
        return error_set(err, -ENOMEM, "out of memory opening the cpu device");
    rc = headroom_check(HEADROOM_BYTES, "oneDNN", err);
    if (rc < 0)
        goto fail;
    cpu->native_bf16 = onednn_has_native_bf16();
    cpu->amx = onednn_has_amx();
    rc = onednn_engine_create(&cpu->engine, err);
    if (rc < 0)
        goto fail;
    rc = host_device_init(&cpu->host, &cpu_device_ops, n_threads, cpu_enter_thread, err);
    if (rc < 0)
        goto fail;
    *out = (struct device *)cpu;
    return 0;

fail:
    cpu_close((struct device *)cpu);
    return rc;
}

static int cpu_precision(struct device *device, enum precision wanted, enum precision *out,
                         struct error *err)
{
    bool native = cpu_device(device)->native_bf16;

    if (wanted == PRECISION_FP16)
        return error_set(err, -ENOTSUP, "the cpu device computes in fp32 and bf16, not in fp16");
    if (wanted == PRECISION_BF16 && !native)
        return error_set(err, -ENOTSUP,
                         "bf16 needs a processor with AVX512-BF16 or AMX; this one has %s",
                         onednn_isa());
    if (wanted == PRECISION_AUTO)
        wanted = native ? PRECISION_BF16 : PRECISION_FP32;
    *out = wanted;
    return 0;
}

static bool has_f16(const struct tensor_desc *tensors, int n)
{
    bool f16 = false;

    for (int i = 0; i < n; i++)
        f16 = f16 || (!tensors[i].absent && tensors[i].dtype == DTYPE_F16);
    return f16;
}

static void cpu_describe(struct device *device, char *text, size_t size)
{
    char version[32];

    onednn_version(version, sizeof(version));
    snprintf(text, size, "oneDNN %s, %s", version, onednn_isa());
}

/* oneDNN's instruction set, then that of our own loops: oneDNN's can be limited from outside. It
 * also fits its blocks, and with them the order of sums, to the caches. */
static void cpu_machine(struct device *device, char *text, size_t size)
{
    char version[32];
    long l1d = sysconf(_SC_LEVEL1_DCACHE_SIZE), l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);

    onednn_version(version, sizeof(version));
    snprintf(text, size, "oneDNN-%s %s %s L1d-%ldK L2-%ldK", version, onednn_isa(),
             loops_best()->name, l1d > 0 ? l1d / 1024 : 0, l2 > 0 ? l2 / 1024 : 0);
}

static int cpu_kernel_create(struct device *device, const struct kernel_spec *spec,
                             struct kernel **out, struct error *err)
{
    int rc;

    if (!creators[spec->kind])
        return error_set(err, -ENOTSUP, "the cpu device has no %s", op_name(spec->kind));
    if (has_f16(spec->inputs, spec->n_inputs) || has_f16(spec->outputs, spec->n_outputs))
        return error_set(err, -ENOTSUP, "the cpu device has no %s in fp16", op_name(spec->kind));
    if (creators[spec->kind] != cpu_convolution_create) {
        rc = device_algorithm_of(device, spec, 0, NULL, err); /* nobody may want another */

        if (rc < 0)
            return rc;
    }
    rc = headroom_check(HEADROOM_BYTES, op_name(spec->kind), err);
    if (rc < 0)
        return rc;
    cpu_enter_thread(); /* oneDNN fixes the split over threads when a primitive is made */
    return creators[spec->kind]((struct cpu_device *)device, spec, out, err);
}

const struct device_ops cpu_device_ops = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .precision = cpu_precision,
    .describe = cpu_describe,
    .machine = cpu_machine,
    .algorithms = cpu_algorithms,
    .kernel_create = cpu_kernel_create,
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
