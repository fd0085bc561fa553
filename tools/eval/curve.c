#include "tools/eval/curve.h"
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/base/pool.h"
#include "engine/base/whole_file.h"
#include "engine/base/watch.h"
#include "engine/device.h"
#include "model/checkpoint.h"
#include "model/digest.h"
#include "model/generator.h"
#include "tools/eval/comparison.h"
#include "tools/eval/results.h"
#include "tools/eval/sets.h"
#include "tools/eval/statistics.h"
#include "tools/generate.h"
#include "tools/plot.h"
#include "tools/stop.h"
#include "tools/pictures/dataset.h"
#include "api/pictures/resize.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LANES = 16 }; /* of the generator */

struct curve {
    const struct curve_options *o;
    int n_samplers;
    enum sampler samplers[SAMPLERS]; /* of o, or the defaults */
    struct sets *sets;
    const struct statistics *reference;
    double floor; /* NAN: the reference cannot be split */
    char reference_name[RESULTS_NAME];
    struct checkpoint *checkpoint;
    char model_name[RESULTS_NAME]; /* source of rows that are generated; empty: none are */
    struct generator *generator;   /* NULL until a row needs it */
    uint8_t *generated;            /* [n] images of the generator */
    uint8_t *pixels;               /* [n,side,side,3] of the reference's side */
    struct results *results;
};

/* Of a sample in the folder; the caller's, NULL without memory. */
static char *sample_path(const struct curve *c, enum sampler sampler, int nfe, int i)
{
    char *path;

    if (asprintf(&path, "%s/%s-%d/%" PRIu64 ".png", c->o->samples, sampler_name(sampler), nfe,
                 c->o->seed + (uint64_t)i) < 0)
        return NULL;
    return path;
}

static bool samples_exist(const struct curve *c, enum sampler sampler, int nfe)
{
    bool all = c->o->samples != NULL;
    struct stat status;

    for (int i = 0; i < c->o->n && all; i++) {
        char *path = sample_path(c, sampler, nfe, i);

        all = path && lstat(path, &status) == 0; /* whether it can be read is told later */
        free(path);
    }
    return all;
}

struct reading {
    struct curve *c;
    enum sampler sampler;
    int nfe;
    int *rcs;             /* [n] */
    struct error *errors; /* [n] */
    pthread_mutex_t mutex;
    int n_done;
};

static size_t picture_bytes(const struct curve *c)
{
    return (size_t)sets_side(c->sets) * (size_t)sets_side(c->sets) * 3;
}

static void read_task(void *arg, int i, int worker)
{
    struct reading *r = arg;
    const struct dataset_options options = {.side = sets_side(r->c->sets)};
    char *path;

    if (watch_stop(r->c->o->watch))
        return;
    path = sample_path(r->c, r->sampler, r->nfe, i);
    r->rcs[i] =
        path ? dataset_read_file(path, &options, r->c->pixels + (size_t)i * picture_bytes(r->c),
                                 &r->errors[i])
             : error_set(&r->errors[i], -ENOMEM, "out of memory for a path");
    free(path);
    pthread_mutex_lock(&r->mutex);
    watch_progress(r->c->o->watch, "reading samples", ++r->n_done, r->c->o->n);
    pthread_mutex_unlock(&r->mutex);
}

/* The samples that could be read side by side, in their order; *n: how many they are. */
static int close_gaps(const struct reading *r, int *n, struct error *err)
{
    const struct curve *c = r->c;

    *n = 0;
    for (int i = 0; i < c->o->n; i++) {
        int rc = r->rcs[i];

        if (rc < 0 && (!c->o->skip_bad || rc == -ENOMEM))
            return error_set(err, rc, "%s", r->errors[i].text);
        if (rc < 0) {
            log_write(LOG_WARN, "event=skipped reason=%s", LOG_TEXT(r->errors[i].text));
            continue;
        }
        if (*n < i)
            memcpy(c->pixels + (size_t)*n * picture_bytes(c),
                   c->pixels + (size_t)i * picture_bytes(c), picture_bytes(c));
        ++*n;
    }
    return 0;
}

/* Names n pictures by their bytes. */
static void name_pictures(const struct curve *c, int n, char out[RESULTS_NAME])
{
    char digest[DIGEST_TEXT];

    digest_of(c->pixels, (size_t)n * picture_bytes(c), digest);
    snprintf(out, RESULTS_NAME, "%.16s-read", digest);
}

