#include "model/denoiser.h"
#include "engine/base/error.h"
#include "engine/executor.h"
#include "engine/program.h"
#include "model/checkpoint.h"
#include "model/ncsnpp.h"

#include <errno.h>
#include <stdlib.h>

/* Positions in `scales`: the coefficients of the mixes of wiener(). */
enum { SCALE_IN, SCALE_MEAN, SCALE_LINEAR, SCALE_OUT, SCALES };

/* h = mu + R^T(D^T (G .* D R(x - C mu) D^T) D) + c_out F(c_in (x - C mu)); model/wiener.h. */
static int append_wiener(struct program *p, const struct formulation *f, int x, int key,
                         struct denoiser *d, struct error *err)
{
    const struct architecture *a = &f->architecture;
    struct architecture inner = *a;
    int n = a->image_size, blurred, rest, linear, in, rc;

    inner.centered = true; /* its input has mean 0 and variance 1 */
    d->mean = program_input(p, "mean", shape_images(n, n, a->num_channels), VALUE_EXACT);
    d->dct = program_input(p, "dct", shape_constant(2, (const int[]){n, n}), VALUE_EXACT);
    d->colors = program_input(p, "colors",
                              shape_constant(2, (const int[]){a->num_channels, a->num_channels}),
                              VALUE_EXACT);
    d->gain = program_input(p, "gain", shape_images(n, n, a->num_channels), VALUE_EXACT);
    d->scales = program_input(p, "scales", shape_vectors(SCALES), VALUE_EXACT);
    blurred = corruption_apply(f->corruption, p, d->mean, &d->c_t);
    rest = program_add(p, x, program_affine(p, blurred, -1.0f, 0.0f, VALUE_EXACT), 1.0f);
    linear = program_linear(p, rest, d->colors, -1, false);
    linear = program_separable(p, linear, d->dct, d->dct, false);
    linear = program_separable(p, program_multiply(p, linear, d->gain), d->dct, d->dct, true);
    linear = program_linear(p, linear, d->colors, -1, true);
    in = program_mix(p, d->scales, SCALE_IN, 1, &rest, VALUE_EXACT);
    rc = ncsnpp_append(p, &inner, in, d->time_cond, key, NULL, &d->phi, err);
    if (rc < 0)
        return rc;
    d->h = program_mix(p, d->scales, SCALE_MEAN, 3, (const int[]){d->mean, linear, d->phi},
                       VALUE_EXACT);
    return program_check(p, err);
}

int denoiser_append(struct program *p, const struct formulation *f, int x,
                    const struct operator_values *c_t, int key, struct denoiser *out,
                    struct error *err)
{
    struct denoiser d =
        {.c_t = *c_t, .gain = -1, .scales = -1, .mean = -1, .dct = -1, .colors = -1};
    int rc;

    d.time_cond = program_input(p, "time_cond", shape_vectors(1), VALUE_EXACT);
    if (f->output == OUTPUT_WIENER) {
        rc = append_wiener(p, f, x, key, &d, err);
    } else {
        rc = ncsnpp_append(p, &f->architecture, x, d.time_cond, key, NULL, &d.phi, err);
        if (rc == 0) {
            d.h = program_add(p, x, d.phi, 1.0f);
            rc = program_check(p, err);
        }
    }
    if (rc == 0)
        *out = d;
    return rc;
}

int denoiser_write_constants(const struct denoiser *d, const struct formulation *f,
                             struct executor *executor, int n, struct error *err)
{
    int side = f->architecture.image_size, rc = 0;
    float *dct;

    if (f->output != OUTPUT_WIENER)
        return 0;
    dct = malloc((size_t)side * (size_t)side * sizeof(*dct));
    if (!dct)
        return error_set(err, -ENOMEM, "out of memory for a cosine transform");
    wiener_dct_matrix(side, dct);
    rc = executor_write(executor, d->dct, 0, 1, dct, err);
    if (rc == 0)
        rc = executor_write(executor, d->colors, 0, 1, f->wiener.colors, err);
    for (int i = 0; rc == 0 && i < n; i++)
        rc = executor_write(executor, d->mean, i, 1, f->wiener.mean, err);
    free(dct);
    return rc;
}

int denoiser_write_time(const struct denoiser *d, const struct formulation *f,
                        struct executor *executor, int i, double t, float *scratch,
                        struct error *err)
{
    float time_cond = formulation_time_cond(f, t);
    float scales[SCALES] = {0, 1, 1, 0};
    int rc = executor_write(executor, d->time_cond, i, 1, &time_cond, err);

    if (rc == 0)
        rc = operator_write(f->corruption, schedule_level(&f->schedule, t), &d->c_t, executor, i,
                            scratch, err);
    if (rc < 0 || f->output != OUTPUT_WIENER)
        return rc;
    wiener_at(&f->wiener, t, scratch, &scales[SCALE_IN], &scales[SCALE_OUT]);
    rc = executor_write(executor, d->gain, i, 1, scratch, err);
    return rc < 0 ? rc : executor_write(executor, d->scales, i, 1, scales, err);
}

int operator_write(const struct corruption *c, double level, const struct operator_values *op,
                   struct executor *executor, int i, float *scratch, struct error *err)
{
    size_t sizes[2];
    int rc;

    corruption_operator_sizes(c, sizes);
    corruption_operator(c, level, scratch, sizes[1] ? scratch + sizes[0] : NULL);
    rc = executor_write(executor, op->first, i, 1, scratch, err);
    return rc < 0 || !sizes[1]
               ? rc
               : executor_write(executor, op->second, i, 1, scratch + sizes[0], err);
}

size_t denoiser_scratch_floats(const struct formulation *f)
{
    const struct architecture *a = &f->architecture;
    size_t image = (size_t)(a->image_size * a->image_size * a->num_channels), sizes[2];

    corruption_operator_sizes(f->corruption, sizes);
    return sizes[0] + sizes[1] > image ? sizes[0] + sizes[1] : image;
}
