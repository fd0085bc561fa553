#include "tools/bench/cases.h"
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/base/trace.h"
#include "engine/base/watch.h"
#include "engine/executor.h"
#include "engine/parameters.h"
#include "engine/plan.h"
#include "engine/program.h"
#include "model/checkpoint.h"
#include "model/ncsnpp.h"
#include "model/objective.h"
#include "tools/bench/bench.h"
#include "tools/bench/machine_load.h"
#include "tools/bench/samples.h"
#include "tools/stop.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* phi alone, as when serving. */
static int build_inference(const struct bench *b, struct bench_case *c, struct error *err)
{
    const struct formulation *f = &b->checkpoint->formulation;
    const struct architecture *a = &f->architecture;
    struct plan_options options = {.precision = c->precision,
                                   .batch_max = c->batch,
                                   .n_outputs = 1};
    int x, time_cond, phi, rc;

    x = program_input(c->program, "x", shape_images(a->image_size, a->image_size, a->num_channels),
                      VALUE_EXACT);
    time_cond = program_input(c->program, "time_cond", shape_vectors(1), VALUE_EXACT);
    rc = ncsnpp_append(c->program, a, x, time_cond, -1, -1, -1, NULL, &phi, err);
    if (rc == 0)
        rc = parameters_create(c->device, c->program, &c->parameters, err);
    options.outputs = &phi;
    if (rc == 0)
        rc = plan_create(c->device, c->program, c->parameters, &options, &c->plan, err);
    if (rc == 0)
        rc = executor_create(c->plan, NULL, &c->executor, err);
    if (rc == 0)
        rc = parameters_load(c->parameters, b->checkpoint->weights, err);
    for (int i = 0; i < c->batch && rc == 0; i++) {
        size_t count = (size_t)(a->image_size * a->image_size * a->num_channels);
        struct philox_key key = philox_key(0, (uint32_t)i, 0);
        float time = formulation_time_cond(f, (i + 0.5) / c->batch);
        float *image = malloc(count * sizeof(*image));

        if (!image)
            return error_set(err, -ENOMEM, "out of memory for an image");
        philox_uniforms(&key, PHILOX_STREAM_START, count, image);
        rc = executor_write(c->executor, x, i, 1, image, err);
        if (rc == 0)
            rc = executor_write(c->executor, time_cond, i, 1, &time, err);
        free(image);
    }
    return rc;
}

/* Loss and gradients, as when training. */
static int build_training(const struct bench *b, struct bench_case *c, struct error *err)
{
    const struct formulation *f = &b->checkpoint->formulation;
    struct objective_options objective = {.dropout = f->architecture.dropout > 0};
    struct plan_options options = {.precision = c->precision, .batch_max = c->batch};
    struct objective o = {0};
    size_t n_pixels = (size_t)f->architecture.image_size * (size_t)f->architecture.image_size *
                      (size_t)f->architecture.num_channels;
    float *image = NULL;
    int *outputs = NULL, rc;

    rc = objective_append(c->program, f, &objective, &o, err);
    if (rc == 0)
        rc = parameters_create(c->device, c->program, &c->parameters, err);
    if (rc < 0)
        goto out;
    outputs = calloc((size_t)o.n_gradients + 1, sizeof(*outputs));
    image = malloc(n_pixels * sizeof(*image));
    if (!outputs || !image) {
        rc = error_set(err, -ENOMEM, "out of memory for %d gradients", o.n_gradients);
        goto out;
    }
    outputs[options.n_outputs++] = o.loss;
    for (int i = 0; i < o.n_gradients; i++) {
        if (o.gradients[i] >= 0)
            outputs[options.n_outputs++] = o.gradients[i];
    }
    options.outputs = outputs;
    rc = plan_create(c->device, c->program, c->parameters, &options, &c->plan, err);
    if (rc == 0)
        rc = executor_create(c->plan, NULL, &c->executor, err);
    if (rc == 0)
        rc = parameters_load(c->parameters, b->checkpoint->weights, err);
    if (rc == 0)
        rc = denoiser_write_tables(f, c->parameters, err);
    /* Both inboxes, since nothing is written between the runs that are timed. */
    for (int i = 0; i < 2 * c->batch && rc == 0; i++) {
        struct philox_key key = philox_key(0, (uint32_t)i, 0);
        int row = i % c->batch;

        philox_uniforms(&key, PHILOX_STREAM_START, n_pixels, image);
        if (i == c->batch)
            rc = executor_run(c->executor, c->batch, err);
        if (rc == 0)
            rc = executor_write(c->executor, o.x0, row, 1, image, err);
        objective_write_row(&o, f, c->executor, row,
                            &(struct objective_row){.t = (row + 0.5) / c->batch,
                                                    .dloss = 1.0 / c->batch,
                                                    .key = key});
    }

out:
    free(outputs);
    free(image);
    objective_fini(&o);
    return rc;
}

static int build_case(const struct bench *b, struct bench_case *c, struct error *err)
{
    int rc;

    c->wall_ms = calloc((size_t)b->options->rounds, sizeof(double));
    c->cpu_ms = calloc((size_t)b->options->rounds, sizeof(double));
    if (!c->wall_ms || !c->cpu_ms)
        return error_set(err, -ENOMEM, "out of memory for the times");
    rc = b->options->train
             ? objective_precision(c->device, c->precision, &c->precision, err)
             : device_base(c->device)->ops->precision(c->device, c->precision, &c->precision, err);
    if (rc == 0)
        rc = identity_of(c->device, c->precision, c->identity, err);
    if (rc == 0)
        rc = program_create(&c->program, err);
    if (rc == 0)
        rc = b->options->train ? build_training(b, c, err) : build_inference(b, c, err);
    if (rc == 0)
        rc = executor_run(c->executor, c->batch, err); /* warm-up */
    return rc;
}