static int read_samples(struct curve *c, enum sampler sampler, int nfe, int *n, struct error *err)
{
    struct reading r = {.c = c, .sampler = sampler, .nfe = nfe, .mutex = PTHREAD_MUTEX_INITIALIZER};
    int rc = 0;

    r.rcs = calloc((size_t)c->o->n, sizeof(*r.rcs));
    r.errors = calloc((size_t)c->o->n, sizeof(*r.errors));
    if (!r.rcs || !r.errors)
        rc = error_set(err, -ENOMEM, "out of memory reading %d samples", c->o->n);
    else
        pool_run(sets_pool(c->sets), c->o->n, read_task, &r);
    if (rc == 0 && watch_stop(c->o->watch))
        rc = error_set(err, -ECANCELED, "stopped with %d of %d samples read", r.n_done, c->o->n);
    if (rc == 0)
        rc = close_gaps(&r, n, err);
    free(r.rcs);
    free(r.errors);
    return rc;
}

static int make_generator(struct curve *c, struct error *err)
{
    struct generator_options options = {.precision = c->o->precision,
                                        .lanes = c->o->n < LANES ? c->o->n : LANES,
                                        .nfe_max = 1};
    size_t image_bytes;
    int rc = 0;

    for (int i = 0; i < c->o->n_nfes; i++)
        options.nfe_max = c->o->nfes[i] > options.nfe_max ? c->o->nfes[i] : options.nfe_max;
    rc = generator_create(sets_device(c->sets), c->checkpoint, &options, &c->generator, err);
    if (rc < 0)
        return rc;
    image_bytes = (size_t)generator_side(c->generator) * (size_t)generator_side(c->generator) *
                  (size_t)generator_channels(c->generator);
    c->generated = malloc((size_t)c->o->n * image_bytes);
    return c->generated ? 0 : error_set(err, -ENOMEM, "out of memory for %d samples", c->o->n);
}

/* Generated images to RGB of the reference's side. */
static int convert_samples(struct curve *c, struct error *err)
{
    const int side = generator_side(c->generator), channels = generator_channels(c->generator);
    const size_t n_pixels = (size_t)side * (size_t)side;
    uint8_t *rgb = malloc(n_pixels * 3);
    int rc = rgb ? 0 : error_set(err, -ENOMEM, "out of memory for a sample");

    for (int i = 0; i < c->o->n && rc == 0; i++) {
        const uint8_t *image = c->generated + (size_t)i * n_pixels * (size_t)channels;

        for (size_t j = 0; j < 3 * n_pixels; j++)
            rgb[j] = channels == 3 ? image[j] : image[j / 3];
        rc = resize_square(rgb, side, side, 3, 0, sets_side(c->sets),
                           c->pixels + (size_t)i * picture_bytes(c), err);
    }
    free(rgb);
    return rc;
}

static int generate_samples(struct curve *c, enum sampler sampler, int nfe, double *seconds,
                            struct error *err)
{
    const struct generate_task task = {.n = c->o->n,
                                       .first_seed = c->o->seed,
                                       .sampler = sampler,
                                       .nfe = nfe};
    struct extractor *e;
    double start;
    int rc = sets_extractor(c->sets, &e, err); /* what is refused is so before it is drawn */

    if (rc == 0 && !c->generator)
        rc = make_generator(c, err);
    if (rc < 0)
        return rc;
    start = clock_seconds();
    rc = generate_images(c->generator, &task, c->o->watch, c->generated, NULL, err);
    *seconds = clock_seconds() - start;
    return rc < 0 ? rc : convert_samples(c, err);
}

static int measure_row(struct curve *c, struct result *row, struct error *err)
{
    struct statistics *samples = NULL;
    struct comparison comparison;
    struct extractor *e;
    int rc = sets_extractor(c->sets, &e, err);

    if (rc == 0)
        rc = statistics_of_pixels(e, sets_pool(c->sets), row->n, c->pixels, c->o->watch, &samples,
                                  err);
    if (rc == 0)
        rc = comparison_make(sets_pool(c->sets), c->o->watch, samples, c->reference, &comparison,
                             err);
    statistics_destroy(samples);
    if (rc < 0)
        return rc;
    row->fd = comparison.frechet;
    row->kid = comparison.kernel;
    row->precision = comparison.precision;
    row->recall = comparison.recall;
    return 0;
}

static int compare_points(const void *a, const void *b)
{
    const struct result *const *x = a, *const *y = b;

    return ((*x)->nfe > (*y)->nfe) - ((*x)->nfe < (*y)->nfe);
}

