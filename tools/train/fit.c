#include "tools/train/fit.h"
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/log.h"
#include "model/corruption.h"
#include "model/fit/color_fit.h"
#include "model/fit/prior_fit.h"
#include "model/fit/scaling_fit.h"
#include "model/fit/wiener_fit.h"
#include "tools/pictures/dataset.h"
#include "tools/pictures/order.h"
#include "tools/train/recipe.h"

#include <errno.h>
#include <jansson.h>
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

/* At most *n images in a random order, [n,side,side,3]; *n becomes how many there are. Of large ones
 * there are fewer: 20,000 of 512 px would be 63 GB. 0, -ENOMEM or -EIO. */
static int sample_images(const struct dataset *d, uint64_t seed, int *n, float **out,
                         struct error *err)
{
    size_t count = (size_t)d->side * (size_t)d->side * 3, most = FLOATS_MAX / count;
    int *order = calloc((size_t)d->n, sizeof(*order)), rc;
    float *images;

    if ((size_t)*n > most)
        *n = most < 2 ? 2 : (int)most;
    if (*n > d->n)
        *n = d->n;
    images = malloc((size_t)*n * count * sizeof(*images));
    rc = order && images ? 0 : error_set(err, -ENOMEM, "out of memory for %d images", *n);
    if (rc == 0)
        order_shuffled(seed, UINT32_MAX, d->n, order);
    for (int i = 0; i < *n && rc == 0; i++)
        rc = dataset_image(d, order[i], false, images + (size_t)i * count, err);
    free(order);
    if (rc < 0)
        free(images);
    else
        *out = images;
    return rc;
}

