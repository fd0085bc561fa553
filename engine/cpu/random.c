/* Random tensors: normal and dropout_mask. */
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/loops.h"
#include "engine/cpu/tensors.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"

#include <errno.h>

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
    static const struct kernel_ops mask = {.run = dropout_mask_run, .destroy = kernel_free};
    const struct tensor_desc *key = &spec->inputs[0], *y = &spec->outputs[0];
    bool is_mask = spec->kind == OP_DROPOUT_MASK;
    struct random *k;

    if (key->dtype != DTYPE_U32 || tensor_image_count(key) != 4 || key->n != y->n ||
        !tensor_is_real(y) || (!is_mask && y->dtype != DTYPE_F32))
        return tensor_refuse(spec, "needs a key of four words an image", err);
    k = kernel_allocate(spec, sizeof(*k), is_mask ? &mask : &normal, err);
    if (!k)
        return -ENOMEM;
    k->loops = loops_best();
    k->n = y->n;
    k->count = tensor_image_count(y);
    k->stream = spec->attributes.draw.stream;
    k->rate = spec->attributes.draw.rate;
    k->type = y->dtype;
    *out = &k->kernel;
    return 0;
}
