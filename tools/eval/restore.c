#include "tools/eval/restore.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/watch.h"
#include "model/checkpoint.h"
#include "model/generator.h"
#include "tools/eval/linear_estimate.h"
#include "tools/eval/perceptual.h"
#include "tools/eval/sets.h"
#include "tools/pictures/dataset.h"

enum { LANES = 16 };

/* A picture that comes back as it was is not infinitely good. */
static const double mse_least = 1e-4;

struct run {
    const struct restore_options *o;
    struct restore_facts facts;
    struct sets *sets;
    struct checkpoint *checkpoint;
    struct generator *generator;
    struct perceptual *perceptual;
    struct dataset *pictures;
    struct linear_estimate *linear;        /* NULL: none */
    struct degrader *degrader;             /* of the row */
    size_t bytes;                          /* of a picture */
    uint8_t *pixels;                       /* owned: what follows */
    uint8_t *degraded, *estimated, *means; /* [n,side,side,3] */
    uint8_t *samples;                      /* [n samples,side,side,3] */
    uint8_t *twins;                        /* [n samples,side,side,3]: each sample's real picture */
    double *distances;                     /* [n samples]; owned */
    double *values;                        /* [side,side,3], scratch; owned with it */
};

static int no_memory(struct error *err)
{
    return error_set(err, -ENOMEM, "out of memory to restore pictures");
}

/* Measuring */

/* The root of the mean square of A x - y where y is known, in steps of 8 bits. */
static double residual(struct run *r, const uint8_t *x, const uint8_t *y)
{
    double sum = 0, n = 0;

    for (size_t i = 0; i < r->bytes; i++)
        r->values[i] = x[i] / 255.0;
    degrader_apply(r->degrader, r->values, r->values);
    for (size_t i = 0; i < r->bytes; i++) {
        double difference = 255 * r->values[i] - y[i];

        if (degrader_mask(r->degrader)[i / 3] == 0)
            continue;
        sum += difference * difference;
        n++;
    }
    return n > 0 ? sqrt(sum / n) : 0;
}

static double psnr(const uint8_t *a, const uint8_t *b, size_t bytes)
{
    double sum = 0;

    for (size_t i = 0; i < bytes; i++)
        sum += (double)(a[i] - b[i]) * (double)(a[i] - b[i]);
    return 10 * log10(255.0 * 255 / fmax(sum / (double)bytes, mse_least));
}

/* Pictures x, each times the real ones as there are, against these. */
static int measure(struct run *r, const uint8_t *x, int times, struct restore_row *out,
                   struct error *err)
{
    const int n = r->facts.n_pictures;
    const uint8_t *real = times > 1 ? r->twins : r->pictures->pixels;
    double sum = 0, squares = 0;
    int rc;

    *out = (struct restore_row){.has = true};
    for (int i = 0; i < n; i++) {
        double mean = 0; /* of a picture: its samples are not independent */

        for (int k = 0; k < times; k++) {
            size_t at = ((size_t)i * (size_t)times + (size_t)k) * r->bytes;

            mean += psnr(x + at, real + at, r->bytes) / times;
            out->residual += residual(r, x + at, r->degraded + (size_t)i * r->bytes) / times / n;
        }
        sum += mean;
        squares += mean * mean;
    }
    out->psnr = sum / n;
    out->psnr_error = n > 1 ? sqrt(fmax(squares / n - out->psnr * out->psnr, 0) / (n - 1)) : 0;
    rc = perceptual_compare(r->perceptual, n * times, x, real, r->o->watch, r->distances, err);
    for (int i = 0; i < n * times && rc == 0; i++)
        out->distance += r->distances[i] / (n * times);
    return rc;
}

/* Drawing */

/* The restoration that the samples of a picture share. */
static int begin_picture(struct run *r, int picture, struct restoration **out, struct error *err)
{
    const struct degrading *what = degrader_of(r->degrader);
    const uint8_t *y = r->degraded + (size_t)picture * r->bytes;
    struct restoration_options options = {.degradation = what->kind,
                                          .std = what->amount,
                                          .mask = degrader_mask(r->degrader),
                                          .time = -1,
                                          .consistency = -1,
                                          .sampler = r->facts.sampling.sampler,
                                          .nfe = r->facts.sampling.nfe};
    float *values = malloc(r->bytes * sizeof(*values));
    int rc;

    if (!values)
        return no_memory(err);
    for (size_t i = 0; i < r->bytes; i++)
        values[i] = (float)y[i] / 255;
    options.picture = values;
    rc = restoration_create(&r->checkpoint->formulation, &options, out, err);
    free(values);
    return rc;
}

