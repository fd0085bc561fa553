/* Reading and writing state, adding sums up, rows of tables. */
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/kernel_memory.h"

#include <errno.h>
#include <string.h>

enum { PART_FLOATS = 1 << 16 }; /* of a sum, added at a time */

struct access {
    struct kernel kernel; /* first: device.h */
    size_t n;             /* images */
    size_t count;         /* floats of an image, or of what is added */
    size_t first;         /* where in the sum it goes; of a table: its rows */
};

static int load_run(const struct kernel *kernel, int stage, int part,
                    const struct kernel_args *args, struct error *err)
{
    const struct access *k = (const struct access *)kernel;
    const uint32_t *slots = args->in[1];
    const float *state = args->in[0];

    for (size_t i = 0; i < k->n; i++) {
        float *y = (float *)args->out[0] + i * k->count;

        if (slots[i] == SLOT_NONE)
            memset(y, 0, k->count * sizeof(*y));
        else
            memcpy(y, state + slots[i] * k->count, k->count * sizeof(*y));
    }
    return 0;
}

static int store_run(const struct kernel *kernel, int stage, int part,
                     const struct kernel_args *args, struct error *err)
{
    const struct access *k = (const struct access *)kernel;
    const uint32_t *slots = args->in[1];
    float *state = args->out[0];

    for (size_t i = 0; i < k->n; i++) {
        if (slots[i] != SLOT_NONE)
            memcpy(state + slots[i] * k->count, (const float *)args->in[0] + i * k->count,
                   k->count * sizeof(*state));
    }
    return 0;
}

static int sum_run(const struct kernel *kernel, int stage, int part, const struct kernel_args *args,
                   struct error *err)
{
    const struct access *k = (const struct access *)kernel;
    size_t first = (size_t)part * PART_FLOATS;
    size_t n = k->count - first < PART_FLOATS ? k->count - first : PART_FLOATS;
    const float *restrict x = (const float *)args->in[0] + first;
    float *restrict sum = (float *)args->out[0] + k->first + first;

    for (size_t i = 0; i < n; i++)
        sum[i] += x[i];
    return 0;
}

static int lookup_run(const struct kernel *kernel, int stage, int part,
                      const struct kernel_args *args, struct error *err)
{
    const struct access *k = (const struct access *)kernel;
    const float *table = args->in[0], *index = args->in[1];

    for (size_t i = 0; i < k->n; i++)
        memcpy((float *)args->out[0] + i * k->count,
               table + (index ? (size_t)index[i] : 0) * k->count, k->count * sizeof(*table));
    return 0;
}

/* In the order of the images, whatever their rows. */
static int lookup_grad_run(const struct kernel *kernel, int stage, int part,
                           const struct kernel_args *args, struct error *err)
{
    const struct access *k = (const struct access *)kernel;
    const float *index = args->in[0], *dy = args->in[1];
    float *dtable = args->out[0];

    memset(dtable, 0, k->first * k->count * sizeof(*dtable));
    for (size_t i = 0; i < k->n; i++) {
        float *row = dtable + (size_t)index[i] * k->count;

        for (size_t j = 0; j < k->count; j++)
            row[j] += dy[i * k->count + j];
    }
    return 0;
}

static int create(const struct kernel_spec *spec, const struct kernel_ops *ops,
                  const struct tensor_desc *x, struct access **out, struct error *err)
{
    struct access *k;

    k = kernel_allocate(spec->kind, sizeof(*k), ops, err);
    if (!k)
        return -ENOMEM;
    k->n = (size_t)x->n;
    k->count = shape_count(&x->shape);
    *out = k;
    return 0;
}

int cpu_load_create(struct cpu_device *device, const struct kernel_spec *spec, struct kernel **out,
                    struct error *err)
{
    static const struct kernel_ops ops = {.run = load_run, .destroy = kernel_free};
    struct access *k = NULL;
    int rc = create(spec, &ops, &spec->outputs[0], &k, err);

    if (rc == 0)
        *out = &k->kernel;
    return rc;
}

int cpu_store_create(struct cpu_device *device, const struct kernel_spec *spec, struct kernel **out,
                     struct error *err)
{
    static const struct kernel_ops ops = {.run = store_run, .destroy = kernel_free};
    struct access *k = NULL;
    int rc = create(spec, &ops, &spec->inputs[0], &k, err);

    if (rc == 0)
        *out = &k->kernel;
    return rc;
}

int cpu_sum_create(struct cpu_device *device, const struct kernel_spec *spec, struct kernel **out,
                   struct error *err)
{
    static const struct kernel_ops ops = {.run = sum_run, .destroy = kernel_free};
    struct access *k = NULL;
    int rc = create(spec, &ops, &spec->inputs[0], &k, err);

    if (rc < 0)
        return rc;
    k->first = (size_t)spec->attributes.slice.first;
    k->kernel.n_parts[0] = (int)((k->count + PART_FLOATS - 1) / PART_FLOATS);
    *out = &k->kernel;
    return 0;
}

int cpu_lookup_create(struct cpu_device *device, const struct kernel_spec *spec,
                      struct kernel **out, struct error *err)
{
    static const struct kernel_ops ops = {.run = lookup_run, .destroy = kernel_free};
    static const struct kernel_ops grad_ops = {.run = lookup_grad_run, .destroy = kernel_free};
    bool grad = spec->kind == OP_LOOKUP_GRAD;
    struct access *k = NULL;
    int rc =
        create(spec, grad ? &grad_ops : &ops, grad ? &spec->inputs[1] : &spec->outputs[0], &k, err);

    if (rc < 0)
        return rc;
    if (grad)
        k->first = (size_t)spec->outputs[0].shape.dims[0];
    *out = &k->kernel;
    return 0;
}
