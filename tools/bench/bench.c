#include "tools/bench/bench.h"
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/trace.h"
#include "engine/base/watch.h"
#include "model/checkpoint.h"
#include "tools/arguments.h"
#include "tools/network.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DESCRIPTION_BYTES = 160, TRACE_SPANS = 1 << 17, THREADS_MAX = 1024, BATCH_MAX = 4096 };

static int parse_precisions(struct bench *b, struct error *err)
{
    char *copy = strdup(b->options->precisions), *rest = copy, *name;
    int rc = 0;

    if (!copy)
        return error_set(err, -ENOMEM, "out of memory");
    while (rc == 0 && (name = strsep(&rest, ","))) {
        if (b->n_precisions == LIST_MAX)
            rc = error_set(err, -EINVAL, "more than %d precisions", LIST_MAX);
        else
            rc = precision_parse(name, &b->precisions[b->n_precisions++], err);
    }
    free(copy);
    return rc;
}

static int parse_list(const char *text, int max, int *n, int *out, struct error *err)
{
    int rc = arguments_list(text, 1, max, LIST_MAX, out, err);

    *n = rc < 0 ? 0 : rc;
    return rc < 0 ? rc : 0;
}

int bench_parse(struct bench *b, const struct bench_options *options, const struct watch *watch,
                struct error *err)
{
    int rc;

    *b = (struct bench){.options = options, .watch = watch};
    rc = parse_precisions(b, err);
    if (rc == 0)
        rc = parse_list(options->threads, THREADS_MAX, &b->n_wanted, b->n_threads, err);
    if (rc == 0)
        rc = parse_list(options->batches, BATCH_MAX, &b->n_batches, b->batches, err);
    if (rc == 0 && options->ticks)
        rc = parse_list(options->ticks, BATCH_MAX, &b->n_lanes, b->lanes, err);
    return rc;
}

int bench_init(struct bench *b, struct error *err)
{
    const struct bench_options *o = b->options;
    int rc = 0;

    for (int i = 0; i < b->n_wanted && rc == 0; i++) {
        rc = device_open(o->device, b->n_threads[i], o->choices, &b->devices[i], err);
        if (rc == 0)
            b->n_devices++;
    }
    if (rc == 0)
        rc = network_load(o->model, NULL, &b->checkpoint, err);
    if (rc == 0 && o->trace)
        rc = trace_create(TRACE_SPANS, &b->trace, err);
    return rc;
}

void bench_fini(struct bench *b)
{
    for (int i = 0; i < b->n_devices; i++)
        device_close(b->devices[i]);
    checkpoint_destroy(b->checkpoint);
    trace_destroy(b->trace);
}

bool bench_goes_on(const struct bench *b, int n_rounds, double start_s)
{
    return !watch_stop(b->watch) && n_rounds < b->options->rounds &&
           (n_rounds < ROUNDS_MIN || clock_seconds() < start_s + b->options->seconds);
}

int bench_end(const struct bench *b, int n_rounds, struct error *err)
{
    if (!watch_stop(b->watch))
        return 0;
    return error_set(err, -ECANCELED, "stopped after %d round%s of measuring", n_rounds,
                     n_rounds == 1 ? "" : "s");
}

static void describe(const struct bench *b, char text[DESCRIPTION_BYTES])
{
    struct device *last = b->devices[b->n_devices - 1];

    device_base(last)->ops->describe(last, text, DESCRIPTION_BYTES);
}

void bench_print_head(const struct bench *b, const char *what, double foreign)
{
    char machine[DESCRIPTION_BYTES];

    describe(b, machine);
    printf("%s; %s; other processes used %.0f %% of the machine\n", machine, what, 100 * foreign);
}

int bench_print_json(const struct bench *b, const char *what, double foreign, json_t *cases,
                     struct error *err)
{
    char machine[DESCRIPTION_BYTES], *text;
    json_t *json;

    describe(b, machine);
    json = json_pack("{s:s, s:s, s:f, s:o}", "machine", machine, "what", what, "foreign_cpu_share",
                     foreign, "cases", cases);
    text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    json_decref(json);
    if (!text)
        return error_set(err, -ENOMEM, "out of memory for the report");
    puts(text);
    free(text);
    return 0;
}
