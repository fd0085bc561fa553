#include "tools/train/fit.h"
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/log.h"
#include "model/corruption.h"
#include "model/fit/color_fit.h"
#include "model/fit/prior_fit.h"
#include "model/fit/scaling_fit.h"
#include "model/fit/schedule_path.h"
#include "model/fit/wiener_fit.h"
#include "tools/pictures/dataset.h"
#include "tools/pictures/order.h"
#include "tools/train/recipe.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Images for a fit. The prior has 45 means and covariances: more images change nothing. */
enum {
    PRIOR_IMAGES = 20000,
    WIENER_IMAGES = 1000,
    SCALING_IMAGES = 64,
    COLOR_IMAGES = 1000,
    DISTANCE_IMAGES = 300,
    FLOATS_MAX = 1 << 28, /* of images held for a fit: 1 GiB */
};

/* At most n images in a random order, [n,side,side,3]; *n becomes how many there are. Of large ones
 * there are fewer: 20,000 of 512 px would be 63 GB. */
static float *sample_images(const struct dataset *d, uint64_t seed, int *n)
{
    size_t count = (size_t)d->side * (size_t)d->side * 3, most = FLOATS_MAX / count;
    int *order = calloc((size_t)d->n, sizeof(*order));
    float *images;

    if ((size_t)*n > most)
        *n = most < 2 ? 2 : (int)most;
    if (*n > d->n)
        *n = d->n;
    images = malloc((size_t)*n * count * sizeof(*images));
    if (order && images) {
        order_shuffled(seed, UINT32_MAX, d->n, order);
        for (int i = 0; i < *n; i++)
            dataset_image(d, order[i], false, images + (size_t)i * count);
    } else {
        free(images);
        images = NULL;
    }
    free(order);
    return images;
}

static void tell_beginning(const char *what, int n_images)
{
    log_write(LOG_INFO, "event=fitting what=%s images=%d", what, n_images);
}

static void list_candidates(const struct recipe_schedule *s, const struct corruption *corruption,
                            double *candidates)
{
    double clean = corruption_clean_level(corruption), last = corruption_last_level(corruption);

    for (int i = 0; i < s->candidates; i++) {
        double place = (double)i / (s->candidates - 1);

        candidates[i] = last < clean ? clean + (last - clean) * place
                                     : s->level_min * pow(s->level_max / s->level_min, place);
    }
}

/* What a recipe asks for must be levels of its corruption. */
static int check_levels(const struct corruption *c, int n, const double *levels, struct error *err)
{
    double clean = corruption_clean_level(c), last = corruption_last_level(c);

    for (int i = 0; i < n; i++) {
        if (!(levels[i] >= fmin(clean, last) && levels[i] <= fmax(clean, last)))
            return error_set(err, -EINVAL,
                             "schedule: \"%s\" has levels from %g to %g at this size, not %g",
                             corruption_name(c), clean, last, levels[i]);
    }
    return 0;
}

/* The levels of the shortest path; node 0 is the candidate level_min. That holds although all
 * candidates below about 0.1 px look alike (no distance between them): a path by arc length
 * alone could begin at any of these. */
static int fit_levels(const struct recipe *r, const struct dataset *d,
                      const struct corruption *corruption, const struct watch *watch,
                      double *levels, struct error *err)
{
    const struct recipe_schedule *s = &r->schedule;
    size_t n = (size_t)s->candidates;
    double *candidates = calloc(n, sizeof(*candidates));
    double *distances = calloc(n * n, sizeof(*distances));
    int *nodes = calloc(n, sizeof(*nodes));
    int n_images = s->images, rc;
    float *images = sample_images(d, r->seed, &n_images);
    double start = clock_seconds(), eps;

    if (!candidates || !distances || !nodes || !images) {
        rc = error_set(err, -ENOMEM, "out of memory for %d candidate levels", s->candidates);
        goto out;
    }
    tell_beginning("schedule", n_images);
    list_candidates(s, corruption, candidates);
    rc = schedule_distances(corruption, n_images, 3, images, s->candidates, candidates, watch,
                            distances, err);
    if (rc < 0)
        goto out;
    rc = schedule_path_of_length(s->candidates, distances, s->n_levels, watch, nodes, &eps, err);
    if (rc < 0)
        goto out;
    for (int i = 0; i < s->n_levels; i++)
        levels[i] = candidates[nodes[i]];
    log_write(LOG_INFO, "event=fitted what=schedule images=%d levels=%d eps=%.4g seconds=%.1f",
              n_images, s->n_levels, eps, clock_seconds() - start);

out:
    free(candidates);
    free(distances);
    free(nodes);
    free(images);
    return rc;
}