static void tell_beginning(const char *what, int n_images)
{
    log_write(LOG_INFO, "event=fitting what=%s images=%d", what, n_images);
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

/* Noise is where the recipe says: before the levels, or beside them. */
static int join_noise(const struct recipe_schedule *s, int n, const double *levels,
                      struct schedule *out, struct error *err)
{
    return s->beside ? schedule_noise_beside_levels(s->sigma_min, s->sigma_max, s->t_noise, n,
                                                    levels, out, err)
                     : schedule_noise_then_levels(s->sigma_min, s->sigma_max, s->t_noise, n, levels,
                                                  out, err);
}

static int fit_levels(const struct recipe *r, const struct dataset *d,
                      const struct corruption *corruption, const struct watch *watch,
                      struct fit_report *report, struct schedule *out, struct error *err)
{
    const struct recipe_schedule *s = &r->schedule;
    const double ends[] = {s->fit.level_min, s->fit.level_max};
    struct schedule_fit_options options = s->fit;
    double levels[RECIPE_LEVELS_MAX], start = clock_seconds();
    int n_images = s->images, rc = 0;
    float *images = NULL;

    if (corruption_last_level(corruption) > 0)
        rc = check_levels(corruption, 2, ends, err);
    if (rc < 0)
        return rc;
    options.watch = watch;
    rc = sample_images(d, r->seed, &n_images, &images, err);
    if (rc < 0)
        return rc;
    tell_beginning("schedule", n_images);
    rc = schedule_fit(corruption, n_images, 3, images, &options, levels, &report->schedule, err);
    free(images);
    if (rc < 0) {
        error_prefix(err, "fitting the schedule: ");
        return rc;
    }
    report->images = n_images;
    log_write(LOG_INFO, "event=fitted what=schedule images=%d levels=%d eps=%.4g seconds=%.1f",
              n_images, options.n_levels, report->schedule.eps, clock_seconds() - start);
    return join_noise(s, options.n_levels, levels, out, err);
}

int fit_schedule(const struct recipe *r, const struct dataset *d,
                 const struct corruption *corruption, const struct watch *watch,
                 struct fit_report *report, struct schedule *out, struct error *err)
{
    const struct recipe_schedule *s = &r->schedule;
    int rc;

    *report = (struct fit_report){0};
    switch (s->kind) {
    case RECIPE_SCHEDULE_VP:
        return schedule_vp(s->beta_min, s->beta_max, s->noise_scale,
                           strcmp(corruption_name(corruption), "subvp") == 0, out, err);
    case RECIPE_SCHEDULE_NOISE:
        return schedule_noise_then_levels(s->sigma_min, s->sigma_max, 1, 0, NULL, out, err);
    case RECIPE_SCHEDULE_LEVELS:
        rc = check_levels(corruption, s->n_levels, s->levels, err);
        return rc < 0 ? rc : join_noise(s, s->n_levels, s->levels, out, err);
    case RECIPE_SCHEDULE_KNOTS:
        rc = check_levels(corruption, s->knots.level.n, s->knots.level.value, err);
        return rc < 0 ? rc : schedule_copy(&s->knots, out, err);
    case RECIPE_SCHEDULE_FIT:
        break;
    }
    return fit_levels(r, d, corruption, watch, report, out, err);
}

static int fit_prior(const struct recipe *r, const struct dataset *d, const struct watch *watch,
                     struct formulation *f, struct error *err)
{
    double start = clock_seconds();
    float *images;
    int n = PRIOR_IMAGES, rc = sample_images(d, r->seed, &n, &images, err);

    if (rc < 0)
        return rc;
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
    double start = clock_seconds();
    float *images;
    int n = WIENER_IMAGES, rc = sample_images(d, r->seed, &n, &images, err);

    if (rc < 0)
        return rc;
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
    double start = clock_seconds();
    float *images;
    int n = SCALING_IMAGES, rc = sample_images(d, r->seed, &n, &images, err);

    if (rc < 0)
        return rc;
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
    float *images;
    int n = COLOR_IMAGES, rc = sample_images(d, r->seed, &n, &images, err);

    if (rc < 0)
        return rc;
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
    float *images = NULL;

    if (!vp && r->schedule.kind != RECIPE_SCHEDULE_NOISE)
        return;
    if (sample_images(d, r->seed, &n, &images, NULL) < 0)
        return; /* what needs them says why */
    distance = typical_distance(images, n, (size_t)d->side * (size_t)d->side * 3);
    free(images);
    faded = vp ? schedule_level(s, 1) : 1;
    if (schedule_sigma(s, 1) >= 0.5 * faded * distance)
        return;
    /* a(1) = exp(-(beta_min + beta_max) / 4), and sigma(1) is about noise_scale. */
    sensible = vp ? 4 * log(distance / r->schedule.noise_scale) - r->schedule.beta_min : distance;
    log_write(LOG_WARN, "event=weak_noise key=schedule.%s value=%g sensible=%.2g reason=%s",
              vp ? "beta_max" : "sigma_max", vp ? r->schedule.beta_max : r->schedule.sigma_max,
              sensible,
              LOG_TEXT("at its end the pictures can still be seen, where drawing begins"));
}

/* Without noise: what is drawn must differ by what the corruption leaves, and time be told by itself. */
static int check_randomness(const struct recipe *r, struct formulation *f, struct error *err)
{
    f->sampling.noiseless = !schedule_has_noise(&f->schedule);
    if (!f->sampling.noiseless)
        return 0;
    if (corruption_kind(f->corruption) != CORRUPTION_SEPARABLE)
        return error_set(err, -EINVAL,
                         "\"schedule.sigma_max\": without noise every image drawn would be the "
                         "same: \"%s\" leaves nothing that differs",
                         corruption_name(f->corruption));
    if (r->time_embed == TIME_FOURIER_LOG_SIGMA)
        return error_set(err, -EINVAL, "\"time_embed\": \"%s\" needs noise",
                         time_embed_name(r->time_embed));
    return 0;
}

int fit_formulation(const struct recipe *r, const struct dataset *d, const struct watch *watch,
                    struct formulation *out, struct error *err)
{
    struct formulation f = {.architecture = r->architecture,
                            .output = r->output,
                            .time_embed = r->time_embed,
                            .sampling = {.refining_grid = true}};
    struct fit_report report;
    int rc;

    rc = corruption_create(r->corruption, d->side, d->side, &f.corruption, err);
    if (rc == 0)
        rc = fit_schedule(r, d, f.corruption, watch, &report, &f.schedule, err);
    if (rc == 0)
        rc = check_randomness(r, &f, err);
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