static int take(struct run *r, const struct generator_image *images, int n, struct error *err)
{
    for (int i = 0; i < n; i++) {
        if (!images[i].finite)
            return error_set(err, -EDOM, "the image of seed %llu has numbers that are not finite",
                             (unsigned long long)images[i].seed);
        memcpy(r->samples + images[i].id * r->bytes, images[i].pixels, r->bytes);
    }
    return 0;
}

/* Fills free lanes with samples from *next on; lead is of the picture that is begun. */
static int fill_lanes(struct run *r, int *next, int n, struct restoration **lead, struct error *err)
{
    int rc = 0;

    while (rc == 0 && *next < n && generator_busy(r->generator) < generator_lanes(r->generator)) {
        struct generator_task task = {.id = (uint64_t)*next,
                                      .seed = r->o->seed + (uint64_t)*next,
                                      .sampler = r->facts.sampling.sampler};

        if (*next % r->o->n_samples == 0) {
            restoration_destroy(*lead);
            *lead = NULL;
            rc = begin_picture(r, *next / r->o->n_samples, lead, err);
        }
        if (rc < 0)
            break;
        restoration_lead(*lead, &task);
        rc = generator_submit(r->generator, &task, err);
        ++*next;
    }
    return rc;
}

/* As the daemon does with what it answers. */
static int finish(struct run *r, struct error *err)
{
    struct restoration *lead;
    int rc = 0;

    for (int i = 0; i < r->facts.n_pictures && rc == 0; i++) {
        rc = begin_picture(r, i, &lead, err);
        if (rc < 0)
            return rc;
        for (int k = 0; k < r->o->n_samples && rc == 0; k++)
            rc = restoration_finish(lead,
                                    r->samples + ((size_t)i * (size_t)r->o->n_samples + (size_t)k) *
                                                     r->bytes);
        restoration_destroy(lead);
    }
    return rc < 0 ? no_memory(err) : 0;
}

static int draw(struct run *r, struct error *err)
{
    int n = r->facts.n_pictures * r->o->n_samples, next = 0, done = 0, n_images, rc = 0;
    struct generator_image images[LANES];
    struct restoration *lead = NULL;

    while (done < n && rc == 0) {
        if (watch_stop(r->o->watch))
            rc = error_set(err, -ECANCELED, "stopped with %d of %d images done", done, n);
        if (rc == 0)
            rc = fill_lanes(r, &next, n, &lead, err);
        if (rc == 0)
            rc = generator_tick(r->generator, images, &n_images, err);
        if (rc == 0)
            rc = take(r, images, n_images, err);
        done += rc == 0 ? n_images : 0;
        watch_progress(r->o->watch, "restoring", done, n);
    }
    restoration_destroy(lead);
    return rc < 0 ? rc : finish(r, err);
}

static void average(struct run *r)
{
    const size_t k = (size_t)r->o->n_samples;

    for (size_t i = 0; i < (size_t)r->facts.n_pictures; i++)
        for (size_t at = 0; at < r->bytes; at++) {
            double sum = 0;

            for (size_t s = 0; s < k; s++)
                sum += r->samples[(i * k + s) * r->bytes + at];
            r->means[i * r->bytes + at] = (uint8_t)lround(sum / (double)k);
        }
}

static int restore(struct run *r, const struct degrading *what,
                   struct restore_row rows[RESTORE_SOURCES], struct error *err)
{
    const int n = r->facts.n_pictures;
    int rc = degrader_create(what, r->facts.side, 3, r->o->seed, &r->degrader, err);

    if (rc < 0)
        return rc;
    for (int i = 0; i < n; i++)
        degrader_degrade(r->degrader, i, r->pictures->pixels + (size_t)i * r->bytes,
                         r->degraded + (size_t)i * r->bytes);
    rows[RESTORE_LINEAR].has = false;
    rc = measure(r, r->degraded, 1, &rows[RESTORE_DEGRADED], err);
    if (rc == 0 && r->linear) {
        rc = linear_estimate_of(r->linear, r->degrader, n, r->degraded, r->estimated, err);
        if (rc == 0)
            rc = measure(r, r->estimated, 1, &rows[RESTORE_LINEAR], err);
    }
    if (rc == 0)
        rc = draw(r, err);
    if (rc == 0)
        rc = measure(r, r->samples, r->o->n_samples, &rows[RESTORE_SAMPLE], err);
    if (rc == 0) {
        average(r);
        rc = measure(r, r->means, 1, &rows[RESTORE_MEAN], err);
    }
    degrader_destroy(r->degrader);
    r->degrader = NULL;
    if (rc < 0)
        error_prefix(err, "%s: ", what->name);
    return rc;
}

/* Beginning */

