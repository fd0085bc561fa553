#include "model/denoiser.h"
#include "engine/base/error.h"
#include "engine/executor.h"
#include "engine/parameters.h"
#include "engine/program.h"
#include "model/checkpoint.h"
#include "model/ncsnpp.h"

#include <errno.h>
#include <stdlib.h>

/* Positions in `scales`: the coefficients of the mixes of append_wiener() ... */
enum { SCALE_IN, SCALE_MEAN, SCALE_LINEAR, SCALE_OUT, SCALES };
/* ... of append_scaled() ... */
enum { SCALED_IN, SCALED_X, SCALED_OUT, SCALED };
/* ... and of append_diffusion(). */
enum { DIFFUSION_IN, DIFFUSION_IN_UNIT, DIFFUSION_X, DIFFUSION_OUT, DIFFUSION_ONE, DIFFUSIONS };

static int table(struct program *p, const char *name, int n_dims, const int *dims)
{
    return program_table(p, name, shape_constant(n_dims, dims));
}

/* h = mu + R^T(D^T (G .* D R(x - C mu) D^T) D) + c_out F(c_in (x - C mu)); model/wiener.h. */
static int append_wiener(struct program *p, const struct formulation *f, int x, int label,
                         int augment, int key, struct denoiser *d, struct error *err)
{
    const struct architecture *a = &f->architecture;
    struct architecture inner = *a;
    int n = a->image_size, c = a->num_channels, mean, dct, colors, gain;
    int blurred, rest, linear, in, rc;

    inner.centered = true; /* its input has mean 0 and variance 1 */
    mean = program_lookup(p, table(p, "wiener.mean", 4, (const int[]){1, n, n, c}), -1);
    dct = table(p, "wiener.dct", 2, (const int[]){n, n});
    colors = table(p, "wiener.colors", 2, (const int[]){c, c});
    gain = table(p, "wiener.gain", 4, (const int[]){WIENER_TIMES, n, n, c});
    d->place = program_input(p, "place", shape_vectors(2), VALUE_EXACT);
    d->scales = program_input(p, "scales", shape_vectors(SCALES), VALUE_EXACT);
    blurred = corruption_apply(f->corruption, p, mean, &d->c_t);
    rest = program_add(p, x, program_affine(p, blurred, -1.0f, 0.0f, VALUE_EXACT), 1.0f);
    linear = program_linear(p, rest, colors, -1, false);
    linear = program_separable(p, linear, dct, dct, false);
    linear = program_multiply_table(p, linear, gain, d->place);
    linear = program_separable(p, linear, dct, dct, true);
    linear = program_linear(p, linear, colors, -1, true);
    in = program_mix(p, d->scales, SCALE_IN, 1, &rest, VALUE_EXACT);
    rc = ncsnpp_append(p, &inner, in, d->time_cond, label, augment, key, NULL, &d->phi, err);
    if (rc < 0)
        return rc;
    d->h =
        program_mix(p, d->scales, SCALE_MEAN, 3, (const int[]){mean, linear, d->phi}, VALUE_EXACT);
    return program_check(p, err);
}

/* h = x + c_out F(c_in x); model/scaling.h, or c_in = 1 and c_out = sigma. */
static int append_scaled(struct program *p, const struct formulation *f, int x, int label,
                         int augment, int key, struct denoiser *d, struct error *err)
{
    struct architecture inner = f->architecture;
    int in, rc;

    d->scales = program_input(p, "scales", shape_vectors(SCALED), VALUE_EXACT);
    in = inner.centered ? x : program_affine(p, x, 2.0f, -1.0f, VALUE_EXACT);
    in = program_mix(p, d->scales, SCALED_IN, 1, &in, VALUE_EXACT);
    inner.centered = true;
    rc = ncsnpp_append(p, &inner, in, d->time_cond, label, augment, key, NULL, &d->phi, err);
    if (rc < 0)
        return rc;
    d->h = program_mix(p, d->scales, SCALED_X, 2, (const int[]){x, d->phi}, VALUE_EXACT);
    return program_check(p, err);
}

/* h is a mix of x, F(u) and 1, with u = x, or 2 x - a = (2 - 2 a) x + a (2 x - 1). */
static int append_diffusion(struct program *p, const struct formulation *f, int x, int label,
                            int augment, int key, struct denoiser *d, struct error *err)
{
    struct architecture inner = f->architecture;
    int parts[3] = {x}, n_parts = 2, in = x, rc;

    d->scales = program_input(p, "scales", shape_vectors(DIFFUSIONS), VALUE_EXACT);
    if (!inner.centered) {
        int unit = program_affine(p, x, 2.0f, -1.0f, VALUE_EXACT);

        in = program_mix(p, d->scales, DIFFUSION_IN, 2, (const int[]){x, unit}, VALUE_EXACT);
    }
    inner.centered = true;
    rc = ncsnpp_append(p, &inner, in, d->time_cond, label, augment, key, NULL, &d->phi, err);
    if (rc < 0)
        return rc;
    parts[1] = d->phi;
    if (f->output != OUTPUT_NOISE)
        parts[n_parts++] = program_affine(p, x, 0.0f, 1.0f, VALUE_EXACT);
    d->h = program_mix(p, d->scales, DIFFUSION_X, n_parts, parts, VALUE_EXACT);
    return program_check(p, err);
}

static bool is_diffusion(enum output o)
{
    return o == OUTPUT_NOISE || o == OUTPUT_VELOCITY || o == OUTPUT_CLEAN;
}

