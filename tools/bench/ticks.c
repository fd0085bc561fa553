#include "tools/bench/ticks.h"
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/watch.h"
#include "engine/identity.h"
#include "model/checkpoint.h"
#include "model/generator.h"
#include "tools/bench/bench.h"
#include "tools/bench/machine_load.h"
#include "tools/bench/samples.h"
#include "tools/stop.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* A turn is a tick for the caches and for what is new, some that count, and one that is never run. */
enum { COUNTED = 4, NFE = COUNTED + 2 };

/* What the lanes of a tick have to do. */
enum kind { PLAIN, PREVIEWS, RESTORATION, KINDS };

static const char *const kind_names[KINDS] = {"plain", "previews", "restoration"};

/* A generator and the lanes that it is measured with. */
struct subject {
    struct generator *generator; /* of one device and precision; kinds but RESTORATION share one */
    enum kind kind;
    int n_threads, lanes;
    char identity[IDENTITY_BYTES];
    int n_samples;
    double *tick_ms, *host_us, *beside_us; /* [COUNTED rounds] */
};

struct ticks {
    int lanes_max;
    int n_generators;
    struct generator *generators[2 * LIST_MAX * LIST_MAX];
    int n_subjects;
    struct subject *subjects;
    struct generator_image *images; /* [lanes_max] */
    float *picture;                 /* to be restored */
};

static int add_subject(const struct bench *b, struct ticks *t, int device, enum kind kind,
                       struct generator *g, int lanes, struct error *err)
{
    struct subject *s = &t->subjects[t->n_subjects++];
    size_t n = COUNTED * (size_t)b->options->rounds;

    *s = (struct subject){.generator = g,
                          .kind = kind,
                          .n_threads = b->n_threads[device],
                          .lanes = lanes,
                          .tick_ms = calloc(n, sizeof(double)),
                          .host_us = calloc(n, sizeof(double)),
                          .beside_us = calloc(n, sizeof(double))};
    if (!s->tick_ms || !s->host_us || !s->beside_us)
        return error_set(err, -ENOMEM, "out of memory for the times of ticks");
    return identity_of(b->devices[device], generator_precision(g), s->identity, err);
}

/* The generators of a device and precision, and their subjects. */
static int add_generators(struct bench *b, struct ticks *t, int device, enum precision precision,
                          struct error *err)
{
    struct generator *of[KINDS] = {NULL};
    int rc = 0;

    for (int restoration = 0; restoration < 2 && rc == 0; restoration++) {
        struct generator_options options = {.precision = precision,
                                            .lanes = t->lanes_max,
                                            .nfe_max = NFE,
                                            .restoration = restoration};
        struct generator **g = &t->generators[t->n_generators];

        rc = generator_create(b->devices[device], b->checkpoint, &options, g, err);
        if (rc < 0)
            return rc;
        t->n_generators++;
        of[restoration ? RESTORATION : PLAIN] = *g;
        if (b->trace)
            rc = generator_trace(*g, b->trace, "ticks", err);
    }
    of[PREVIEWS] = of[PLAIN];
    for (int i = 0; i < b->n_lanes && rc == 0; i++) {
        for (int kind = 0; kind < KINDS && rc == 0; kind++)
            rc = add_subject(b, t, device, (enum kind)kind, of[kind], b->lanes[i], err);
    }
    return rc;
}

static int init(struct bench *b, struct ticks *t, struct error *err)
{
    const struct architecture *a = &b->checkpoint->formulation.architecture;
    size_t pixels = (size_t)a->image_size * (size_t)a->image_size * (size_t)a->num_channels;
    int n_all, rc = 0;

    for (int i = 0; i < b->n_lanes; i++)
        t->lanes_max = b->lanes[i] > t->lanes_max ? b->lanes[i] : t->lanes_max;
    n_all = b->n_devices * b->n_precisions * b->n_lanes * KINDS;
    t->subjects = calloc((size_t)n_all, sizeof(*t->subjects));
    t->images = calloc((size_t)t->lanes_max, sizeof(*t->images));
    t->picture = calloc(pixels, sizeof(*t->picture));
    if (!t->subjects || !t->images || !t->picture)
        return error_set(err, -ENOMEM, "out of memory for ticks of %d lanes", t->lanes_max);
    for (int i = 0; i < b->n_devices * b->n_precisions && rc == 0; i++)
        rc = add_generators(b, t, i / b->n_precisions, b->precisions[i % b->n_precisions], err);
    return rc;
}

static void fini(struct ticks *t)
{
    for (int i = 0; i < t->n_generators; i++)
        generator_destroy(t->generators[i]);
    for (int i = 0; i < t->n_subjects; i++) {
        free(t->subjects[i].tick_ms);
        free(t->subjects[i].host_us);
        free(t->subjects[i].beside_us);
    }
    free(t->subjects);
    free(t->images);
    free(t->picture);
}

