#include "model/objective.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/gradient.h"
#include "engine/executor.h"
#include "engine/program.h"
#include "model/checkpoint.h"

#include <errno.h>
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

int objective_append(struct program *p, const struct formulation *f,
                     const struct objective_options *options, struct objective *out,
                     struct error *err)
{
    const struct architecture *a = &f->architecture;
    struct shape images = shape_images(a->image_size, a->image_size, a->num_channels);
    struct objective o = {.key = -1, .eta = -1, .label = -1};
    struct operator_values c_t;
    int eta, x_t, clean, error, rc;
    bool dropout = options->dropout && a->dropout > 0;

    o.x0 = program_input(p, "x0", images, VALUE_EXACT);
    o.coefficients = program_input(p, "coefficients", shape_vectors(2), VALUE_EXACT);
    o.weight = program_input(p, "weight", shape_vectors(1), VALUE_EXACT);
    o.dloss = program_input(p, "dloss", shape_vectors(1), VALUE_EXACT);
    if (!options->eta_given || dropout)
        o.key = program_input(p, "key", shape_vectors(4), VALUE_KEY);
    if (options->eta_given)
        eta = o.eta = program_input(p, "eta", images, VALUE_EXACT);
    else
        eta = program_normal(p, o.key, -1, -1, images, PHILOX_STREAM_ETA);
    if (a->n_labels > 0)
        o.label = program_input(p, "label", shape_vectors(1), VALUE_EXACT);
    c_t = corruption_inputs(f->corruption, p, "c_t", false);
    clean = corruption_apply(f->corruption, p, o.x0, &c_t);
    o.x_t = x_t = program_mix(p, o.coefficients, 0, 2, (const int[]){clean, eta}, VALUE_EXACT);
    rc = denoiser_append(p, f, x_t, &c_t, o.label, dropout ? o.key : -1, &o.denoiser, err);
    if (rc < 0)
        return rc;
    error = program_add(p, o.denoiser.h, program_affine(p, o.x0, -1.0f, 0.0f, VALUE_EXACT), 1.0f);
    if (options->loss == LOSS_SOFT)
        error = corruption_apply(f->corruption, p, error, &c_t);
    o.loss = program_half_square(p, error, o.weight);
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

void objective_write_time(const struct objective *o, const struct formulation *f,
                          struct executor *executor, int i, double t, double dloss,
                          const struct philox_key *key)
{
    double sigma = schedule_sigma(&f->schedule, t);
    float *coefficients = executor_row(executor, o->coefficients, i);

    denoiser_write_time(&o->denoiser, f, executor, i, t);
    coefficients[0] = 1;
    coefficients[1] = (float)sigma;
    *(float *)executor_row(executor, o->weight, i) = (float)(1.0 / (sigma * sigma));
    *(float *)executor_row(executor, o->dloss, i) = (float)dloss;
    if (o->key >= 0)
        memcpy(executor_row(executor, o->key, i), key, sizeof(*key));
    if (o->label >= 0)
        *(float *)executor_row(executor, o->label, i) = 0;
}
