#include "tools/train/trainer.h"
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/watch.h"
#include "engine/communicator/communicator.h"
#include "engine/executor.h"
#include "engine/parameters.h"
#include "engine/plan.h"
#include "engine/program.h"
#include "engine/state.h"
#include "model/ncsnpp.h"
#include "model/objective.h"
#include "model/update.h"
#include "tools/pictures/dataset.h"
#include "tools/train/examples.h"
#include "tools/train/recipe.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BALANCE_TIMES = 33 };

struct trainer {
    const struct formulation *formulation;
    struct communicator *communicator;
    struct optimizer_options options;
    int batch;
    int share; /* images of the batch that this rank has ... */
    int part;  /* ... and that one run has */
    struct parameters *parameters;
    struct state *state;
    struct objective objective;
    int gradient; /* state of the objective's program */
    struct plan *plan;
    struct executor *executor;
    struct update update;
    struct plan *update_plan;
    struct executor *update_executor;
    float *losses;                 /* [batch] */
    double look_ahead;             /* largest of the examples */
    double balance[BALANCE_TIMES]; /* losses at equally spaced times; 1: not balanced */
};

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
    for (int i = 0; i < BALANCE_TIMES; i++)
        t->balance[i] = 1;
    t->batch = r->batch;
    t->losses = calloc((size_t)t->batch, sizeof(float));
    if (!t->losses)
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
    free(t);
}

/* The loss that a time is measured by, between the table's times on a logarithmic scale. */
static double balance_at(const struct trainer *t, double time)
{
    double place = time * (BALANCE_TIMES - 1);
    int i = place < BALANCE_TIMES - 1 ? (int)place : BALANCE_TIMES - 2;

    return t->balance[i] * pow(t->balance[i + 1] / t->balance[i], place - i);
}

/* Images [first, first + t->part) of the batch. */
static int write_part(struct trainer *t, const struct dataset *d, const struct example *examples,
                      int first, struct error *err)
{
    int rc = 0;

    for (int i = 0; i < t->part && rc == 0; i++) {
        const struct example *e = &examples[first + i];

        rc = dataset_image(d, e->image, e->mirrored, executor_row(t->executor, t->objective.x0, i),
                           err);
        objective_write_row(&t->objective, t->formulation, t->executor, i,
                            &(struct objective_row){.t = e->t,
                                                    .ahead = e->ahead,
                                                    .dloss = 1 / (balance_at(t, e->t) * t->batch),
                                                    .label = d->labels && !e->unlabelled
                                                                 ? d->labels[e->image]
                                                                 : 0,
                                                    .key = e->key});
    }
    return rc;
}

/* Adds what these images give to the gradient, and leaves their losses in their place. Adds to the times
 * of the report. */
static int run_part(struct trainer *t, const struct dataset *d, const struct example *examples,
                    int first, struct trainer_report *report, struct error *err)
{
    double start = clock_seconds(), written;
    int rc;

    rc = write_part(t, d, examples, first, err);
    written = clock_seconds();
    if (rc == 0)
        rc = executor_run(t->executor, t->part, err);
    if (rc == 0)
        rc = executor_read(t->executor, t->objective.loss, 0, t->part, t->losses + first, err);
    report->batch_ms += 1e3 * (written - start);
    report->run_ms += 1e3 * (clock_seconds() - written);
    return rc;
}

/* Fills the table with the losses of the network as it is. */
static int measure_balance(struct trainer *t, const struct dataset *d, uint64_t seed,
                           const struct watch *watch, struct error *err)
{
    struct example *examples = calloc((size_t)t->batch, sizeof(*examples));
    double measured[BALANCE_TIMES] = {0};
    struct trainer_report report = {0};
    int rc = examples ? 0 : error_set(err, -ENOMEM, "out of memory to balance the losses");

    for (int k = 0; rc == 0 && k < BALANCE_TIMES; k++) {
        for (int i = 0; i < t->batch; i++) {
            uint32_t number = (uint32_t)(k * t->batch + i);

            examples[i].image = (int)(number % (uint32_t)d->n);
            examples[i].t = fmax((double)k / (BALANCE_TIMES - 1), 1e-5);
            examples[i].ahead = t->look_ahead * (i + 0.5) / t->batch;
            examples[i].key = philox_key(seed, number, UINT32_MAX);
        }
        rc = watch_stop(watch) ? error_set(err, -ECANCELED, "stopped balancing the losses") : 0;
        for (int first = 0; first < t->batch && rc == 0; first += t->part)
            rc = run_part(t, d, examples, first, &report, err);
        watch_progress(watch, "balancing losses", k + 1, BALANCE_TIMES);
        for (int i = 0; rc == 0 && i < t->batch; i++)
            measured[k] += (double)t->losses[i] / t->batch;
        if (k > 0 && measured[k] == 0) /* nothing is left to see, and to lose */
            measured[k] = measured[k - 1];
        if (rc == 0 && !(isfinite(measured[k]) && measured[k] > 0))
            rc = error_set(err, -EIO, "an untrained network has a loss of %g", measured[k]);
    }
    if (rc == 0)
        memcpy(t->balance, measured, sizeof(measured));
    free(examples);
    return rc < 0 ? rc : state_clear(t->state, UPDATE_GRADIENT, err);
}

int trainer_balance(struct trainer *t, const struct dataset *d, uint64_t seed,
                    const struct watch *watch, struct error *err)
{
    /* The last convolution, whose weight and bias are declared last, makes F. */
    size_t first = parameters_offset(t->parameters, parameters_n(t->parameters) - 2);
    size_t n = trainer_count(t);
    float *kept = malloc(2 * n * sizeof(*kept)), *silent;
    int rc;

    if (!kept)
        return error_set(err, -ENOMEM, "out of memory to balance the losses");
    silent = kept + n;
    rc = parameters_read(t->parameters, kept, err);
    if (rc == 0) {
        memcpy(silent, kept, first * sizeof(*kept));
        memset(silent + first, 0, (n - first) * sizeof(*kept));
        rc = parameters_load(t->parameters, silent, err);
    }
    if (rc == 0)
        rc = measure_balance(t, d, seed, watch, err);
    if (rc == 0)
        rc = parameters_load(t->parameters, kept, err);
    free(kept);
    return rc;
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

/* The first half of a step: the gradient of this rank's share, and the losses of all. */
static int run_batch(struct trainer *t, const struct dataset *d, const struct example *examples,
                     struct trainer_report *report, struct error *err)
{
    int first = t->communicator->rank * t->share, rc = 0;

    for (int done = 0; done < t->share && rc == 0; done += t->part)
        rc = run_part(t, d, examples, first + done, report, err);
    rc = communicator_agree(t->communicator, rc, err);
    if (rc == 0)
        rc = communicator_gather(t->communicator, t->losses, (size_t)t->share * sizeof(float), err);
    for (int i = 0; i < t->batch && rc == 0; i++)
        report->loss += (double)t->losses[i] / t->batch;
    return rc;
}

int trainer_step(struct trainer *t, const struct dataset *d, const struct example *examples,
                 uint64_t step, struct trainer_report *report, struct error *err)
{
    struct trainer_report r = {.losses = t->losses, .lr = optimizer_lr(&t->options, step)};
    float norm = 0;
    double start;
    int rc = run_batch(t, d, examples, &r, err);

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
