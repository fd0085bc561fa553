#include "tools/bench/roofline.h"
#include "engine/base/choice.h"
#include "engine/base/error.h"
#include "engine/choices.h"
#include "engine/device.h"
#include "engine/plan.h"
#include "engine/program.h"
#include "model/checkpoint.h"
#include "tools/bench/bench.h"
#include "tools/bench/cases.h"
#include "tools/bench/plan_table.h"
#include "tools/network.h"
#include "tools/network_specs.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rates in 1e12 a second: of tensor cores with 16-bit operands and float32 sums, dense; of float32 outside
 * them; of bytes of the memory. Measured: what a large product and a large copy reached. Else from the
 * maker's data sheets, which nothing reaches. */
static const struct gpu {
    const char *name;
    double rounded, exact, memory;
    bool measured;
} gpus[] = {
    {"H200", 767, 67, 4.28, true},  {"H100", 798, 67, 3.0, true},
    {"B200", 2250, 75, 8.0, false}, {"A100", 312, 19.5, 1.555, false},
    {"L4", 121, 30.3, 0.3, false},  {"T4", 65, 8.1, 0.32, false},
};

enum { N_GPUS = sizeof(gpus) / sizeof(gpus[0]) };

/* A node of a graph that does nothing. */
static const double launch_s = 2e-6;

enum { KEY_BYTES = CHOICES_KEY_BYTES + 128 };

/* Of a launch, or of several. */
struct cost {
    int n, n_steps;
    double flops, bytes, seconds; /* at best */
    double measured;              /* seconds, 0: nothing was */
    int n_launch, n_memory; /* those that are bound by launching and by memory; the rest compute */
};

/* Launches that are alike. */
struct row {
    char key[KEY_BYTES];
    struct cost cost;
};

/* The steps of a launch: one, or what is joined to it. */
struct launch {
    const struct plan *plan;
    struct device *device; /* NULL: there is none */
    int first, end;
};

/* What a step reads is at hand where a step before it in the launch made or read it. */
static bool is_at_hand(const struct launch *launch, int step, int value)
{
    for (int i = launch->first; i < step; i++) {
        const struct op *op = plan_step(launch->plan, i).op;

        for (int j = 0; j < op->n_inputs; j++) {
            if (op->inputs[j] == value)
                return true;
        }
        for (int j = 0; j < op->n_outputs; j++) {
            if (op->outputs[j] == value)
                return true;
        }
    }
    return false;
}

static double bytes_of(const struct launch *launch, int step, const struct kernel_spec *spec)
{
    const enum dtype compute = precision_dtype(plan_precision(launch->plan));
    const struct op *op = plan_step(launch->plan, step).op;
    double bytes = 0;

    for (int i = 0; i < spec->n_inputs; i++) {
        const struct tensor_desc *t = &spec->inputs[i];

        /* weights of products are packed; biases and norms do not count */
        if (!is_at_hand(launch, step, op->inputs[i]))
            bytes += (double)tensor_count(t) *
                     (double)dtype_size(t->parameter && t->shape.n_dims > 1 ? compute : t->dtype);
    }
    for (int i = 0; i < spec->n_outputs; i++)
        bytes +=
            (double)tensor_count(&spec->outputs[i]) * (double)dtype_size(spec->outputs[i].dtype);
    return bytes;
}

static double flops_of(const struct kernel_spec *spec)
{
    for (int i = 0; i < spec->n_inputs; i++) {
        double flops =
            spec->inputs[i].shape.batched ? 2 * op_products(spec) * spec->inputs[i].n : 0;

        if (flops > 0)
            return flops;
    }
    return 0;
}

static struct cost cost_of(const struct gpu *gpu, const struct launch *launch)
{
    struct cost cost = {.n = 1, .n_steps = launch->end - launch->first};
    double computing = 0, moving;

    for (int i = launch->first; i < launch->end; i++) {
        struct kernel_spec spec;
        double flops;

        plan_step_spec(launch->plan, i, &spec);
        flops = flops_of(&spec);
        computing +=
            1e-12 * flops / (dtype_is_rounded(spec.inputs[0].dtype) ? gpu->rounded : gpu->exact);
        cost.flops += flops;
        cost.bytes += bytes_of(launch, i, &spec);
    }
    moving = 1e-12 * cost.bytes / gpu->memory;
    cost.seconds = computing > moving ? computing : moving;
    if (cost.seconds < launch_s) {
        cost.seconds = launch_s;
        cost.n_launch = 1;
    } else if (moving > computing) {
        cost.n_memory = 1;
    }
    return cost;
}

