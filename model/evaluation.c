#include "model/evaluation.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/executor.h"
#include "engine/parameters.h"
#include "engine/plan.h"
#include "engine/program.h"
#include "engine/state.h"
#include "model/checkpoint.h"
#include "model/start.h"
#include "model/step.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

struct evaluation {
    const struct formulation *formulation;
    struct parameters *parameters;
    struct state *state;
    /* A sampler step. */
    struct step step;
    struct noise_values noise;
    int slot, pixels, predicted;
    int one, energy; /* in and out [n,1]: 1, and half the sum of the squares of x' */
    struct plan *plan;
    struct executor *executor;
    struct fetch *fetches; /* [3 batch_max] */
    float *zeros;          /* [h,w,c] */
    /* A start. */
    struct start start;
    int start_slot;
    struct plan *start_plan;
    struct executor *start_executor;
};

static int append_step(struct evaluation *e, struct program *p, bool restoration, struct error *err)
{
    const struct architecture *a = &e->formulation->architecture;
    int side = a->image_size, rc, x, m, u = -1;
    struct shape images = shape_images(side, side, a->num_channels);
    struct step_inputs in = {.u = -1, .y = -1, .mask = -1};

    e->slot = program_input(p, "slot", shape_vectors(1), VALUE_KEY);
    x = program_state(p, "x", images);
    m = program_state(p, "m", images);
    in.x = program_load(p, x, e->slot);
    in.m = program_load(p, m, e->slot);
    if (a->n_labels > 0) {
        u = program_state(p, "u", images);
        in.u = program_load(p, u, e->slot);
    }
    if (restoration) {
        in.y = program_load(p, program_state(p, "y", images), e->slot);
        in.mask = program_load(p, program_state(p, "mask", shape_images(side, side, 1)), e->slot);
    }
    e->noise = noise_inputs(p);
    in.eta = program_normal(p, e->noise.key, e->noise.weights, e->noise.other, images,
                            PHILOX_STREAM_ETA);
    rc = step_append(p, e->formulation, &in, &e->step, err);
    if (rc < 0)
        return rc;
    e->pixels = program_pixels(p, e->step.next_x);
    e->predicted = program_pixels(p, e->step.h);
    program_store(p, x, e->slot, e->step.next_x);
    program_store(p, m, e->slot, e->step.next_m);
    if (u >= 0)
        program_store(p, u, e->slot, e->step.u);
    e->one = program_input(p, "one", shape_vectors(1), VALUE_EXACT);
    e->energy = program_half_square(p, e->step.next_x, e->one);
    return program_check(p, err);
}

static int append_start(struct evaluation *e, struct program *p, struct error *err)
{
    const struct architecture *a = &e->formulation->architecture;
    struct shape images = shape_images(a->image_size, a->image_size, a->num_channels);
    int rc = start_append(p, e->formulation, &e->start, err), zero;

    if (rc < 0)
        return rc;
    e->start_slot = program_input(p, "slot", shape_vectors(1), VALUE_KEY);
    zero = program_affine(p, e->start.x, 0.0f, 0.0f, VALUE_EXACT);
    program_store(p, program_state(p, "x", images), e->start_slot, e->start.x);
    program_store(p, program_state(p, "m", images), e->start_slot, zero);
    if (a->n_labels > 0)
        program_store(p, program_state(p, "u", images), e->start_slot, zero);
    return program_check(p, err);
}

static int make_plans(struct evaluation *e, struct device *device, const struct program *step,
                      const struct program *start, const struct evaluation_options *o,
                      struct error *err)
{
    const int outputs[3] = {e->pixels, e->predicted, e->energy};
    struct plan_options options = {.precision = o->precision,
                                   .batch_max = o->batch_max,
                                   .n_outputs = 3,
                                   .outputs = outputs};
    int rc = plan_create(device, step, e->parameters, &options, &e->plan, err);

    options.n_outputs = 0;
    if (rc == 0)
        rc = plan_create(device, start, e->parameters, &options, &e->start_plan, err);
    if (rc == 0)
        rc = state_create(device, o->n_slots, &e->state, err);
    if (rc == 0)
        rc = state_declare(e->state, step, err);
    if (rc == 0)
        rc = executor_create(e->plan, e->state, &e->executor, err);
    if (rc == 0)
        rc = executor_create(e->start_plan, e->state, &e->start_executor, err);
    return rc;
}

/* Constant in all rows, once for all. */
static int write_ones(struct evaluation *e, int n, struct error *err)
{
    const float one = 1;
    int rc = 0;

    for (int i = 0; rc == 0 && i < n; i++)
        rc = executor_write(e->executor, e->one, i, 1, &one, err);
    return rc;
}

static int build(struct evaluation *e, struct device *device, const struct checkpoint *c,
                 const struct evaluation_options *options, struct error *err)
{
    struct program *step = NULL, *start = NULL;
    int rc = program_create(&step, err);

    if (rc == 0)
        rc = program_create(&start, err);
    if (rc == 0)
        rc = append_step(e, step, options->restoration, err);
    if (rc == 0)
        rc = append_start(e, start, err);
    if (rc == 0)
        rc = parameters_create(device, step, &e->parameters, err);
    if (rc == 0)
        rc = parameters_declare(e->parameters, start, err);
    if (rc == 0 && parameters_count(e->parameters) != c->n_weights)
        rc = error_set(err, -EINVAL, "the network has %zu weights, the checkpoint %zu",
                       parameters_count(e->parameters), c->n_weights);
    if (rc == 0)
        rc = make_plans(e, device, step, start, options, err);
    if (rc == 0)
        rc = parameters_load(e->parameters, c->weights, err);
    if (rc == 0)
        rc = denoiser_write_tables(e->formulation, e->parameters, err);
    if (rc == 0)
        rc = start_write_tables(&e->formulation->prior, e->parameters, err);
    if (rc == 0)
        rc = write_ones(e, options->batch_max, err);
    program_destroy(step);
    program_destroy(start);
    return rc;
}

