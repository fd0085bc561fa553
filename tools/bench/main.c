/* softdiff-bench: the time of a network evaluation, by batch, threads and precision.
 *
 * The configurations take turns in every round, so that a machine that gets slower or is used by
 * others hurts all of them alike. Beside the wall time stands the processor time of this process:
 * the two disagree when somebody else was running.
 */
#include "engine/base/error.h"
#include "engine/choices.h"
#include "engine/device.h"
#include "engine/executor.h"
#include "tools/arguments.h"
#include "tools/bench/cases.h"
#include "tools/bench/plan_table.h"
#include "tools/bench/tune.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

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

/* Adds what is measured to the table of that name, which may be there. */
static int tune(const struct bench *b, struct error *err)
{
    const char *path = b->options->tune;
    struct choices *choices;
    int rc = choices_create(&choices, err);

    if (rc < 0)
        return rc;
    if (access(path, F_OK) == 0)
        rc = choices_read(choices, path, err);
    for (int i = 0; i < b->n_cases && rc == 0; i++)
        rc = tune_plan(b->cases[i].device, b->cases[i].plan, b->options->rounds, choices, err);
    if (rc == 0)
        rc = choices_write(choices, path, err);
    choices_destroy(choices);
    return rc;
}

static int measure_and_report(struct bench *b, struct error *err)
{
    double busy[2], total[2], own, foreign = 0;
    int rc;

    machine_ticks(&busy[0], &total[0]);
    own = clock_ms(CLOCK_PROCESS_CPUTIME_ID);
    rc = measure(b, err);
    if (rc < 0)
        return rc;
    own = clock_ms(CLOCK_PROCESS_CPUTIME_ID) - own;
    machine_ticks(&busy[1], &total[1]);
    if (total[1] > total[0])
        foreign =
            (busy[1] - busy[0] - own / 1e3 * (double)sysconf(_SC_CLK_TCK)) / (total[1] - total[0]);
    return report(b, foreign > 0 ? foreign : 0, err);
}

static int bench(const struct bench_options *o, struct error *err)
{
    static struct bench b; /* large */
    int rc = bench_init(&b, o, err);

    if (rc == 0 && o->tune)
        rc = tune(&b, err);
    else if (rc == 0 && o->plan)
        rc = plan_table_print(b.cases[0].plan, b.cases[0].executor, o->rounds, err);
    else if (rc == 0)
        rc = measure_and_report(&b, err);
    bench_fini(&b);
    return rc;
}

int main(int argc, char **argv)
{
    struct bench_options o = {.device = "auto",
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
        {"tune", 0, ARGUMENT_TEXT, &o.tune, 0, 0, "FILE",
         "time the algorithms of every step and add the fastest to a table for --choices"},
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
