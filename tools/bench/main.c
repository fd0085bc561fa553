/* softdiff-bench: the time of a network evaluation, by batch, threads and precision.
 *
 * The configurations take turns in every round, so that a machine that gets slower or is used by
 * others hurts all of them alike. Beside the wall time stands the processor time of this process:
 * the two disagree when somebody else was running.
 */
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/device.h"
#include "engine/parameters.h"
#include "engine/executor.h"
#include "engine/identity.h"
#include "engine/plan.h"
#include "engine/program.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "model/ncsnpp.h"
#include "model/objective.h"
#include "tools/architecture_file.h"
#include "tools/arguments.h"
#include "tools/bench/plan_table.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LIST_MAX = 16, CASES_MAX = 256, ROUNDS_MAX = 10000 };

struct options {
    const char *model, *device, *choices, *batches, *threads, *precisions;
    int rounds;
    double seconds;
    bool json, train, plan;
};

/* One configuration. */
struct bench_case {
    int batch, n_threads;
    enum precision precision;
    struct device *device; /* borrowed */
    struct program *program;
    struct parameters *parameters;
    struct plan *plan;
    struct executor *executor;
    int n_samples;
    char identity[IDENTITY_BYTES];
    double *wall_ms, *cpu_ms; /* [ROUNDS_MAX] */
};

struct bench {
    const struct options *options;
    struct formulation formulation;
    const float *weights; /* NULL: initial ones */
    int n_devices;
    struct device *devices[LIST_MAX];
    int n_cases;
    struct bench_case cases[CASES_MAX];
};

static double clock_ms(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

/* Busy and total time of all processors since the machine started, in ticks. */
static void machine_ticks(double *busy, double *total)
{
    double fields[8] = {0}; /* user nice system idle iowait irq softirq steal */
    FILE *file = fopen("/proc/stat", "r");

    *busy = *total = 0;
    if (!file)
        return;
    if (fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &fields[0], &fields[1], &fields[2],
               &fields[3], &fields[4], &fields[5], &fields[6], &fields[7]) == 8) {
        for (int i = 0; i < 8; i++)
            *total += fields[i];
        *busy = *total - fields[3] - fields[4];
    }
    fclose(file);
}

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
    const struct options *o = b->options;
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