static void cost_add(struct cost *sum, const struct cost *one)
{
    sum->n += one->n;
    sum->n_steps += one->n_steps;
    sum->flops += one->flops;
    sum->bytes += one->bytes;
    sum->seconds += one->seconds;
    sum->measured += one->measured;
    sum->n_launch += one->n_launch;
    sum->n_memory += one->n_memory;
}

static const char *bound_of(const struct cost *cost)
{
    return cost->n_launch == cost->n ? "launch" : cost->n_memory > 0 ? "memory" : "products";
}

/* The first step with its shapes and its algorithm, then what is joined to it: "+ group_norm", "+ 19 linear". */
static void key_of(const struct launch *launch, char key[KEY_BYTES])
{
    const char *algorithm =
        launch->device ? plan_table_algorithm(launch->device, launch->plan, launch->first) : NULL;
    struct kernel_spec spec;
    size_t used;

    plan_step_spec(launch->plan, launch->first, &spec);
    if (choices_key(&spec, key, NULL) < 0)
        snprintf(key, KEY_BYTES, "%s", op_name(spec.kind));
    used = strlen(key);
    if (algorithm)
        snprintf(key + used, KEY_BYTES - used, " = %s", algorithm);
    for (int i = launch->first + 1, n; i < launch->end; i += n) {
        const enum op_kind kind = plan_step(launch->plan, i).op->kind;

        for (n = 1; i + n < launch->end && plan_step(launch->plan, i + n).op->kind == kind;)
            n++;
        used = strlen(key);
        if (n > 1)
            snprintf(key + used, KEY_BYTES - used, " + %d %s", n, op_name(kind));
        else
            snprintf(key + used, KEY_BYTES - used, " + %s", op_name(kind));
    }
}

/* Counts a launch in the row of those that are like it. */
static void row_add(struct row *rows, int *n_rows, const struct launch *launch,
                    const struct cost *cost)
{
    char key[KEY_BYTES];
    int i = 0;

    key_of(launch, key);
    while (i < *n_rows && strcmp(rows[i].key, key) != 0)
        i++;
    if (i == *n_rows)
        snprintf(rows[(*n_rows)++].key, sizeof(rows->key), "%s", key);
    cost_add(&rows[i].cost, cost);
}

/* What is told of first: what takes longest, or would. */
static double weight_of(const struct cost *cost)
{
    return cost->measured > 0 ? cost->measured : cost->seconds;
}

static int by_time(const void *a, const void *b)
{
    double x = weight_of(&((const struct row *)a)->cost);
    double y = weight_of(&((const struct row *)b)->cost);

    return (x < y) - (x > y);
}

static void print_rows(struct row *rows, int n_rows, const struct cost *all)
{
    const bool measured = all->measured > 0;

    qsort(rows, (size_t)n_rows, sizeof(*rows), by_time);
    if (measured)
        printf("%9s ", "measured");
    printf("%9s %6s %5s %9s %9s  %-9s %s\n", measured ? "at best" : "us", "share", "times", "GFLOP",
           "MB", "bound by", "operation");
    for (int i = 0; i < n_rows; i++) {
        const struct cost *cost = &rows[i].cost;

        if (measured)
            printf("%9.1f ", 1e6 * cost->measured);
        printf("%9.1f %5.1f%% %5d %9.2f %9.2f  %-9s %s\n", 1e6 * cost->seconds,
               100 * weight_of(cost) / weight_of(all), cost->n, 1e-9 * cost->flops,
               1e-6 * cost->bytes, bound_of(cost), rows[i].key);
    }
    printf("\n");
}

/* Sums of a plan. device, seconds: it was measured there, step by step; or NULL. */
static int sum_plan(const struct gpu *gpu, const struct plan *plan, struct device *device,
                    const double *seconds, bool print, struct cost *all, struct error *err)
{
    struct launch launch = {.plan = plan, .device = device};
    int n = plan_n_steps(plan), n_rows = 0;
    struct row *rows = calloc((size_t)n + 1, sizeof(*rows));

    if (!rows)
        return error_set(err, -ENOMEM, "out of memory for %d operations", n);
    *all = (struct cost){0};
    for (; launch.first < n; launch.first = launch.end) {
        struct cost cost;

        for (launch.end = launch.first + 1; launch.end < n && plan_step(plan, launch.end).joined;)
            launch.end++;
        cost = cost_of(gpu, &launch);
        for (int i = launch.first; seconds && i < launch.end; i++)
            cost.measured += seconds[i];
        cost_add(all, &cost);
        row_add(rows, &n_rows, &launch, &cost);
    }
    if (print)
        print_rows(rows, n_rows, all);
    free(rows);
    return 0;
}

