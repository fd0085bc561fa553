#include "tools/bench/kernel_timer.h"
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"

#include <errno.h>
#include <stdlib.h>

struct kernel_timer {
    struct device *device;
    const struct device_ops *ops;
    struct kernel *kernel;
    void *inputs[OP_INPUTS_MAX], *outputs[OP_OUTPUTS_MAX], *shared, *scratch; /* on the device */
};

static void memory_destroy(struct kernel_timer *t, void *memory)
{
    if (memory)
        t->ops->memory_destroy(t->device, memory);
}

void kernel_timer_destroy(struct kernel_timer *t)
{
    if (!t)
        return;
    for (int i = 0; i < OP_INPUTS_MAX; i++)
        memory_destroy(t, t->inputs[i]);
    for (int i = 0; i < OP_OUTPUTS_MAX; i++)
        memory_destroy(t, t->outputs[i]);
    memory_destroy(t, t->shared);
    memory_destroy(t, t->scratch);
    if (t->kernel)
        t->kernel->ops->destroy(t->kernel);
    free(t);
}

/* Numbers of an input in its dtype, to be freed; parameters are float32. NULL without memory. */
static void *draw(const struct tensor_desc *desc, int input)
{
    size_t count = tensor_count(desc);
    struct philox_key key = philox_key(0, (uint32_t)input, 0);
    float *numbers = malloc(count * sizeof(*numbers) + 1);
    void *stored = malloc(count * sizeof(*numbers) + 1);

    if (!numbers || !stored) {
        free(numbers);
        free(stored);
        return NULL;
    }
    philox_uniforms(&key, PHILOX_STREAM_START, count, numbers);
    for (size_t i = 0; i < count; i++)
        numbers[i] -= 0.5f;
    dtype_from_floats(desc->dtype, stored, numbers, count);
    free(numbers);
    return stored;
}

/* Memory of the device with what is on the host. */
static int memory_fill(struct kernel_timer *t, const void *numbers, size_t bytes, void **out,
                       struct error *err)
{
    int rc = t->ops->memory_create(t->device, bytes, out, err);

    return rc < 0 ? rc : t->ops->upload(t->device, *out, numbers, bytes, err);
}

/* Parameters are packed from a copy on the device. */
static int input_pack(struct kernel_timer *t, int input, const float *numbers, size_t bytes,
                      struct error *err)
{
    const struct kernel_ops *ops = t->kernel->ops;
    void *plain = NULL;
    char last;
    int rc = memory_fill(t, numbers, bytes, &plain, err);

    if (rc == 0)
        rc = t->ops->memory_create(t->device, ops->packed_bytes(t->kernel, input),
                                   &t->inputs[input], err);
    if (rc == 0)
        rc = ops->pack(t->kernel, input, plain, t->inputs[input], err);
    if (rc == 0) /* waits for the packing */
        rc = t->ops->download(t->device, &last, t->inputs[input], sizeof(last), err);
    memory_destroy(t, plain);
    return rc;
}

static int input_create(struct kernel_timer *t, const struct tensor_desc *desc, int input,
                        struct error *err)
{
    size_t bytes = tensor_count(desc) * dtype_size(desc->dtype);
    void *numbers = draw(desc, input);
    int rc;

    if (!numbers)
        return error_set(err, -ENOMEM, "out of memory for the inputs of %zu bytes", bytes);
    rc = t->kernel->packing[input] ? input_pack(t, input, numbers, bytes, err)
                                   : memory_fill(t, numbers, bytes, &t->inputs[input], err);
    free(numbers);
    return rc;
}

int kernel_timer_create(struct device *device, const struct kernel_spec *spec,
                        struct kernel_timer **out, struct error *err)
{
    struct kernel_timer *t = calloc(1, sizeof(*t));
    int rc;

    if (!t)
        return error_set(err, -ENOMEM, "out of memory for a kernel");
    t->device = device;
    t->ops = device_base(device)->ops;
    rc = kernel_create(device, spec, &t->kernel, err);
    for (int i = 0; i < spec->n_inputs && rc == 0; i++) {
        if (!spec->inputs[i].absent)
            rc = input_create(t, &spec->inputs[i], i, err);
    }
    for (int i = 0; i < spec->n_outputs && rc == 0; i++) {
        const struct tensor_desc *y = &spec->outputs[i];

        if (!y->absent)
            rc = t->ops->memory_create(device, tensor_count(y) * dtype_size(y->dtype),
                                       &t->outputs[i], err);
    }
    if (rc == 0)
        rc = t->ops->memory_create(device, t->kernel->shared_bytes, &t->shared, err);
    if (rc == 0)
        rc = t->ops->memory_create(device, t->kernel->scratch_bytes, &t->scratch, err);
    if (rc < 0) {
        kernel_timer_destroy(t);
        return rc;
    }
    *out = t;
    return 0;
}

int kernel_timer_run(struct kernel_timer *t, double *seconds, struct error *err)
{
    const struct kernel_args args = {
        .in = (const void *const *)t->inputs,
        .out = t->outputs,
        .shared = t->shared,
        .scratch = t->scratch,
    };
    double start = clock_seconds();
    int rc = t->ops->kernel_run(t->device, t->kernel, &args, err);

    *seconds = clock_seconds() - start;
    return rc;
}