static int measure(struct bench *b, struct error *err)
{
    double end = clock_ms(CLOCK_MONOTONIC) + 1e3 * b->options->seconds;

    for (int round = 0; round < b->options->rounds; round++) {
        if (round >= 5 && clock_ms(CLOCK_MONOTONIC) > end)
            break;
        for (int i = 0; i < b->n_cases; i++) {
            struct bench_case *c = &b->cases[i];
            double wall = clock_ms(CLOCK_MONOTONIC), cpu = clock_ms(CLOCK_PROCESS_CPUTIME_ID);
            int rc = executor_run(c->executor, c->batch, err);

            if (rc < 0)
                return rc;
            c->wall_ms[c->n_samples] = clock_ms(CLOCK_MONOTONIC) - wall;
            c->cpu_ms[c->n_samples] = clock_ms(CLOCK_PROCESS_CPUTIME_ID) - cpu;
            c->n_samples++;
        }
    }
    return 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The q-quantile of sorted numbers, to the nearest one. */
static double quantile(const double *sorted, int n, double q)
{
    return sorted[(int)(q * (n - 1) + 0.5)];
}

static int report(struct bench *b, double foreign, struct error *err)
{
    json_t *rows = json_array();
    char machine[160], *text = NULL;
    int rc = 0;

    device_base(b->devices[b->n_devices - 1])
        ->ops->describe(b->devices[b->n_devices - 1], machine, sizeof(machine));
    if (!b->options->json) {
        printf("%s; %s; other processes used %.0f %% of the machine\n", machine,
               b->options->train ? "loss and gradients" : "one network evaluation", 100 * foreign);
        printf("%8s %8s %10s %12s %12s %12s %12s %6s  %s\n", "batch", "threads", "precision", "ms",
               "ms p10", "cpu ms", "ms/image", "n", "determinism id");
    }
    for (int i = 0; i < b->n_cases; i++) {
        struct bench_case *c = &b->cases[i];
        double median, p10, cpu, cpu10;

        qsort(c->wall_ms, (size_t)c->n_samples, sizeof(double), compare);
        qsort(c->cpu_ms, (size_t)c->n_samples, sizeof(double), compare);
        median = quantile(c->wall_ms, c->n_samples, 0.5);
        p10 = quantile(c->wall_ms, c->n_samples, 0.1);
        cpu = quantile(c->cpu_ms, c->n_samples, 0.5);
        cpu10 = quantile(c->cpu_ms, c->n_samples, 0.1);
        if (!b->options->json)
            printf("%8d %8d %10s %12.3f %12.3f %12.3f %12.3f %6d  %s\n", c->batch, c->n_threads,
                   precision_name(c->precision), median, p10, cpu, median / c->batch, c->n_samples,
                   c->identity);
        json_array_append_new(rows,
                              json_pack("{s:i, s:i, s:s, s:f, s:f, s:f, s:f, s:i, s:s}", "batch",
                                        c->batch, "threads", c->n_threads, "precision",
                                        precision_name(c->precision), "wall_ms", median,
                                        "wall_ms_p10", p10, "cpu_ms", cpu, "cpu_ms_p10", cpu10, "n",
                                        c->n_samples, "determinism_id", c->identity));
    }
    if (b->options->json) {
        json_t *json = json_pack("{s:s, s:s, s:f, s:O}", "machine", machine, "what",
                                 b->options->train ? "train" : "evaluate", "foreign_cpu_share",
                                 foreign, "cases", rows);

        text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
        json_decref(json);
        if (text)
            puts(text);
        else
            rc = error_set(err, -ENOMEM, "out of memory for the report");
    }
    free(text);
    json_decref(rows);
    return rc;
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

static int bench(const struct options *o, struct error *err)
{
    static struct bench b; /* large; zero */
    struct checkpoint *checkpoint = NULL;
    struct architecture architecture;
    size_t n = strlen(o->model);
    double busy[2], total[2], own, foreign = 0;
    int rc;

    b.options = o;
    if (n > 5 && strcmp(o->model + n - 5, ".json") == 0) {
        rc = architecture_file_read(o->model, &architecture, err);
        if (rc == 0)
            rc = formulate(&architecture, &b.formulation, err);
    } else {
        rc = checkpoint_load(o->model, &checkpoint, err);
        if (rc == 0) {
            b.formulation = checkpoint->formulation;
            b.weights = checkpoint->weights;
        }
    }
    if (rc == 0)
        rc = build_cases(&b, err);
    if (rc == 0 && o->plan)
        rc = plan_table_print(b.cases[0].plan, b.cases[0].executor, o->rounds, err);
    if (rc == 0 && !o->plan) {
        machine_ticks(&busy[0], &total[0]);
        own = clock_ms(CLOCK_PROCESS_CPUTIME_ID);
        rc = measure(&b, err);
        own = clock_ms(CLOCK_PROCESS_CPUTIME_ID) - own;
        machine_ticks(&busy[1], &total[1]);
        if (total[1] > total[0])
            foreign = (busy[1] - busy[0] - own / 1e3 * (double)sysconf(_SC_CLK_TCK)) /
                      (total[1] - total[0]);
        foreign = foreign > 0 ? foreign : 0;
    }
    if (rc == 0 && !o->plan)
        rc = report(&b, foreign, err);

    for (int i = 0; i < b.n_cases; i++)
        fini_case(&b.cases[i]);
    for (int i = 0; i < b.n_devices; i++)
        device_close(b.devices[i]);
    if (checkpoint)
        checkpoint_destroy(checkpoint);
    else
        formulation_fini(&b.formulation);
    return rc;
}

int main(int argc, char **argv)
{
    struct options o = {.device = "auto",
                        .choices = arguments_choices(),
                        .batches = "1",
                        .threads = "1",
                        .precisions = "auto",
                        .rounds = 100,
                        .seconds = 20};
    const struct argument table[] = {
        {"batch", 'b', ARGUMENT_TEXT, &o.batches, 0, 0, "LIST", "images; default 1"},
        {"threads", 't', ARGUMENT_TEXT, &o.threads, 0, 0, "LIST", "default 1"},
        {"precision", 'p', ARGUMENT_TEXT, &o.precisions, 0, 0, "LIST", "of auto, fp32, bf16"},
        ARGUMENTS_DEVICE(&o.device),
        ARGUMENTS_CHOICES(&o.choices),
        {"train", 0, ARGUMENT_FLAG, &o.train, 0, 0, NULL, "loss and gradients instead"},
        {"rounds", 'n', ARGUMENT_INT, &o.rounds, 1, ROUNDS_MAX, "N", "at most; default 100"},
        {"seconds", 0, ARGUMENT_NUMBER, &o.seconds, 0.1, 36000, "S",
         "no new round after that (but 5 at least); default 20"},
        {"plan", 0, ARGUMENT_FLAG, &o.plan, 0, 0, NULL,
         "print the first combination's plan, each step timed on one thread"},
        {"json", 'j', ARGUMENT_FLAG, &o.json, 0, 0, NULL, "one JSON document"},
    };
    const struct arguments arguments = {
        .program = "softdiff-bench",
        .usage = "MODEL|ARCHITECTURE.json [options]",
        .about = "Measures a network's evaluations. A LIST is separated by commas; all "
                 "combinations take turns.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
        .n_operands_min = 1,
        .n_operands_max = 1,
    };
    struct error err;
    int code = arguments_parse(&arguments, argc, argv, &o.model), rc;

    if (code >= 0)
        return code;
    rc = bench(&o, &err);
    if (rc < 0) {
        fprintf(stderr, "softdiff-bench: %s\n", err.text);
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}
