#include "model/objective.h"
#include "engine/base/error.h"
#include "engine/gradient.h"
#include "engine/executor.h"
#include "engine/program.h"
#include "model/augmentation.h"
#include "model/checkpoint.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int objective_precision(struct device *device, enum precision wanted, enum precision *out,
                        struct error *err)
{
    const struct device_ops *ops = device_base(device)->ops;
    int rc = ops->precision(device, wanted, out, err);

    if (rc < 0 || *out != PRECISION_FP16)
        return rc;
    if (wanted != PRECISION_AUTO)
        return error_set(err, -ENOTSUP,
                         "training in fp16 loses gradients: take bf16 or fp32 (or auto)");
    return ops->precision(device, PRECISION_BF16, out, NULL) == 0
               ? 0
               : ops->precision(device, PRECISION_FP32, out, err);
}

/* Appends the gradients of the loss with respect to every parameter of the program. */
static int append_gradients(struct program *p, struct objective *o, struct error *err)
{
    int n_values = program_n_values(p), rc;
    int *wrt = malloc((size_t)n_values * sizeof(*wrt));

    o->n_gradients = 0;
    if (wrt) {
        for (int i = 0; i < n_values; i++) {
            if (program_value(p, i)->role == VALUE_PARAMETER)
                wrt[o->n_gradients++] = i;
        }
        o->gradients = malloc(((size_t)o->n_gradients + 1) * sizeof(*o->gradients));
    }
    if (!wrt || !o->gradients)
        rc = error_set(err, -ENOMEM, "out of memory for the gradients of a network");
    else
        rc = gradient_append(p, o->loss, o->dloss, o->n_gradients, wrt, o->gradients, err);
    free(wrt);
    return rc;
}

static int append_difference(struct program *p, int a, int b)
{
    return program_add(p, a, program_affine(p, b, -1.0f, 0.0f, VALUE_EXACT), 1.0f);
}

/* Noise that is drawn, or given as an input, which *given becomes then. */
static int append_noise(struct program *p, const struct objective *o, const char *name,
                        uint32_t stream, int *given)
{
    const struct shape images = program_value(p, o->x0)->shape;

    if (o->options.eta_given)
        return *given = program_input(p, name, images, VALUE_EXACT);
    return program_normal(p, o->key, -1, -1, images, stream);
}

/* Appends x_t, as the network is given it; *moved: what that is away from x_t, or -1. */
static int append_x_t(struct program *p, const struct formulation *f, struct objective *o,
                      const struct operator_values *c_t, int *moved)
{
    int x[3], n = 2;

    x[1] = append_noise(p, o, "eta", PHILOX_STREAM_ETA, &o->eta);
    *moved = -1;
    if (o->options.perturbation > 0) {
        x[2] = append_noise(p, o, "xi", PHILOX_STREAM_XI, &o->xi);
        *moved = program_mix(p, o->coefficients, 2, 1, &x[2], VALUE_EXACT);
        n = 3;
    }
    x[0] = corruption_apply(f->corruption, p, o->x0, c_t);
    return program_mix(p, o->coefficients, 0, n, x, VALUE_EXACT);
}

/* Appends L_i of h. */
static int append_loss(struct program *p, const struct formulation *f, struct objective *o,
                       const struct operator_values *c_t, int moved)
{
    const int colors[] = {f->architecture.num_channels, f->architecture.num_channels};
    int error = append_difference(p, o->denoiser.h, o->x0), seen, loss;

    if (moved >= 0) /* phi is h less what the network was given */
        error = append_difference(p, error, moved);
    if (o->options.colors) /* C is the same for all channels, so that they commute */
        error =
            program_linear(p, error, program_table(p, OBJECTIVE_COLORS, shape_constant(2, colors)),
                           -1, false);
    if (o->options.loss == LOSS_PLAIN)
        return program_half_square(p, error, o->weight);
    seen = corruption_apply(f->corruption, p, error, o->options.look_ahead ? &o->c_loss : c_t);
    loss = program_half_square(p, seen, o->weight);
    if (o->options.residual > 0) {
        int all = program_half_square(p, error, o->weight);

        loss = program_add(p, loss, program_affine(p, all, o->options.residual, 0.0f, VALUE_EXACT),
                           1.0f);
    }
    return loss;
}