static int fit_schedule(const struct recipe *r, const struct dataset *d,
                        const struct corruption *corruption, const struct watch *watch,
                        struct schedule *out, struct error *err)
{
    const struct recipe_schedule *s = &r->schedule;
    double levels[RECIPE_LEVELS_MAX];
    int rc;

    switch (s->kind) {
    case RECIPE_SCHEDULE_VP:
        return schedule_vp(s->beta_min, s->beta_max,
                           strcmp(corruption_name(corruption), "subvp") == 0, out, err);
    case RECIPE_SCHEDULE_NOISE:
        return schedule_noise_then_levels(s->sigma_min, s->sigma_max, 1, 0, NULL, out, err);
    case RECIPE_SCHEDULE_LEVELS:
        rc = check_levels(corruption, s->n_levels, s->levels, err);
        if (rc < 0)
            return rc;
        return schedule_noise_then_levels(s->sigma_min, s->sigma_max, s->t_noise, s->n_levels,
                                          s->levels, out, err);
    case RECIPE_SCHEDULE_FIT:
        break;
    }
    rc = corruption_last_level(corruption) > 0
             ? check_levels(corruption, 2, (const double[]){s->level_min, s->level_max}, err)
             : 0;
    if (rc < 0)
        return rc;
    rc = fit_levels(r, d, corruption, watch, levels, err);
    if (rc < 0) {
        error_prefix(err, "fitting the schedule: ");
        return rc;
    }
    return schedule_noise_then_levels(s->sigma_min, s->sigma_max, s->t_noise, s->n_levels, levels,
                                      out, err);
}

static int fit_prior(const struct recipe *r, const struct dataset *d, const struct watch *watch,
                     struct formulation *f, struct error *err)
{
    int n = PRIOR_IMAGES, rc;
    float *images = sample_images(d, r->seed, &n);
    double start = clock_seconds();

    if (!images)
        return error_set(err, -ENOMEM, "out of memory for %d images", n);
    tell_beginning("prior", n);
    rc = prior_fit(f->corruption, &f->schedule, d->side, 3, n, images, watch, &f->prior, err);
    free(images);
    if (rc < 0) {
        error_prefix(err, "fitting the prior: ");
        return rc;
    }
    log_write(LOG_INFO, "event=fitted what=prior images=%d coefficients=%d seconds=%.1f", n,
              f->prior.n_coefficients, clock_seconds() - start);
    return 0;
}

static int fit_wiener(const struct recipe *r, const struct dataset *d, const struct watch *watch,
                      struct formulation *f, struct error *err)
{
    int n = WIENER_IMAGES, rc;
    float *images = sample_images(d, r->seed, &n);
    double start = clock_seconds();

    if (!images)
        return error_set(err, -ENOMEM, "out of memory for %d images", n);
    tell_beginning("wiener", n);
    rc = wiener_fit(f->corruption, &f->schedule, d->side, 3, n, images, watch, &f->wiener, err);
    free(images);
    if (rc < 0) {
        error_prefix(err, "fitting the linear estimate: ");
        return rc;
    }
    log_write(LOG_INFO, "event=fitted what=wiener images=%d seconds=%.1f", n,
              clock_seconds() - start);
    return 0;
}

static int fit_scaling(const struct recipe *r, const struct dataset *d, const struct watch *watch,
                       struct formulation *f, struct error *err)
{
    int n = SCALING_IMAGES, rc;
    float *images = sample_images(d, r->seed, &n);
    double start = clock_seconds();