/* The rows of a sampler as a line, by rising nfe; rows, x and y have room for them. */
static struct plot_series sampler_series(const struct curve *c, enum sampler sampler,
                                         const struct result **rows, double *x, double *y)
{
    struct plot_series series = {.name = sampler_name(sampler), .x = x, .y = y};

    for (int i = 0; i < results_n(c->results); i++) {
        const struct result *row = results_at(c->results, i);

        if (row->sampler == sampler && row->seed == c->o->seed &&
            strcmp(row->reference, c->reference_name) == 0 &&
            (row->wanted || (row->n == c->o->n && strcmp(row->source, c->model_name) == 0)))
            rows[series.n++] = row;
    }
    qsort(rows, (size_t)series.n, sizeof(*rows), compare_points);
    for (int i = 0; i < series.n; i++) {
        x[i] = rows[i]->nfe;
        y[i] = rows[i]->fd;
    }
    return series;
}

static int draw(const struct curve *c, struct error *err)
{
    const int n_rows = results_n(c->results);
    struct plot_series series[SAMPLERS + 1];
    const struct result **rows = calloc((size_t)n_rows + 1, sizeof(*rows));
    double *points = calloc(2 * (size_t)n_rows + 1, sizeof(*points)); /* all x, all y */
    double floor_x[2] = {INFINITY, 0}, floor_y[2] = {c->floor, c->floor};
    char title[96], label[COMPARISON_NAME];
    struct plot plot = {.title = title,
                        .x_label = "network evaluations per image",
                        .y_label = label,
                        .log_x = true,
                        .log_y = true,
                        .series = series};
    int used = 0, rc = 0;

    comparison_name(c->reference, c->o->n, label);
    if (!rows || !points) {
        rc = error_set(err, -ENOMEM, "out of memory for a chart");
        goto out;
    }
    for (int i = 0; i < SAMPLERS; i++) {
        struct plot_series line =
            sampler_series(c, (enum sampler)i, rows, points + used, points + n_rows + used);

        if (line.n == 0)
            continue;
        floor_x[0] = fmin(floor_x[0], line.x[0]);
        floor_x[1] = fmax(floor_x[1], line.x[line.n - 1]);
        used += line.n;
        series[plot.n_series++] = line;
    }
    if (plot.n_series == 0)
        goto out;
    if (isfinite(c->floor))
        series[plot.n_series++] = (struct plot_series){.name = "real pictures",
                                                       .n = 2,
                                                       .x = floor_x,
                                                       .y = floor_y,
                                                       .level = true};
    snprintf(title, sizeof(title), "Distance of %d samples to %d real pictures, %d px", c->o->n,
             c->reference->n, sets_side(c->sets));
    rc = plot_write_svg(c->o->svg, &plot, err);

out:
    free(rows);
    free(points);
    return rc;
}

/* To the file, and to the chart. */
static int keep_row(struct curve *c, const struct result *row, struct error *err)
{
    int rc;

    stop_must_not_end();
    rc = results_add(c->results, row, err);
    if (rc == 0 && c->o->svg)
        rc = draw(c, err);
    stop_may_end_again();
    return rc;
}

/* Why there will be no samples, or NULL. */
static const char *reason_to_leave_out(const struct curve *c, enum sampler sampler, int nfe)
{
    if (!c->checkpoint)
        return "its samples are not there";
    if (sampler == SAMPLER_TUNED && !sampling_solver(&c->checkpoint->formulation.sampling, nfe))
        return "the model has no table for it";
    if (c->checkpoint->formulation.sampling.noiseless && sampler_needs_noise(sampler))
        return "it needs noise, and the model has none";
    return NULL;
}

/* Samples of a row, to the pixels, unless the row is there: then *found. */
static int take_samples(struct curve *c, struct result *row, bool *found, struct error *err)
{
    bool exist = samples_exist(c, row->sampler, row->nfe);
    int rc = exist ? read_samples(c, row->sampler, row->nfe, &row->n, err) : 0;

    if (rc < 0)
        return rc;
    if (exist)
        name_pictures(c, row->n, row->source);
    else
        snprintf(row->source, sizeof(row->source), "%s", c->model_name);
    *found = results_find(c->results, row);
    if (exist || *found)
        return 0;
    return generate_samples(c, row->sampler, row->nfe, &row->seconds, err);
}