/* Sums of a network for a batch and a precision. */
static int sum_network(const struct gpu *gpu, const struct architecture *a, bool training,
                       int batch, enum precision precision, bool print, struct cost *all,
                       struct error *err)
{
    struct network_specs *network;
    int rc = network_specs_create(a, training, batch, precision, &network, err);

    if (rc < 0)
        return rc;
    rc = sum_plan(gpu, network_specs_plan(network), NULL, NULL, print, all, err);
    network_specs_destroy(network);
    return rc;
}

static void print_head(const struct gpu *gpu, const char *what)
{
    printf("%s, %g TFLOP/s, %g TB/s, %s: at best, from the operations of %s; ", gpu->name,
           gpu->rounded, gpu->memory,
           gpu->measured ? "as reached by a product and a copy" : "from its data sheet", what);
}

static int print_table(const struct gpu *gpu, const struct bench *b, const struct architecture *a,
                       struct error *err)
{
    const bool train = b->options->train;
    struct cost all[LIST_MAX][LIST_MAX];
    enum precision precisions[LIST_MAX];
    int rc = 0;

    print_head(gpu, train ? "loss and gradients" : "an evaluation");
    puts("nothing was measured");
    for (int i = 0; i < b->n_precisions && rc == 0; i++) {
        precisions[i] = b->precisions[i];
        if (precisions[i] == PRECISION_AUTO)
            precisions[i] = train ? PRECISION_BF16 : PRECISION_FP16;
        for (int j = 0; j < b->n_batches && rc == 0; j++)
            rc = sum_network(gpu, a, train, b->batches[j], precisions[i], i == 0 && j == 0,
                             &all[i][j], err);
    }
    if (rc < 0)
        return rc;
    printf("%9s %6s %6s %8s %9s %9s %9s %9s\n", "precision", "batch", "steps", "launches", "GFLOP",
           "MB", "ms", "evals/s");
    for (int i = 0; i < b->n_precisions; i++) {
        for (int j = 0; j < b->n_batches; j++)
            printf("%9s %6d %6d %8d %9.1f %9.1f %9.3f %9.1f\n", precision_name(precisions[i]),
                   b->batches[j], all[i][j].n_steps, all[i][j].n, 1e-9 * all[i][j].flops,
                   1e-6 * all[i][j].bytes, 1e3 * all[i][j].seconds,
                   b->batches[j] / all[i][j].seconds);
    }
    return 0;
}

int roofline_find(const char *name, struct error *err)
{
    const char *names[N_GPUS];

    for (int i = 0; i < N_GPUS; i++)
        names[i] = gpus[i].name;
    return choice_parse("GPU", name, N_GPUS, names, err);
}

int roofline_print(const struct bench *b, struct error *err)
{
    int gpu = roofline_find(b->options->roofline, err), rc;
    struct checkpoint *checkpoint;

    if (gpu < 0)
        return gpu;
    rc = network_load(b->options->model, NULL, &checkpoint, err);
    if (rc < 0)
        return rc;
    rc = print_table(&gpus[gpu], b, &checkpoint->formulation.architecture, err);
    checkpoint_destroy(checkpoint);
    return rc;
}

int roofline_print_plan(const struct bench *b, const struct bench_case *c, struct error *err)
{
    const struct gpu *gpu = &gpus[roofline_find(b->options->roofline, NULL)];
    int n = plan_n_steps(c->plan), rc;
    double *seconds = calloc((size_t)n + 1, sizeof(*seconds));
    struct cost all = {0};

    if (!seconds)
        return error_set(err, -ENOMEM, "out of memory for the times of %d steps", n);
    rc = plan_table_measure(c->plan, c->executor, b->options->rounds, seconds, err);
    if (rc == 0) {
        print_head(gpu, "a plan");
        puts("measured step by step, in us");
        rc = sum_plan(gpu, c->plan, c->device, seconds, true, &all, err);
    }
    if (rc == 0)
        printf("%d steps in %d launches, %.1f us measured, %.1f at best: %.0f %% of what can be "
               "had\n",
               all.n_steps, all.n, 1e6 * all.measured, 1e6 * all.seconds,
               100 * all.seconds / all.measured);
    free(seconds);
    return rc;
}