/* What a tick took, all calls of the device left out of the host's. */
static void keep(struct subject *s)
{
    const struct generator_times *t = generator_times(s->generator);
    double device = t->drawn - t->begin + t->handed - t->written + t->done - t->waiting;

    s->tick_ms[s->n_samples] = 1e3 * (t->end - t->begin);
    s->host_us[s->n_samples] = 1e6 * (t->end - t->begin - device);
    s->beside_us[s->n_samples] = 1e6 * (t->filled - t->handed);
    s->n_samples++;
}

static int take_turn(struct ticks *t, struct subject *s, struct error *err)
{
    const struct generator_restoration restoration = {.y = t->picture, .blur = 1.5, .weight = 1};
    int rc = 0, n;

    for (int i = 0; i < s->lanes && rc == 0; i++) {
        const struct generator_task task = {.seed = (uint64_t)i,
                                            .sampler = SAMPLER_SDE_2M,
                                            .nfe = NFE,
                                            .restoration =
                                                s->kind == RESTORATION ? &restoration : NULL,
                                            .previews = s->kind == PREVIEWS};

        rc = generator_submit(s->generator, &task, err);
    }
    for (int i = 0; i < 1 + COUNTED && rc == 0; i++) {
        rc = generator_tick(s->generator, t->images, &n, err);
        if (rc == 0 && i > 0)
            keep(s);
    }
    generator_cancel(s->generator, 0);
    return rc;
}

/* Of a subject, for people and for programs. */
struct row {
    size_t inbox_bytes;
    double tick_ms, tick_ms_p10, host_us, host_us_p90, beside_us;
};

static struct row summarise(struct subject *s)
{
    int n = s->n_samples;

    samples_sort(n, s->tick_ms);
    samples_sort(n, s->host_us);
    samples_sort(n, s->beside_us);
    return (struct row){
        .inbox_bytes = generator_row_bytes(s->generator),
        .tick_ms = samples_quantile(n, s->tick_ms, 0.5),
        .tick_ms_p10 = samples_quantile(n, s->tick_ms, 0.1),
        .host_us = samples_quantile(n, s->host_us, 0.5),
        .host_us_p90 = samples_quantile(n, s->host_us, 0.9),
        .beside_us = samples_quantile(n, s->beside_us, 0.5),
    };
}

static void print_row(const struct subject *s, const struct row *row)
{
    printf("%6d %8d %10s  %-11s %11zu %9.1f %8.1f %10.1f %10.3f %10.3f %6d  %s\n", s->lanes,
           s->n_threads, precision_name(generator_precision(s->generator)), kind_names[s->kind],
           row->inbox_bytes, row->host_us, row->host_us_p90, row->beside_us, row->tick_ms,
           row->tick_ms_p10, s->n_samples, s->identity);
}

static json_t *describe(const struct subject *s, const struct row *row)
{
    return json_pack("{s:i, s:i, s:s, s:s, s:I, s:f, s:f, s:f, s:f, s:f, s:i, s:s}", "lanes",
                     s->lanes, "threads", s->n_threads, "precision",
                     precision_name(generator_precision(s->generator)), "images",
                     kind_names[s->kind], "inbox_bytes_per_lane", (json_int_t)row->inbox_bytes,
                     "host_us", row->host_us, "host_us_p90", row->host_us_p90, "beside_us",
                     row->beside_us, "tick_ms", row->tick_ms, "tick_ms_p10", row->tick_ms_p10, "n",
                     s->n_samples, "determinism_id", s->identity);
}

static int report(const struct bench *b, struct ticks *t, double foreign, struct error *err)
{
    json_t *cases = json_array();

    if (!b->options->json) {
        bench_print_head(b, "ticks", foreign);
        printf("%6s %8s %10s  %-11s %11s %9s %8s %10s %10s %10s %6s  %s\n", "lanes", "threads",
               "precision", "images", "inbox/lane", "host us", "p90", "beside us", "tick ms", "p10",
               "n", "determinism id");
    }
    for (int i = 0; i < t->n_subjects; i++) {
        const struct row row = summarise(&t->subjects[i]);

        if (!b->options->json)
            print_row(&t->subjects[i], &row);
        json_array_append_new(cases, describe(&t->subjects[i], &row));
    }
    if (b->options->json)
        return bench_print_json(b, "ticks", foreign, cases, err);
    json_decref(cases);
    return 0;
}

int ticks_measure(struct bench *b, struct error *err)
{
    struct ticks t = {0};
    struct machine_load load;
    double start_s;
    int rc = init(b, &t, err), n = 0;

    load = machine_load_now();
    start_s = clock_seconds();
    for (int round = 0; rc == 0 && bench_goes_on(b, round, start_s); round++) {
        for (int i = 0; i < t.n_subjects && rc == 0 && !watch_stop(b->watch); i++)
            rc = take_turn(&t, &t.subjects[i], err);
        n = t.subjects[t.n_subjects - 1].n_samples / COUNTED;
        if (n > 0) /* there is something to tell */
            stop_must_not_end();
    }
    if (rc == 0 && n > 0)
        rc = report(b, &t, machine_load_foreign(&load), err);
    if (rc == 0)
        rc = bench_end(b, n, err);
    fini(&t);
    return rc;
}