static int run_row(struct curve *c, enum sampler sampler, int nfe, struct error *err)
{
    const struct curve_options *o = c->o;
    const char *reason = reason_to_leave_out(c, sampler, nfe);
    struct result row = {.sampler = sampler,
                         .nfe = nfe,
                         .n = o->n,
                         .seed = o->seed,
                         .seconds = NAN};
    bool found = false;
    int rc;

    if (reason && !samples_exist(c, sampler, nfe)) {
        printf("%-17s %4d  left out: %s\n", sampler_name(sampler), nfe, reason);
        return 0;
    }
    snprintf(row.reference, sizeof(row.reference), "%s", c->reference_name);
    rc = take_samples(c, &row, &found, err);
    if (rc == 0 && found)
        return 0;
    if (rc == 0)
        rc = measure_row(c, &row, err);
    if (rc == 0)
        rc = keep_row(c, &row, err);
    if (rc < 0) {
        error_prefix(err, "%s at %d evaluations: ", sampler_name(sampler), nfe);
        return rc;
    }
    printf("%-17s %4d  %s %.5g  KID %.5g  precision %.3f  recall %.3f\n", sampler_name(sampler),
           nfe, comparison_short_name(c->reference, c->o->n), row.fd, row.kid, row.precision,
           row.recall);
    fflush(stdout);
    return 0;
}

static int run_rows(struct curve *c, struct error *err)
{
    int rc = 0;

    for (int i = 0; i < c->o->n_nfes && rc == 0; i++)
        for (int j = 0; j < c->n_samplers && rc == 0; j++) {
            if (watch_stop(c->o->watch))
                rc = error_set(err, -ECANCELED, "stopped");
            else
                rc = run_row(c, c->samplers[j], c->o->nfes[i], err);
        }
    if (rc == 0)
        rc = results_begin(c->results, err);
    if (rc == 0 && c->o->svg) /* anew where all rows were there */
        rc = draw(c, err);
    return rc;
}

/* The model's default, which without a model is everybody's, and the paper's. */
static int choose_samplers(struct curve *c, struct error *err)
{
    static const struct sampling none;
    const struct sampling *sampling = c->checkpoint ? &c->checkpoint->formulation.sampling : &none;
    struct sampling_choice choice;
    int rc = sampling_choose(sampling, NULL, 0, SAMPLER_NFE_MAX, &choice, err);

    c->n_samplers = c->o->n_samplers;
    memcpy(c->samplers, c->o->samplers, sizeof(c->samplers));
    if (rc < 0 || c->n_samplers > 0)
        return rc;
    c->samplers[c->n_samplers++] = choice.sampler;
    if (choice.sampler != SAMPLER_MOMENTUM)
        c->samplers[c->n_samplers++] = SAMPLER_MOMENTUM;
    return 0;
}

/* Loads the model and names what rows are of and against. */
static int identify(struct curve *c, struct error *err)
{
    struct device *device = sets_device(c->sets);
    enum precision precision;
    int rc = statistics_digest(c->reference, c->reference_name, err);

    if (rc < 0 || !c->o->model)
        return rc;
    rc = checkpoint_load(c->o->model, &c->checkpoint, err);
    if (rc == 0)
        rc = device_base(device)->ops->precision(device, c->o->precision, &precision, err);
    if (rc == 0)
        snprintf(c->model_name, sizeof(c->model_name), "%.16s-%s", c->checkpoint->digest,
                 precision_name(precision));
    return rc;
}

int curve_try_outputs(const struct curve_options *o, struct error *err)
{
    struct results *results;
    int rc = results_open(o->csv, &results, err);

    if (rc < 0)
        return rc;
    results_close(results);
    return o->svg ? whole_file_try(o->svg, err) : 0;
}

int curve_run(const struct curve_options *o, struct sets *sets, const struct statistics *reference,
              struct error *err)
{
    struct curve c = {.o = o, .sets = sets, .reference = reference, .floor = NAN};
    struct comparison_least least;
    int rc = results_open(o->csv, &c.results, err);

    if (rc == 0)
        rc = identify(&c, err);
    if (rc == 0)
        rc = choose_samplers(&c, err);
    if (rc == 0) {
        c.pixels = malloc((size_t)o->n * picture_bytes(&c));
        if (!c.pixels)
            rc = error_set(err, -ENOMEM, "out of memory for %d samples", o->n);
    }
    if (rc == 0 && reference->features && reference->n / 2 >= o->n) {
        rc = comparison_floor(sets_pool(sets), o->watch, reference, o->n, &least, err);
        if (rc == 0) {
            c.floor = least.frechet;
            printf("%-22s  %s %.5g  KID %.5g  (%d against the other %d)\n", "real pictures",
                   comparison_short_name(reference, o->n), least.frechet, least.more.kernel, o->n,
                   reference->n - o->n);
        }
    }
    if (rc == 0)
        rc = run_rows(&c, err);

    free(c.pixels);
    free(c.generated);
    generator_destroy(c.generator);
    checkpoint_destroy(c.checkpoint);
    results_close(c.results);
    return rc;
}