static void fini_case(struct bench_case *c)
{
    executor_destroy(c->executor);
    plan_destroy(c->plan);
    parameters_destroy(c->parameters);
    program_destroy(c->program);
    free(c->wall_ms);
    free(c->cpu_ms);
}

int cases_create(struct bench *b, struct bench_case **out, int *n, struct error *err)
{
    int n_of_device = b->n_batches * b->n_precisions, n_cases = b->n_devices * n_of_device, rc = 0;
    struct bench_case *cases = calloc((size_t)n_cases, sizeof(*cases));

    if (!cases)
        return error_set(err, -ENOMEM, "out of memory for %d combinations", n_cases);
    for (int i = 0; i < n_cases && rc == 0; i++) {
        struct bench_case *c = &cases[i];
        int device = i / n_of_device;

        c->device = b->devices[device];
        c->n_threads = b->n_threads[device];
        c->batch = b->batches[i % n_of_device / b->n_precisions];
        c->precision = b->precisions[i % b->n_precisions];
        rc = build_case(b, c, err);
    }
    if (rc < 0) {
        cases_destroy(cases, n_cases);
        return rc;
    }
    *out = cases;
    *n = n_cases;
    return 0;
}

void cases_destroy(struct bench_case *cases, int n)
{
    for (int i = 0; cases && i < n; i++)
        fini_case(&cases[i]);
    free(cases);
}

static double process_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

/* Of a trace: what all cases are called there, and where. */
struct runs {
    struct trace_track *track;
    const struct trace_label *label;
};

static int measure_run(struct bench_case *c, const struct runs *runs, struct error *err)
{
    double begin = clock_seconds(), cpu = process_ms(), end;
    int rc = executor_run(c->executor, c->batch, err);

    if (rc < 0)
        return rc;
    end = clock_seconds();
    c->cpu_ms[c->n_samples] = process_ms() - cpu;
    c->wall_ms[c->n_samples] = 1e3 * (end - begin);
    c->n_samples++;
    if (runs->track)
        trace_add(runs->track, runs->label, begin, end,
                  (const int[TRACE_NUMBERS]){c->batch, c->n_threads});
    return 0;
}

static const char *what_is_measured(const struct bench *b)
{
    return b->options->train ? "loss and gradients" : "one network evaluation";
}

static int begin_trace(struct bench *b, struct bench_case *cases, int n, struct runs *out,
                       struct error *err)
{
    static const char *const keys[TRACE_NUMBERS] = {"images", "threads"};
    int rc = trace_find_track(b->trace, "runs", &out->track, err);

    if (rc == 0)
        rc = trace_add_label(b->trace, what_is_measured(b), NULL, keys, &out->label, err);
    for (int i = 0; i < n && rc == 0; i++)
        rc = executor_trace(cases[i].executor, b->trace, err);
    return rc;
}

static void print_case(const struct bench_case *c, double median, double p10, double cpu)
{
    printf("%8d %8d %10s %12.3f %12.3f %12.3f %12.3f %6d  %s\n", c->batch, c->n_threads,
           precision_name(c->precision), median, p10, cpu, median / c->batch, c->n_samples,
           c->identity);
}

static int report(const struct bench *b, struct bench_case *cases, int n_cases, double foreign,
                  struct error *err)
{
    json_t *rows = json_array();

    if (!b->options->json) {
        bench_print_head(b, what_is_measured(b), foreign);
        printf("%8s %8s %10s %12s %12s %12s %12s %6s  %s\n", "batch", "threads", "precision", "ms",
               "ms p10", "cpu ms", "ms/image", "n", "determinism id");
    }
    for (int i = 0; i < n_cases; i++) {
        struct bench_case *c = &cases[i];
        double median, p10, cpu, cpu10;
        int n = c->n_samples;

        samples_sort(n, c->wall_ms);
        samples_sort(n, c->cpu_ms);
        median = samples_quantile(n, c->wall_ms, 0.5);
        p10 = samples_quantile(n, c->wall_ms, 0.1);
        cpu = samples_quantile(n, c->cpu_ms, 0.5);
        cpu10 = samples_quantile(n, c->cpu_ms, 0.1);
        if (!b->options->json)
            print_case(c, median, p10, cpu);
        json_array_append_new(rows,
                              json_pack("{s:i, s:i, s:s, s:f, s:f, s:f, s:f, s:i, s:s}", "batch",
                                        c->batch, "threads", c->n_threads, "precision",
                                        precision_name(c->precision), "wall_ms", median,
                                        "wall_ms_p10", p10, "cpu_ms", cpu, "cpu_ms_p10", cpu10, "n",
                                        n, "determinism_id", c->identity));
    }
    if (b->options->json)
        return bench_print_json(b, b->options->train ? "train" : "evaluate", foreign, rows, err);
    json_decref(rows);
    return 0;
}

int cases_measure(struct bench *b, struct bench_case *cases, int n, struct error *err)
{
    struct machine_load load = machine_load_now();
    double start_s = clock_seconds();
    struct runs runs = {NULL, NULL};
    int rc = b->trace ? begin_trace(b, cases, n, &runs, err) : 0;

    for (int round = 0; rc == 0 && bench_goes_on(b, round, start_s); round++) {
        for (int i = 0; i < n && rc == 0 && !watch_stop(b->watch); i++)
            rc = measure_run(&cases[i], &runs, err);
        if (cases[n - 1].n_samples > 0) /* there is something to tell */
            stop_must_not_end();
    }
    if (rc == 0 && cases[n - 1].n_samples > 0)
        rc = report(b, cases, n, machine_load_foreign(&load), err);
    return rc < 0 ? rc : bench_end(b, cases[n - 1].n_samples, err);
}
