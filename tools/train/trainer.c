#include "tools/train/trainer.h"
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/pool.h"
#include "engine/parameters.h"
#include "engine/executor.h"
#include "engine/plan.h"
#include "engine/program.h"
#include "model/ncsnpp.h"
#include "model/objective.h"
#include "tools/pictures/dataset.h"
#include "tools/train/examples.h"
#include "tools/train/recipe.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BALANCE_TIMES = 33 };

struct trainer {
    struct pool *pool;
    const struct formulation *formulation;
    struct optimizer_options options;
    int batch;
    struct objective objective;
    struct parameters *parameters;
    struct plan *plan;
    struct executor *executor;
    struct optimizer_state state;  /* owns all but the weights */
    float *gradient;               /* what state.gradient reads */
    float *image;                  /* one x_0 */
    float *losses;                 /* [batch] */
    double balance[BALANCE_TIMES]; /* losses at equally spaced times; 1: not balanced */
};

static int create_plan(struct trainer *t, struct device *device, const struct program *p,
                       enum precision precision, struct error *err)
{
    const struct objective *o = &t->objective;
    struct plan_options options = {.precision = precision, .batch_max = t->batch};
    int *outputs = calloc((size_t)o->n_gradients + 1, sizeof(*outputs)), rc;

    if (!outputs)
        return error_set(err, -ENOMEM, "out of memory for %d gradients", o->n_gradients);
    outputs[options.n_outputs++] = o->loss;
    for (int i = 0; i < o->n_gradients; i++) {
        if (o->gradients[i] >= 0)
            outputs[options.n_outputs++] = o->gradients[i];
    }
    options.outputs = outputs;
    rc = plan_create(device, p, t->parameters, &options, &t->plan, err);
    free(outputs);
    if (rc == 0)
        rc = executor_create(t->plan, NULL, &t->executor, err);
    return rc < 0 ? rc : denoiser_write_tables(t->formulation, t->parameters, err);
}

static int create_arrays(struct trainer *t, struct error *err)
{
    const struct architecture *a = &t->formulation->architecture;
    size_t n = parameters_count(t->parameters);
    void *weights = NULL;
    int rc = parameters_keep(t->parameters, &weights, err);

    if (rc < 0)
        return rc;
    t->state.n = n;
    t->state.weights = weights;
    t->state.ema = calloc(n, sizeof(float));
    t->state.m = calloc(n, sizeof(float));
    t->state.v = calloc(n, sizeof(float));
    t->gradient = calloc(n, sizeof(float)); /* stays 0 where a parameter is frozen */
    t->state.gradient = t->gradient;
    t->image = malloc((size_t)(a->image_size * a->image_size * a->num_channels) * sizeof(float));
    t->losses = calloc((size_t)t->batch, sizeof(float));
    if (!t->state.ema || !t->state.m || !t->state.v || !t->gradient || !t->image || !t->losses)
        return error_set(err, -ENOMEM, "out of memory for an optimiser of %zu parameters", n);
    return 0;
}

int trainer_create(struct device *device, const struct formulation *f, const struct recipe *r,
                   const struct trainer_options *options, struct trainer **out, struct error *err)
{
    struct objective_options objective = {.loss = r->loss, .dropout = f->architecture.dropout > 0};
    struct trainer *t = calloc(1, sizeof(*t));
    struct program *p = NULL;
    int rc;

    if (!t)
        return error_set(err, -ENOMEM, "out of memory for a trainer");
    t->formulation = f;
    t->options = r->optimizer;
    for (int i = 0; i < BALANCE_TIMES; i++)
        t->balance[i] = 1;
    t->batch = r->batch;
    rc = pool_create(options->n_threads, &t->pool, err);
    if (rc == 0)
        rc = program_create(&p, err);
    if (rc == 0)
        rc = objective_append(p, f, &objective, &t->objective, err);
    if (rc == 0)
        rc = parameters_create(device, p, &t->parameters, err);
    if (rc == 0)
        rc = create_plan(t, device, p, options->precision, err);
    if (rc == 0)
        rc = create_arrays(t, err);
    if (rc < 0)
        goto fail;
    ncsnpp_init(&f->architecture, t->parameters, r->seed, t->state.weights);
    memcpy(t->state.ema, t->state.weights, t->state.n * sizeof(float));
    rc = trainer_changed(t, err);
    if (rc < 0)
        goto fail;
    program_destroy(p);
    *out = t;
    return 0;

fail:
    program_destroy(p);
    trainer_destroy(t);
    return rc;
}

void trainer_destroy(struct trainer *t)
{
    if (!t)
        return;
    executor_destroy(t->executor);
    plan_destroy(t->plan);
    pool_destroy(t->pool);
    parameters_destroy(t->parameters);
    objective_fini(&t->objective);
    free(t->state.ema);
    free(t->state.m);
    free(t->state.v);
    free(t->gradient);
    free(t->image);
    free(t->losses);
    free(t);
}

/* The loss that a time is measured by, between the table's times on a logarithmic scale. */
static double balance_at(const struct trainer *t, double time)
{
    double place = time * (BALANCE_TIMES - 1);
    int i = place < BALANCE_TIMES - 1 ? (int)place : BALANCE_TIMES - 2;

    return t->balance[i] * pow(t->balance[i + 1] / t->balance[i], place - i);
}

