#include "tools/train/trainer.h"
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/communicator/communicator.h"
#include "engine/executor.h"
#include "engine/parameters.h"
#include "engine/plan.h"
#include "engine/program.h"
#include "engine/state.h"
#include "model/ncsnpp.h"
#include "tools/train/recipe.h"
#include "tools/train/trainer_parts.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Appends what adds the gradients up in the order of the weights. */
static void append_sums(struct trainer *t, struct program *p)
{
    const struct objective *o = &t->objective;
    int count = (int)parameters_count(t->parameters);

    t->gradient = program_state(p, UPDATE_GRADIENT, shape_constant(1, &count));
    for (int i = 0; i < o->n_gradients; i++) {
        if (o->gradients[i] >= 0)
            program_sum_into(p, t->gradient, (int)parameters_offset(t->parameters, i),
                             o->gradients[i]);
    }
}

static int make_plan(struct trainer *t, struct device *device, const struct program *p,
                     const struct plan_options *options, struct plan **plan,
                     struct executor **executor, struct error *err)
{
    int rc = plan_create(device, p, t->parameters, options, plan, err);

    if (rc == 0)
        rc = state_declare(t->state, p, err);
    return rc < 0 ? rc : executor_create(*plan, t->state, executor, err);
}

static int make_plans(struct trainer *t, struct device *device, const struct program *gradients,
                      const struct program *update, enum precision precision, struct error *err)
{
    struct plan_options options = {.precision = precision,
                                   .batch_max = t->part,
                                   .whole = t->batch,
                                   .n_outputs = 1,
                                   .outputs = &t->objective.loss};
    int count = (int)parameters_count(t->parameters), rc;
    void *weights = NULL;

    rc = state_create(device, 1, &t->state, err);
    if (rc == 0)
        rc = parameters_keep(t->parameters, &weights, err);
    if (rc == 0)
        rc = state_bind(t->state, UPDATE_WEIGHTS, shape_constant(1, &count), weights, err);
    if (rc == 0)
        rc = make_plan(t, device, gradients, &options, &t->plan, &t->executor, err);
    options.batch_max = options.whole = 1;
    options.outputs = &t->update.norm;
    if (rc == 0)
        rc = make_plan(t, device, update, &options, &t->update_plan, &t->update_executor, err);
    return rc < 0 ? rc : denoiser_write_tables(t->formulation, t->parameters, err);
}

static int build(struct trainer *t, struct device *device, const struct recipe *r,
                 enum precision precision, struct error *err)
{
    const struct recipe_objective *o = &r->objective;
    struct objective_options objective = {.loss = o->loss,
                                          .weight = o->weight == RECIPE_WEIGHT_ONE
                                                        ? LOSS_WEIGHT_ONE
                                                        : LOSS_WEIGHT_SIGMA,
                                          .look_ahead = o->look_ahead > 0,
                                          .residual = (float)o->residual,
                                          .perturbation = (float)o->perturbation,
                                          .colors = o->colors,
                                          .dropout = t->formulation->architecture.dropout > 0};
    struct program *gradients = NULL, *update = NULL;
    int rc = objective_precision(device, precision, &precision, err);

    if (rc == 0)
        rc = program_create(&gradients, err);
    if (rc == 0)
        rc = program_create(&update, err);
    if (rc == 0)
        rc = objective_append(gradients, t->formulation, &objective, &t->objective, err);
    if (rc == 0)
        rc = parameters_create(device, gradients, &t->parameters, err);
    if (rc == 0)
        rc = update_append(update, parameters_count(t->parameters), r->optimizer.n_averages,
                           &t->update, err);
    if (rc == 0) {
        append_sums(t, gradients);
        rc = program_check(gradients, err);
    }
    if (rc == 0)
        rc = make_plans(t, device, gradients, update, precision, err);
    program_destroy(gradients);
    program_destroy(update);
    return rc;
}

