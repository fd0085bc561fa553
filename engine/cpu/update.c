/* The optimiser, in blocks of a fixed size that threads share: so no sum depends on their number. */
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/kernel_memory.h"

#include <errno.h>
#include <math.h>

/* Elements of a part: a few of these arrays fit in a core's second-level cache. */
enum { BLOCK = 16384 };

enum { CLIP, BETA1, BETA2, REST1, REST2, STEP, ROOT, EPS }; /* of the numbers of OP_ADAM */

struct update {
    struct kernel kernel; /* first: device.h */
    size_t count;
    int first; /* of the numbers: OP_AVERAGE */
};

static size_t block_at(const struct update *k, int part, size_t *first)
{
    *first = (size_t)part * BLOCK;
    return k->count - *first < BLOCK ? k->count - *first : BLOCK;
}

static double sum_squares(const float *x, size_t n)
{
    double lanes[8] = {0}, sum = 0;
    size_t i = 0;

    for (; i + 8 <= n; i += 8) {
        for (size_t j = 0; j < 8; j++)
            lanes[j] += (double)x[i + j] * x[i + j];
    }
    for (; i < n; i++)
        lanes[0] += (double)x[i] * x[i];
    for (size_t j = 0; j < 8; j++)
        sum += lanes[j];
    return sum;
}

/* First every block's sum, then the sum of these. */
static int norm_run(const struct kernel *kernel, int stage, int part,
                    const struct kernel_args *args, struct error *err)
{
    const struct update *k = (const struct update *)kernel;
    double *sums = args->shared, sum = 0;
    size_t first, n;

    if (stage == 0) {
        n = block_at(k, part, &first);
        sums[part] = sum_squares((const float *)args->in[0] + first, n);
        return 0;
    }
    for (int i = 0; i < kernel->n_parts[0]; i++)
        sum += sums[i];
    *(float *)args->out[0] = (float)sqrt(sum);
    return 0;
}

static int adam_run(const struct kernel *kernel, int stage, int part,
                    const struct kernel_args *args, struct error *err)
{
    const struct update *k = (const struct update *)kernel;
    const float *numbers = args->in[5], norm = *(const float *)args->in[4];
    const float clip =
        numbers[CLIP] > 0 ? (float)fmin(1, (double)numbers[CLIP] / ((double)norm + 1e-6)) : 1;
    size_t first, n = block_at(k, part, &first);
    float *restrict weights = (float *)args->out[0] + first;
    float *restrict m = (float *)args->out[1] + first, *restrict v = (float *)args->out[2] + first;
    float *restrict gradient = (float *)args->out[3] + first;

    for (size_t i = 0; i < n && isfinite(norm); i++) {
        float g = gradient[i] * clip;

        m[i] = numbers[BETA1] * m[i] + numbers[REST1] * g;
        v[i] = numbers[BETA2] * v[i] + numbers[REST2] * g * g;
        weights[i] -= numbers[STEP] * m[i] / (sqrtf(v[i]) / numbers[ROOT] + numbers[EPS]);
    }
    for (size_t i = 0; i < n; i++)
        gradient[i] = 0;
    return 0;
}

static int average_run(const struct kernel *kernel, int stage, int part,
                       const struct kernel_args *args, struct error *err)
{
    const struct update *k = (const struct update *)kernel;
    const float norm = *(const float *)args->in[2];
    const float rate = ((const float *)args->in[3])[k->first];
    size_t first, n = block_at(k, part, &first);
    const float *restrict weights = (const float *)args->in[1] + first;
    float *restrict average = (float *)args->out[0] + first;

    for (size_t i = 0; i < n && isfinite(norm); i++)
        average[i] += rate * (weights[i] - average[i]);
    return 0;
}

int cpu_update_create(struct cpu_device *device, const struct kernel_spec *spec,
                      struct kernel **out, struct error *err)
{
    static const struct kernel_ops norm = {.run = norm_run, .destroy = kernel_free};
    static const struct kernel_ops adam = {.run = adam_run, .destroy = kernel_free};
    static const struct kernel_ops average = {.run = average_run, .destroy = kernel_free};
    const struct kernel_ops *ops = spec->kind == OP_NORM   ? &norm
                                   : spec->kind == OP_ADAM ? &adam
                                                           : &average;
    struct update *k = kernel_allocate(spec->kind, sizeof(*k), ops, err);

    if (!k)
        return -ENOMEM;
    k->count = shape_count(&spec->inputs[0].shape);
    k->first = spec->attributes.slice.first;
    k->kernel.n_parts[0] = (int)((k->count + BLOCK - 1) / BLOCK);
    if (spec->kind == OP_NORM) {
        k->kernel.n_stages = 2;
        k->kernel.n_parts[1] = 1;
        k->kernel.shared_bytes = (size_t)k->kernel.n_parts[0] * sizeof(double);
    }
    *out = &k->kernel;
    return 0;
}