    if (!images)
        return error_set(err, -ENOMEM, "out of memory for %d images", n);
    tell_beginning("scales", n);
    rc = scaling_fit(f->corruption, &f->schedule, f->architecture.centered, d->side, 3, n, images,
                     watch, &f->scaling, err);
    free(images);
    if (rc == 0)
        log_write(LOG_INFO, "event=fitted what=scales images=%d seconds=%.1f", n,
                  clock_seconds() - start);
    return rc;
}

int fit_color_weights(const struct recipe *r, const struct dataset *d, float out[9],
                      struct error *err)
{
    int n = COLOR_IMAGES, rc;
    float *images = sample_images(d, r->seed, &n);

    if (!images)
        return error_set(err, -ENOMEM, "out of memory for %d images", n);
    rc = color_weights_fit(n, d->side * d->side, 3, images, out, err);
    free(images);
    if (rc < 0)
        error_prefix(err, "\"objective.colors\": ");
    return rc;
}

/* How far two of so many images [n,count] are from each other, root mean square; 0 without memory. */
static double typical_distance(const float *images, int n, size_t count)
{
    double *sums = calloc(2 * count, sizeof(*sums)), variance = 0;

    for (int i = 0; sums && i < n; i++) {
        for (size_t e = 0; e < count; e++) {
            double value = (double)images[(size_t)i * count + e];

            sums[e] += value;
            sums[count + e] += value * value;
        }
    }
    for (size_t e = 0; sums && e < count; e++)
        variance += fmax(sums[count + e] / n - sums[e] / n * (sums[e] / n), 0);
    free(sums);
    return sqrt(2 * variance);
}

/* Where the end is the picture, maybe fainter, in noise, the noise must be about as strong as
 * pictures are far apart: images are begun there without knowing any picture. Song and Ermon 2020
 * (arXiv:2006.09011), technique 1. */
static void warn_of_weak_noise(const struct recipe *r, const struct dataset *d,
                               const struct schedule *s)
{
    bool vp = r->schedule.kind == RECIPE_SCHEDULE_VP;
    double distance, faded, sensible;
    int n = DISTANCE_IMAGES;
    float *images;

    if (!vp && r->schedule.kind != RECIPE_SCHEDULE_NOISE)
        return;
    images = sample_images(d, r->seed, &n);
    distance = images ? typical_distance(images, n, (size_t)d->side * (size_t)d->side * 3) : 0;
    free(images);
    faded = vp ? schedule_level(s, 1) : 1;
    if (schedule_sigma(s, 1) >= 0.5 * faded * distance)
        return;
    /* a(1) = exp(-(beta_min + beta_max) / 4), and sigma(1) is about 1. */
    sensible = vp ? 4 * log(distance) - r->schedule.beta_min : distance;
    log_write(LOG_WARN, "event=weak_noise key=schedule.%s value=%g sensible=%.2g reason=%s",
              vp ? "beta_max" : "sigma_max", vp ? r->schedule.beta_max : r->schedule.sigma_max,
              sensible,
              LOG_TEXT("at its end the pictures can still be seen, where drawing begins"));
}

int fit_formulation(const struct recipe *r, const struct dataset *d, const struct watch *watch,
                    struct formulation *out, struct error *err)
{
    struct formulation f = {.architecture = r->architecture,
                            .output = r->output,
                            .time_embed = r->time_embed,
                            .sampling = {.refining_grid = true}};
    int rc;

    rc = corruption_create(r->corruption, d->side, d->side, &f.corruption, err);
    if (rc == 0)
        rc = fit_schedule(r, d, f.corruption, watch, &f.schedule, err);
    if (rc == 0)
        warn_of_weak_noise(r, d, &f.schedule);
    if (rc == 0)
        rc = fit_prior(r, d, watch, &f, err);
    if (rc == 0 && r->output == OUTPUT_WIENER)
        rc = fit_wiener(r, d, watch, &f, err);
    if (rc == 0 && r->output == OUTPUT_SCALED)
        rc = fit_scaling(r, d, watch, &f, err);
    if (rc < 0) {
        formulation_fini(&f);
        return rc;
    }
    *out = f;
    return 0;
}