int evaluation_create(struct device *device, const struct checkpoint *c,
                      const struct evaluation_options *options, struct evaluation **out,
                      struct error *err)
{
    const struct architecture *a = &c->formulation.architecture;
    struct evaluation *e = calloc(1, sizeof(*e));
    int rc;

    if (!e)
        return error_set(err, -ENOMEM, "out of memory for the plans of a model");
    e->formulation = &c->formulation;
    e->fetches = calloc(3 * (size_t)options->batch_max, sizeof(*e->fetches));
    e->zeros = calloc((size_t)a->image_size * (size_t)a->image_size * (size_t)a->num_channels,
                      sizeof(*e->zeros));
    if (!e->fetches || !e->zeros)
        rc = error_set(err, -ENOMEM, "out of memory for the plans of a model");
    else
        rc = build(e, device, c, options, err);
    if (rc < 0) {
        evaluation_destroy(e);
        return rc;
    }
    *out = e;
    return 0;
}

void evaluation_destroy(struct evaluation *e)
{
    if (!e)
        return;
    executor_destroy(e->executor);
    executor_destroy(e->start_executor);
    plan_destroy(e->plan);
    plan_destroy(e->start_plan);
    state_destroy(e->state);
    parameters_destroy(e->parameters);
    free(e->fetches);
    free(e->zeros);
    free(e);
}

void evaluation_write_start(struct evaluation *e, int i, int slot,
                            const struct evaluation_noise *noise)
{
    *(uint32_t *)executor_row(e->start_executor, e->start_slot, i) = (uint32_t)slot;
    start_write(&e->start, e->formulation, e->start_executor, i, noise->key, noise->other,
                noise->mix);
}

int evaluation_start(struct evaluation *e, int n, struct error *err)
{
    int rc = executor_start(e->start_executor, n, 0, NULL, err);

    return rc < 0 ? rc : executor_wait(e->start_executor, err);
}

int evaluation_put(struct evaluation *e, const char *name, int slot, const float *src,
                   struct error *err)
{
    return state_write(e->state, name, slot, src, err);
}

int evaluation_clear(struct evaluation *e, int slot, struct error *err)
{
    int rc = state_write(e->state, "m", slot, e->zeros, err);

    if (rc == 0 && state_find(e->state, "u") >= 0)
        rc = state_write(e->state, "u", slot, e->zeros, err);
    return rc;
}

int evaluation_get(struct evaluation *e, const char *name, int slot, float *dst, struct error *err)
{
    return state_read(e->state, name, slot, dst, err);
}

void evaluation_write(struct evaluation *e, int i, int slot, const struct sampler_row *row,
                      const struct evaluation_noise *noise, const struct step_lead *lead)
{
    *(uint32_t *)executor_row(e->executor, e->slot, i) = (uint32_t)slot;
    noise_write(&e->noise, e->executor, i, noise->key, noise->other, noise->mix);
    step_write(&e->step, e->formulation, e->executor, i, row, lead);
}

int evaluation_run(struct evaluation *e, int n, const bool *x_wanted, const bool *h_wanted,
                   struct error *err)
{
    int n_fetches = 0;

    for (int i = 0; i < n; i++) {
        if (x_wanted[i]) {
            e->fetches[n_fetches++] = (struct fetch){e->pixels, i, 1};
            e->fetches[n_fetches++] = (struct fetch){e->energy, i, 1};
        }
        if (h_wanted[i])
            e->fetches[n_fetches++] = (struct fetch){e->predicted, i, 1};
    }
    return executor_start(e->executor, n, n_fetches, e->fetches, err);
}

int evaluation_wait(struct evaluation *e, struct error *err)
{
    return executor_wait(e->executor, err);
}

const uint8_t *evaluation_pixels(struct evaluation *e, int i)
{
    return executor_result(e->executor, e->pixels, i);
}

const uint8_t *evaluation_predicted(struct evaluation *e, int i)
{
    return executor_result(e->executor, e->predicted, i);
}

bool evaluation_is_finite(struct evaluation *e, int i)
{
    const float *energy = executor_result(e->executor, e->energy, i);

    return isfinite(*energy);
}

int evaluation_trace(struct evaluation *e, struct trace *trace, struct error *err)
{
    int rc = executor_trace(e->start_executor, trace, err);

    return rc < 0 ? rc : executor_trace(e->executor, trace, err);
}

enum precision evaluation_precision(const struct evaluation *e)
{
    return plan_precision(e->plan);
}

size_t evaluation_memory_bytes(const struct evaluation *e)
{
    return executor_memory_bytes(e->executor) + executor_memory_bytes(e->start_executor) +
           state_memory_bytes(e->state) + parameters_memory_bytes(e->parameters);
}

size_t evaluation_row_bytes(const struct evaluation *e)
{
    return executor_row_bytes(e->executor);
}