int objective_append(struct program *p, const struct formulation *f,
                     const struct objective_options *options, struct objective *out,
                     struct error *err)
{
    const struct architecture *a = &f->architecture;
    struct shape images = shape_images(a->image_size, a->image_size, a->num_channels);
    struct objective o =
        {.key = -1, .eta = -1, .xi = -1, .label = -1, .augment = -1, .options = *options};
    bool dropout = options->dropout && a->dropout > 0;
    struct operator_values c_t;
    int moved, rc;

    o.x0 = program_input(p, "x0", images, VALUE_EXACT);
    o.coefficients = program_input(p, "coefficients",
                                   shape_vectors(options->perturbation > 0 ? 3 : 2), VALUE_EXACT);
    o.weight = program_input(p, "weight", shape_vectors(1), VALUE_EXACT);
    o.dloss = program_input(p, "dloss", shape_vectors(1), VALUE_EXACT);
    if (!options->eta_given || dropout)
        o.key = program_input(p, "key", shape_vectors(4), VALUE_KEY);
    if (a->n_labels > 0)
        o.label = program_input(p, "label", shape_vectors(1), VALUE_EXACT);
    if (a->augment)
        o.augment = program_input(p, "augment", shape_vectors(AUGMENTATION_NUMBERS), VALUE_EXACT);
    c_t = corruption_inputs(f->corruption, p, "c_t", false);
    if (options->look_ahead)
        o.c_loss = corruption_inputs(f->corruption, p, "c_loss", false);
    rc = program_check(p, err);
    if (rc < 0)
        return rc;
    o.x_t = append_x_t(p, f, &o, &c_t, &moved);
    rc = denoiser_append(p, f, o.x_t, &c_t, o.label, o.augment, dropout ? o.key : -1, &o.denoiser,
                         err);
    if (rc < 0)
        return rc;
    o.loss = append_loss(p, f, &o, &c_t, moved);
    rc = program_check(p, err);
    if (rc == 0)
        rc = append_gradients(p, &o, err);
    if (rc < 0) {
        objective_fini(&o);
        return rc;
    }
    *out = o;
    return 0;
}

void objective_fini(struct objective *o)
{
    free(o->gradients);
    o->gradients = NULL;
}

void objective_write_row(const struct objective *o, const struct formulation *f,
                         struct executor *executor, int i, const struct objective_row *row)
{
    double sigma = schedule_sigma(&f->schedule, row->t);
    float *coefficients = executor_row(executor, o->coefficients, i);

    denoiser_write_time(&o->denoiser, f, executor, i, row->t);
    if (o->options.look_ahead)
        operator_write(f->corruption, schedule_level(&f->schedule, fmax(row->t - row->ahead, 0)),
                       &o->c_loss, executor, i);
    coefficients[0] = 1;
    coefficients[1] = (float)sigma;
    if (o->options.perturbation > 0)
        coefficients[2] = (float)((double)o->options.perturbation * sigma);
    *(float *)executor_row(executor, o->weight, i) =
        o->options.weight == LOSS_WEIGHT_ONE || sigma == 0 ? 1.0f : (float)(1.0 / (sigma * sigma));
    *(float *)executor_row(executor, o->dloss, i) = (float)row->dloss;
    if (o->key >= 0)
        memcpy(executor_row(executor, o->key, i), &row->key, sizeof(row->key));
    if (o->label >= 0)
        *(float *)executor_row(executor, o->label, i) = (float)row->label;
    if (o->augment >= 0 && row->augment)
        memcpy(executor_row(executor, o->augment, i), row->augment,
               AUGMENTATION_NUMBERS * sizeof(float));
    else if (o->augment >= 0)
        memset(executor_row(executor, o->augment, i), 0, AUGMENTATION_NUMBERS * sizeof(float));
}