static int write_batch(struct trainer *t, const struct dataset *d, const struct example *examples,
                       struct error *err)
{
    for (int i = 0; i < t->batch; i++) {
        const struct example *e = &examples[i];
        int rc;

        dataset_image(d, e->image, e->mirrored, t->image);
        rc = executor_write(t->executor, t->objective.x0, i, 1, t->image, err);
        if (rc < 0)
            return rc;
        objective_write_time(&t->objective, t->formulation, t->executor, i, e->t,
                             1 / (balance_at(t, e->t) * t->batch), &e->key);
    }
    return 0;
}

/* Fills the table with the losses of the network as it is. */
static int measure_balance(struct trainer *t, const struct dataset *d, uint64_t seed,
                           struct error *err)
{
    struct example *examples = calloc((size_t)t->batch, sizeof(*examples));
    double measured[BALANCE_TIMES] = {0};
    int rc = examples ? 0 : error_set(err, -ENOMEM, "out of memory to balance the losses");

    for (int k = 0; rc == 0 && k < BALANCE_TIMES; k++) {
        for (int i = 0; i < t->batch; i++) {
            uint32_t number = (uint32_t)(k * t->batch + i);

            examples[i].image = (int)(number % (uint32_t)d->n);
            examples[i].t = fmax((double)k / (BALANCE_TIMES - 1), 1e-5);
            examples[i].key = philox_key(seed, number, UINT32_MAX);
        }
        rc = write_batch(t, d, examples, err);
        if (rc == 0)
            rc = executor_run(t->executor, t->batch, err);
        if (rc == 0)
            rc = executor_read(t->executor, t->objective.loss, 0, t->batch, t->losses, err);
        for (int i = 0; rc == 0 && i < t->batch; i++)
            measured[k] += (double)t->losses[i] / t->batch;
        if (rc == 0 && !(isfinite(measured[k]) && measured[k] > 0))
            rc = error_set(err, -EIO, "an untrained network has a loss of %g", measured[k]);
    }
    if (rc == 0)
        memcpy(t->balance, measured, sizeof(measured));
    free(examples);
    return rc;
}

int trainer_balance(struct trainer *t, const struct dataset *d, uint64_t seed, struct error *err)
{
    /* The last convolution, whose weight and bias are declared last, makes F. */
    int last = parameters_n(t->parameters) - 2, rc;
    size_t first = parameters_offset(t->parameters, last), n = t->state.n - first;
    float *kept = malloc(n * sizeof(*kept));

    if (!kept)
        return error_set(err, -ENOMEM, "out of memory to balance the losses");
    memcpy(kept, t->state.weights + first, n * sizeof(*kept));
    memset(t->state.weights + first, 0, n * sizeof(*kept));
    rc = trainer_changed(t, err);
    if (rc == 0)
        rc = measure_balance(t, d, seed, err);
    memcpy(t->state.weights + first, kept, n * sizeof(*kept));
    free(kept);
    return rc < 0 ? rc : trainer_changed(t, err);
}

static int read_gradients(struct trainer *t, struct error *err)
{
    for (int i = 0; i < t->objective.n_gradients; i++) {
        int value = t->objective.gradients[i], rc;

        if (value < 0)
            continue;
        rc = executor_read(t->executor, value, 0, 1,
                           t->gradient + parameters_offset(t->parameters, i), err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int trainer_step(struct trainer *t, const struct dataset *d, const struct example *examples,
                 uint64_t step, struct trainer_report *report, struct error *err)
{
    double times[4] = {1e3 * clock_seconds()}, loss = 0, norm;
    int rc;

    rc = write_batch(t, d, examples, err);
    if (rc < 0)
        return rc;
    times[1] = 1e3 * clock_seconds();
    rc = executor_run(t->executor, t->batch, err);
    if (rc < 0)
        return rc;
    times[2] = 1e3 * clock_seconds();
    rc = executor_read(t->executor, t->objective.loss, 0, t->batch, t->losses, err);
    if (rc == 0)
        rc = read_gradients(t, err);
    if (rc < 0)
        return rc;
    for (int i = 0; i < t->batch; i++)
        loss += (double)t->losses[i] / t->batch;
    norm = optimizer_norm(t->pool, t->gradient, t->state.n);
    if (!isfinite(loss) || !isfinite(norm))
        return error_set(err, -ERANGE, "step %llu: loss %g, gradient norm %g",
                         (unsigned long long)step, loss, norm);
    optimizer_update(&t->options, t->pool, step, norm, &t->state);
    rc = trainer_changed(t, err);
    if (rc < 0)
        return rc;
    times[3] = 1e3 * clock_seconds();
    *report = (struct trainer_report){.loss = loss,
                                      .losses = t->losses,
                                      .grad_norm = norm,
                                      .lr = optimizer_lr(&t->options, step),
                                      .batch_ms = times[1] - times[0],
                                      .run_ms = times[2] - times[1],
                                      .update_ms = times[3] - times[2]};
    return 0;
}

const struct optimizer_state *trainer_state(const struct trainer *t)
{
    return &t->state;
}

int trainer_changed(struct trainer *t, struct error *err)
{
    return parameters_repack(t->parameters, err);
}

struct parameters *trainer_parameters(struct trainer *t)
{
    return t->parameters;
}

enum precision trainer_precision(const struct trainer *t)
{
    return plan_precision(t->plan);
}

size_t trainer_memory_bytes(const struct trainer *t)
{
    return executor_memory_bytes(t->executor) + 5 * t->state.n * sizeof(float);
}
