/* Embeddings of the noise level: fourier and positional. A few hundred numbers an image, so the
 * exact functions of the C library serve. */
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/kernel_memory.h"

#include <errno.h>
#include <math.h>

struct embedding {
    struct kernel kernel; /* first: device.h */
    int n;                /* images */
    int half;             /* y has sines, then cosines, `half` of each */
};

static int fourier_run(const struct kernel *kernel, int stage, int part,
                       const struct kernel_args *args, struct error *err)
{
    const struct embedding *k = (const struct embedding *)kernel;
    const float *time_cond = args->in[0], *weight = args->in[1];
    float *y = args->out[0];

    for (int i = 0; i < k->n; i++) {
        float u = (float)log(time_cond[i]);

        for (int j = 0; j < k->half; j++) {
            /* Angles reach hundreds of radians, so each product rounds as op.h says. */
            float angle = u * weight[j] * 2.0f * 3.14159265358979324f;

            y[j] = (float)sin(angle);
            y[k->half + j] = (float)cos(angle);
        }
        y += 2 * k->half;
    }
    return 0;
}

static int positional_run(const struct kernel *kernel, int stage, int part,
                          const struct kernel_args *args, struct error *err)
{
    const struct embedding *k = (const struct embedding *)kernel;
    const float *time_cond = args->in[0];
    float *y = args->out[0];
    float rate = (float)(-log(10000.0) / (k->half - 1));

    for (int i = 0; i < k->n; i++) {
        for (int j = 0; j < k->half; j++) {
            float exponent = (float)j * rate, frequency = (float)exp(exponent);
            float angle = time_cond[i] * frequency;

            y[j] = (float)sin(angle);
            y[k->half + j] = (float)cos(angle);
        }
        y += 2 * k->half;
    }
    return 0;
}

int cpu_embedding_create(struct cpu_device *device, const struct kernel_spec *spec,
                         struct kernel **out, struct error *err)
{
    static const struct kernel_ops fourier = {.run = fourier_run, .destroy = kernel_free};
    static const struct kernel_ops positional = {.run = positional_run, .destroy = kernel_free};
    const struct tensor_desc *y = &spec->outputs[0];
    bool is_fourier = spec->kind == OP_FOURIER;
    struct embedding *k;

    k = kernel_allocate(spec->kind, sizeof(*k), is_fourier ? &fourier : &positional, err);
    if (!k)
        return -ENOMEM;
    k->n = y->n;
    k->half = y->shape.dims[0] / 2;
    *out = &k->kernel;
    return 0;
}