static int draw_weights(struct trainer *t, const struct recipe *r, struct error *err)
{
    float *weights = malloc(trainer_count(t) * sizeof(*weights));
    int rc;

    if (!weights)
        return error_set(err, -ENOMEM, "out of memory for the weights of a network");
    ncsnpp_init(&t->formulation->architecture, t->parameters, r->seed, weights);
    rc = trainer_begin_with(t, weights, err);
    free(weights);
    return rc;
}

/* Among ranks, and a rank's share among runs. */
static int divide_batch(struct trainer *t, int n_runs, struct error *err)
{
    int n_ranks = t->communicator->n_ranks;

    if (n_runs < 1 || t->batch % n_ranks != 0 || t->batch / n_ranks % n_runs != 0)
        return error_set(err, -EINVAL,
                         "a batch of %d cannot be divided among %d ranks with %d runs each",
                         t->batch, n_ranks, n_runs);
    t->share = t->batch / n_ranks;
    t->part = t->share / n_runs;
    return 0;
}

int trainer_create(struct device *device, const struct formulation *f, const struct recipe *r,
                   const struct trainer_options *options, struct trainer **out, struct error *err)
{
    struct trainer *t = calloc(1, sizeof(*t));
    int rc;

    if (!t)
        return error_set(err, -ENOMEM, "out of memory for a trainer");
    t->formulation = f;
    t->communicator = options->communicator;
    t->options = r->optimizer;
    t->look_ahead = r->objective.look_ahead;
    t->augment = r->augment;
    t->image = calloc((size_t)f->architecture.image_size * (size_t)f->architecture.image_size * 3,
                      sizeof(*t->image));
    for (int i = 0; i < BALANCE_TIMES; i++)
        t->balance[i] = 1;
    t->batch = r->batch;
    t->losses = calloc((size_t)t->batch, sizeof(float));
    if (!t->losses || !t->image)
        rc = error_set(err, -ENOMEM, "out of memory for a trainer");
    else
        rc = divide_batch(t, options->n_runs, err);
    if (rc == 0)
        rc = build(t, device, r, options->precision, err);
    if (rc == 0)
        rc = draw_weights(t, r, err);
    if (rc < 0) {
        trainer_destroy(t);
        return rc;
    }
    *out = t;
    return 0;
}

void trainer_destroy(struct trainer *t)
{
    if (!t)
        return;
    executor_destroy(t->executor);
    executor_destroy(t->update_executor);
    plan_destroy(t->plan);
    plan_destroy(t->update_plan);
    state_destroy(t->state);
    parameters_destroy(t->parameters);
    objective_fini(&t->objective);
    free(t->losses);
    free(t->image);
    free(t);
}

/* The second half of a step. */
static int update(struct trainer *t, uint64_t step, float *norm, struct error *err)
{
    struct update_numbers numbers = optimizer_numbers(&t->options, step);
    int rc = executor_reduce(t->executor, t->gradient, t->communicator, err);

    if (rc < 0)
        return rc;
    update_write(&t->update, t->update_executor, &numbers);
    rc = executor_run(t->update_executor, 1, err);
    if (rc == 0)
        rc = executor_read(t->update_executor, t->update.norm, 0, 1, norm, err);
    return rc < 0 ? rc : parameters_repack(t->parameters, err);
}

int trainer_step(struct trainer *t, const struct dataset *d, const struct example *examples,
                 const struct example *next, uint64_t step, struct trainer_report *report,
                 struct error *err)
{
    struct trainer_report r = {.losses = t->losses, .lr = optimizer_lr(&t->options, step)};
    float norm = 0;
    double begun = clock_seconds(), start;
    int rc = trainer_run_batch(t, d, examples, next, step, &r, err);

    if (rc < 0)
        return rc;
    start = clock_seconds();
    if (isfinite(r.loss))
        rc = update(t, step, &norm, err);
    else
        rc = state_clear(t->state, UPDATE_GRADIENT, err);
    rc = communicator_agree(t->communicator, rc, err);
    if (rc < 0)
        return rc;
    r.update_ms = 1e3 * (clock_seconds() - start);
    r.step_ms = 1e3 * (clock_seconds() - begun);
    r.grad_norm = (double)norm;
    r.skipped = !isfinite(r.loss) || !isfinite(norm);
    *report = r;
    return 0;
}

