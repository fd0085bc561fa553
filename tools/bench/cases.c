#include "tools/bench/cases.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/executor.h"
#include "engine/parameters.h"
#include "engine/plan.h"
#include "engine/program.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "model/ncsnpp.h"
#include "model/objective.h"
#include "tools/architecture_file.h"
#include "tools/arguments.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static int load_weights(const struct bench *b, struct bench_case *c, struct error *err)
{
    float *weights;
    int rc;

    if (b->weights)
        return parameters_load(c->parameters, b->weights, err);
    weights = malloc(parameters_count(c->parameters) * sizeof(*weights));
    if (!weights)
        return error_set(err, -ENOMEM, "out of memory for the weights of a network");
    ncsnpp_init(&b->formulation.architecture, c->parameters, 0, weights);
    rc = parameters_load(c->parameters, weights, err);
    free(weights);
    return rc;
}

/* phi alone, as when serving. */
static int build_inference(const struct bench *b, struct bench_case *c, struct error *err)
{
    const struct architecture *a = &b->formulation.architecture;
    struct plan_options options = {.precision = c->precision,
                                   .batch_max = c->batch,
                                   .n_outputs = 1};
    int x, time_cond, phi, rc;

    x = program_input(c->program, "x", shape_images(a->image_size, a->image_size, a->num_channels),
                      VALUE_EXACT);
    time_cond = program_input(c->program, "time_cond", shape_vectors(1), VALUE_EXACT);
    rc = ncsnpp_append(c->program, a, x, time_cond, -1, -1, NULL, &phi, err);
    if (rc == 0)
        rc = parameters_create(c->device, c->program, &c->parameters, err);
    options.outputs = &phi;
    if (rc == 0)
        rc = plan_create(c->device, c->program, c->parameters, &options, &c->plan, err);
    if (rc == 0)
        rc = executor_create(c->plan, NULL, &c->executor, err);
    if (rc == 0)
        rc = load_weights(b, c, err);
    for (int i = 0; i < c->batch && rc == 0; i++) {
        size_t count = (size_t)(a->image_size * a->image_size * a->num_channels);
        struct philox_key key = philox_key(0, (uint32_t)i, 0);
        float time = formulation_time_cond(&b->formulation, (i + 0.5) / c->batch);
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
    const struct formulation *f = &b->formulation;
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
        rc = load_weights(b, c, err);
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
        objective_write_time(&o, f, c->executor, row, (row + 0.5) / c->batch, 1.0 / c->batch, &key);
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

    c->wall_ms = calloc(ROUNDS_MAX, sizeof(double));
    c->cpu_ms = calloc(ROUNDS_MAX, sizeof(double));
    if (!c->wall_ms || !c->cpu_ms)
        return error_set(err, -ENOMEM, "out of memory for the times");
    rc = device_base(c->device)->ops->precision(c->device, c->precision, &c->precision, err);
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

static int parse_precisions(const char *text, int n_max, enum precision *out, struct error *err)
{
    char *copy = strdup(text), *rest = copy, *name;
    int n = 0, rc = 0;

    if (!copy)
        return error_set(err, -ENOMEM, "out of memory");
    while (rc == 0 && n < n_max && (name = strsep(&rest, ","))) {
        rc = precision_parse(name, &out[n], err);
        n++;
    }
    free(copy);
    return rc < 0 ? rc : n;
}

/* Every combination of the lists. */
static int build_cases(struct bench *b, struct error *err)
{
    const struct bench_options *o = b->options;
    enum precision precisions[LIST_MAX];
    int batches[LIST_MAX], threads[LIST_MAX], n_batches, n_threads, n_precisions, rc;

    n_batches = arguments_list(o->batches, 1, 4096, LIST_MAX, batches, err);
    if (n_batches < 0)
        return n_batches;
    n_threads = arguments_list(o->threads, 1, 1024, LIST_MAX, threads, err);
    if (n_threads < 0)
        return n_threads;
    n_precisions = parse_precisions(o->precisions, LIST_MAX, precisions, err);
    if (n_precisions < 0)
        return n_precisions;
    if (n_batches * n_threads * n_precisions > CASES_MAX)
        return error_set(err, -EINVAL, "more than %d configurations", CASES_MAX);
    for (int t = 0; t < n_threads; t++) {
        rc = device_open(o->device, threads[t], o->choices, &b->devices[t], err);
        if (rc < 0)
            return rc;
        b->n_devices++;
        for (int i = 0; i < n_batches * n_precisions; i++) {
            struct bench_case *c = &b->cases[b->n_cases++];

            c->device = b->devices[t];
            c->n_threads = threads[t];
            c->batch = batches[i / n_precisions];
            c->precision = precisions[i % n_precisions];
            rc = build_case(b, c, err);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

/* An architecture alone is measured as the paper's residual with the blur. */
static int formulate(const struct architecture *a, struct formulation *out, struct error *err)
{
    static const double levels[] = {0.01, 18};
    struct formulation f = {.architecture = *a,
                            .output = OUTPUT_RESIDUAL,
                            .time_embed = a->embedding_type == EMBEDDING_FOURIER
                                              ? TIME_FOURIER_T
                                              : TIME_POSITIONAL_999T};
    json_t *json = json_pack("{s:s, s:i}", "name", "blur", "half_size", 32);
    int rc;

    if (!json)
        return error_set(err, -ENOMEM, "out of memory");
    rc = corruption_create(json, a->image_size, a->image_size, &f.corruption, err);
    json_decref(json);
    if (rc == 0)
        rc = schedule_noise_then_levels(0.01, 0.1, 0.2, 2, levels, &f.schedule, err);
    if (rc < 0) {
        formulation_fini(&f);
        return rc;
    }
    *out = f;
    return 0;
}

int bench_init(struct bench *b, const struct bench_options *options, struct error *err)
{
    struct architecture architecture;
    size_t n = strlen(options->model);
    int rc;

    *b = (struct bench){.options = options};
    if (n > 5 && strcmp(options->model + n - 5, ".json") == 0) {
        rc = architecture_file_read(options->model, &architecture, err);
        if (rc == 0)
            rc = formulate(&architecture, &b->formulation, err);
    } else {
        rc = checkpoint_load(options->model, &b->checkpoint, err);
        if (rc == 0) {
            b->formulation = b->checkpoint->formulation;
            b->weights = b->checkpoint->weights;
        }
    }
    return rc < 0 ? rc : build_cases(b, err);
}

void bench_fini(struct bench *b)
{
    for (int i = 0; i < b->n_cases; i++)
        fini_case(&b->cases[i]);
    for (int i = 0; i < b->n_devices; i++)
        device_close(b->devices[i]);
    if (b->checkpoint)
        checkpoint_destroy(b->checkpoint);
    else
        formulation_fini(&b->formulation);
}