static int choose_sampling(struct run *r, struct error *err)
{
    enum sampler sampler;
    int rc = r->o->sampler ? sampler_parse(r->o->sampler, &sampler, err) : 0;

    return rc < 0 ? rc
                  : sampling_choose_midway(&r->checkpoint->formulation.sampling,
                                           r->o->sampler ? &sampler : NULL, r->o->nfe,
                                           SAMPLER_NFE_MAX, &r->facts.sampling, err);
}

static int read_pictures(struct run *r, bool skip_bad, struct error *err)
{
    const struct dataset_options options = {.side = r->facts.side,
                                            .skip_bad = skip_bad,
                                            .watch = r->o->watch};
    struct dataset *others;
    int rc = dataset_open(r->o->pictures, &options, sets_pool(r->sets), &r->pictures, err);

    if (rc < 0)
        return rc;
    r->facts.n_pictures = r->pictures->n < r->o->n_pictures ? r->pictures->n : r->o->n_pictures;
    if (!r->o->others)
        return 0;
    rc = dataset_open(r->o->others, &options, sets_pool(r->sets), &others, err);
    if (rc < 0)
        return rc;
    r->facts.n_others = others->n < r->o->n_others ? others->n : r->o->n_others;
    rc = linear_estimate_fit(sets_pool(r->sets), r->o->watch, r->facts.n_others, r->facts.side, 3,
                             others->pixels, &r->linear, err);
    dataset_close(others);
    return rc;
}

static int make_room(struct run *r, struct error *err)
{
    size_t n = (size_t)r->facts.n_pictures, k = (size_t)r->o->n_samples;

    r->pixels = malloc((3 + 2 * k) * n * r->bytes);
    r->distances = malloc((n * k + r->bytes) * sizeof(*r->distances));
    if (!r->pixels || !r->distances)
        return no_memory(err);
    r->degraded = r->pixels;
    r->estimated = r->degraded + n * r->bytes;
    r->means = r->estimated + n * r->bytes;
    r->samples = r->means + n * r->bytes;
    r->twins = r->samples + n * k * r->bytes;
    r->values = r->distances + n * k;
    for (size_t i = 0; i < n * k; i++)
        memcpy(r->twins + i * r->bytes, r->pictures->pixels + i / k * r->bytes, r->bytes);
    return 0;
}

static int prepare(struct run *r, struct sets_options *sets, struct error *err)
{
    const struct architecture *a;
    struct generator_options options = {.precision = r->o->precision,
                                        .lanes = LANES,
                                        .restoration = true};
    int rc = checkpoint_load(r->o->model, &r->checkpoint, err);

    if (rc == 0)
        rc = choose_sampling(r, err);
    if (rc < 0)
        return rc;
    a = &r->checkpoint->formulation.architecture;
    if (a->num_channels != 3)
        return error_set(err, -EINVAL, "pictures of %d channel cannot be compared",
                         a->num_channels);
    snprintf(r->facts.checkpoint, sizeof(r->facts.checkpoint), "%s", r->checkpoint->digest);
    r->facts.side = sets->side = a->image_size;
    r->bytes = (size_t)a->image_size * (size_t)a->image_size * 3;
    options.nfe_max = r->facts.sampling.nfe;
    rc = sets_open(sets, &r->sets, err);
    if (rc == 0)
        rc = generator_create(sets_device(r->sets), r->checkpoint, &options, &r->generator, err);
    if (rc == 0)
        rc = perceptual_create(sets_device(r->sets), sets_pool(r->sets), sets->network,
                               a->image_size, &r->perceptual, err);
    if (rc == 0)
        rc = read_pictures(r, sets->skip_bad, err);
    return rc < 0 ? rc : make_room(r, err);
}

int restore_run(const struct restore_options *o, struct sets_options *sets,
                void (*row)(void *arg, const struct restore_facts *facts,
                            const struct degrading *what,
                            const struct restore_row rows[RESTORE_SOURCES]),
                void *arg, struct error *err)
{
    struct restore_row rows[RESTORE_SOURCES];
    struct run r = {.o = o};
    int rc = prepare(&r, sets, err);

    for (int i = 0; i < o->n_degradings && rc == 0; i++) {
        rc = restore(&r, &o->degradings[i], rows, err);
        if (rc == 0)
            row(arg, &r.facts, &o->degradings[i], rows);
    }
    free(r.pixels);
    free(r.distances);
    linear_estimate_destroy(r.linear);
    dataset_close(r.pictures);
    perceptual_destroy(r.perceptual);
    generator_destroy(r.generator);
    checkpoint_destroy(r.checkpoint);
    sets_close(r.sets);
    return rc;
}