/* The weights themselves are in the state as the kernels want them. */
int trainer_read(struct trainer *t, const struct optimizer_state *out, struct error *err)
{
    struct optimizer_array arrays[OPTIMIZER_ARRAYS_MAX];
    int n = optimizer_state_list(out, arrays);
    int rc = parameters_read(t->parameters, out->weights, err);

    for (int i = 1; i < n && rc == 0; i++)
        rc = state_read(t->state, arrays[i].state_name, 0, arrays[i].values, err);
    return rc;
}

int trainer_write(struct trainer *t, const struct optimizer_state *in, struct error *err)
{
    struct optimizer_array arrays[OPTIMIZER_ARRAYS_MAX];
    int n = optimizer_state_list(in, arrays);
    int rc = parameters_load(t->parameters, in->weights, err);

    for (int i = 1; i < n && rc == 0; i++)
        rc = state_write(t->state, arrays[i].state_name, 0, arrays[i].values, err);
    return rc;
}

int trainer_read_ema(struct trainer *t, float *out, struct error *err)
{
    return state_read(t->state, UPDATE_EMA, 0, out, err);
}

int trainer_read_average(struct trainer *t, int i, float *out, struct error *err)
{
    return state_read(t->state, update_average_names[i], 0, out, err);
}

int trainer_begin_with(struct trainer *t, const float *weights, struct error *err)
{
    int rc = parameters_load(t->parameters, weights, err);

    if (rc == 0)
        rc = state_write(t->state, UPDATE_EMA, 0, weights, err);
    for (int i = 0; i < t->options.n_averages && rc == 0; i++)
        rc = state_write(t->state, update_average_names[i], 0, weights, err);
    return rc;
}

int trainer_share(struct trainer *t, struct error *err)
{
    struct communicator *c = t->communicator;
    struct optimizer_array arrays[OPTIMIZER_ARRAYS_MAX];
    struct optimizer_state s;
    int n, rc;

    if (c->n_ranks == 1)
        return 0;
    rc = optimizer_state_init(&s, trainer_count(t), t->options.n_averages);
    n = optimizer_state_list(&s, arrays);
    if (rc < 0)
        error_set(err, rc, "out of memory for the weights of a network");
    if (rc == 0 && c->rank == 0)
        rc = trainer_read(t, &s, err);
    rc = communicator_agree(c, rc, err);
    for (int i = 0; i < n && rc == 0; i++)
        rc = communicator_broadcast(c, arrays[i].values, s.n * sizeof(float), err);
    if (rc == 0)
        rc = communicator_broadcast(c, t->balance, sizeof(t->balance), err);
    if (rc == 0 && c->rank != 0)
        rc = trainer_write(t, &s, err);
    optimizer_state_fini(&s);
    return communicator_agree(c, rc, err);
}

int trainer_weigh_colors(struct trainer *t, const float *weights, struct error *err)
{
    return parameters_write_table(t->parameters, OBJECTIVE_COLORS, weights, err);
}

size_t trainer_count(const struct trainer *t)
{
    return parameters_count(t->parameters);
}

const struct parameters *trainer_parameters(const struct trainer *t)
{
    return t->parameters;
}

enum precision trainer_precision(const struct trainer *t)
{
    return plan_precision(t->plan);
}

size_t trainer_memory_bytes(const struct trainer *t)
{
    return executor_memory_bytes(t->executor) + executor_memory_bytes(t->update_executor) +
           state_memory_bytes(t->state) + parameters_memory_bytes(t->parameters);
}

double trainer_products(const struct trainer *t)
{
    double products = 0;

    for (int i = 0; i < plan_n_steps(t->plan); i++)
        products += plan_step(t->plan, i).products;
    return products;
}