int denoiser_append(struct program *p, const struct formulation *f, int x,
                    const struct operator_values *c_t, int label, int augment, int key,
                    struct denoiser *out, struct error *err)
{
    struct denoiser d = {.c_t = *c_t, .scales = -1, .place = -1};
    int rc;

    d.time_cond = program_input(p, "time_cond", shape_vectors(1), VALUE_EXACT);
    if (f->output == OUTPUT_WIENER) {
        rc = append_wiener(p, f, x, label, augment, key, &d, err);
    } else if (f->output == OUTPUT_SCALED || f->output == OUTPUT_SIGMA) {
        rc = append_scaled(p, f, x, label, augment, key, &d, err);
    } else if (is_diffusion(f->output)) {
        rc = append_diffusion(p, f, x, label, augment, key, &d, err);
    } else {
        rc = ncsnpp_append(p, &f->architecture, x, d.time_cond, label, augment, key, NULL, &d.phi,
                           err);
        if (rc == 0) {
            d.h = program_add(p, x, d.phi, 1.0f);
            rc = program_check(p, err);
        }
    }
    if (rc == 0)
        *out = d;
    return rc;
}

static int write_wiener(const struct wiener *w, int side, struct parameters *parameters,
                        struct error *err)
{
    float *dct = malloc((size_t)side * (size_t)side * sizeof(*dct));
    int rc;

    if (!dct)
        return error_set(err, -ENOMEM, "out of memory for a cosine transform");
    wiener_dct_matrix(side, dct);
    rc = parameters_write_table(parameters, "wiener.dct", dct, err);
    if (rc == 0)
        rc = parameters_write_table(parameters, "wiener.colors", w->colors, err);
    if (rc == 0)
        rc = parameters_write_table(parameters, "wiener.mean", w->mean, err);
    if (rc == 0)
        rc = parameters_write_table(parameters, "wiener.gain", w->gain, err);
    free(dct);
    return rc;
}

int denoiser_write_tables(const struct formulation *f, struct parameters *parameters,
                          struct error *err)
{
    int rc = corruption_write_tables(f->corruption, parameters, err);

    if (rc == 0 && f->output == OUTPUT_WIENER)
        rc = write_wiener(&f->wiener, f->architecture.image_size, parameters, err);
    return rc;
}

static void write_diffusion(const struct formulation *f, double t, float scales[DIFFUSIONS])
{
    double a = schedule_level(&f->schedule, t), sigma = schedule_sigma(&f->schedule, t);
    bool centered = f->architecture.centered;

    scales[DIFFUSION_IN] = (float)(2 - 2 * a);
    scales[DIFFUSION_IN_UNIT] = (float)a;
    if (f->output == OUTPUT_NOISE) {
        scales[DIFFUSION_X] = (float)(1 / a);
        scales[DIFFUSION_OUT] = (float)(-sigma / a);
        scales[DIFFUSION_ONE] = 0;
    } else if (f->output == OUTPUT_VELOCITY) {
        scales[DIFFUSION_X] = (float)a;
        scales[DIFFUSION_OUT] = (float)-sigma;
        scales[DIFFUSION_ONE] = centered ? 0 : (float)(0.5 * (1 - a * a));
    } else {
        scales[DIFFUSION_X] = 0;
        scales[DIFFUSION_OUT] = centered ? 1 : 0.5f;
        scales[DIFFUSION_ONE] = centered ? 0 : 0.5f;
    }
}

void denoiser_write_time(const struct denoiser *d, const struct formulation *f,
                         struct executor *executor, int i, double t)
{
    *(float *)executor_row(executor, d->time_cond, i) = formulation_time_cond(f, t);
    operator_write(f->corruption, schedule_level(&f->schedule, t), &d->c_t, executor, i);
    if (f->output == OUTPUT_WIENER) {
        float *scales = executor_row(executor, d->scales, i);

        scales[SCALE_MEAN] = 1;
        scales[SCALE_LINEAR] = 1;
        wiener_place(&f->wiener, t, executor_row(executor, d->place, i), &scales[SCALE_IN],
                     &scales[SCALE_OUT]);
    }
    if (f->output == OUTPUT_SCALED) {
        float *scales = executor_row(executor, d->scales, i);

        scales[SCALED_X] = 1;
        scaling_at(&f->scaling, t, schedule_sigma(&f->schedule, t), f->architecture.centered,
                   &scales[SCALED_IN], &scales[SCALED_OUT]);
    }
    if (f->output == OUTPUT_SIGMA) {
        float *scales = executor_row(executor, d->scales, i);

        scales[SCALED_IN] = scales[SCALED_X] = 1;
        scales[SCALED_OUT] = (float)schedule_sigma(&f->schedule, t);
    }
    if (is_diffusion(f->output))
        write_diffusion(f, t, executor_row(executor, d->scales, i));
}

void operator_write(const struct corruption *c, double level, const struct operator_values *op,
                    struct executor *executor, int i)
{
    const int values[] = {op->first, op->second, op->third};
    struct operator_rows rows = {.outer = {NULL}};

    for (int k = 0; k < 3; k++) {
        if (values[k] >= 0)
            rows.outer[k] = executor_row(executor, values[k], i);
        if (op->inner[k] >= 0)
            rows.inner[k] = executor_row(executor, op->inner[k], i);
    }
    corruption_rows(c, level, &rows);
    if (op->gate >= 0)
        *(float *)executor_row(executor, op->gate, i) = 1;
}
