/* Random tensors: normal and dropout_mask. */
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/loops.h"
#include "engine/cpu/kernel_memory.h"
#include "engine/base/philox.h"

#include <errno.h>
#include <string.h>

struct random {
    struct kernel kernel; /* first: device.h */
    const struct cpu_loops *loops;
    int n;        /* images */
    size_t count; /* elements of an image */
    uint32_t stream;
    float rate;
    enum dtype type;
};

/* The host's own function, so that noise has the same bits on both sides. */
static void draw_normals(const struct random *k, const struct philox_key *key, float weight,
                         float *y)
{
    philox_normals(key, k->stream, k->count, y);
    for (size_t i = 0; i < k->count && weight != 1; i++)
        y[i] *= weight;
}

/* Normals of two keys, weighted; what has no weight is not drawn. */
static int normal_mix_run(const struct kernel *kernel, int stage, int part,
                          const struct kernel_args *args, struct error *err)
{
    const struct random *k = (const struct random *)kernel;
    const struct philox_key *keys = args->in[0], *others = args->in[2];
    const float *weights = args->in[1];
    float *y = args->out[0], *other = args->scratch;

    for (int i = 0; i < k->n; i++, weights += 2, y += k->count) {
        if (weights[0] != 0)
            draw_normals(k, &keys[i], weights[0], y);
        else
            memset(y, 0, k->count * sizeof(*y));
        if (weights[1] == 0)
            continue;
        draw_normals(k, &others[i], weights[1], other);
        for (size_t j = 0; j < k->count; j++)
            y[j] += other[j];
    }
    return 0;
}

static int normal_run(const struct kernel *kernel, int stage, int part,
                      const struct kernel_args *args, struct error *err)
{
    const struct random *k = (const struct random *)kernel;
    const struct philox_key *keys = args->in[0];
    float *y = args->out[0];

    for (int i = 0; i < k->n; i++)
        philox_normals(&keys[i], k->stream, k->count, y + (size_t)i * k->count);
    return 0;
}

static int dropout_mask_run(const struct kernel *kernel, int stage, int part,
                            const struct kernel_args *args, struct error *err)
{
    const struct random *k = (const struct random *)kernel;
    const struct philox_key *keys = args->in[0];
    char *m = args->out[0];

    for (int i = 0; i < k->n; i++) {
        k->loops->pointwise->dropout_mask(&keys[i], k->stream, k->rate, 1.0f / (1.0f - k->rate), m,
                                          k->type, k->count);
        m += k->count * dtype_size(k->type);
    }
    return 0;
}

int cpu_random_create(struct cpu_device *device, const struct kernel_spec *spec,
                      struct kernel **out, struct error *err)
{
    static const struct kernel_ops normal = {.run = normal_run, .destroy = kernel_free};
    static const struct kernel_ops mix = {.run = normal_mix_run, .destroy = kernel_free};
    static const struct kernel_ops mask = {.run = dropout_mask_run, .destroy = kernel_free};
    const struct tensor_desc *y = &spec->outputs[0];
    bool mixed = spec->n_inputs > 1 && !spec->inputs[1].absent;
    struct random *k = kernel_allocate(spec->kind, sizeof(*k),
                                       spec->kind != OP_NORMAL ? &mask
                                       : mixed                 ? &mix
                                                               : &normal,
                                       err);

    if (!k)
        return -ENOMEM;
    k->loops = loops_best();
    k->n = y->n;
    k->count = shape_count(&y->shape);
    k->stream = spec->attributes.draw.stream;
    k->rate = spec->attributes.draw.rate;
    k->type = y->dtype;
    if (mixed)
        k->kernel.scratch_bytes = k->count * sizeof(float);
    *out = &k->kernel;
    return 0;
}
