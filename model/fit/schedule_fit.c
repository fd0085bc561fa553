#include "model/fit/schedule_fit.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/watch.h"
#include "model/corruption.h"
#include "model/fit/schedule_path.h"
#include "model/fit/transport.h"

/* Little enough that pictures are not taken for each other, and enough to settle in some tens of
 * rounds. */
static const double REGULARIZATION = 0.01;

static void list_candidates(const struct corruption *c, const struct schedule_fit_options *o,
                            double *out)
{
    double clean = corruption_clean_level(c), last = corruption_last_level(c);
    bool listed = strcmp(corruption_name(c), "matrices") == 0; /* levels are places in a list */

    for (int i = 0; i < o->n_candidates; i++) {
        double place = (double)i / (o->n_candidates - 1);

        if (last < clean)
            out[i] = clean + (last - clean) * place;
        else if (listed)
            out[i] = o->level_min + (o->level_max - o->level_min) * place;
        else
            out[i] = o->level_min * pow(o->level_max / o->level_min, place);
    }
}

/* What is no distance, of that to the last: rounding, or what transport_cost() leaves unsettled. */
static const double idle[] = {1e-6, 5e-3}; /* by estimator */

/* Leaves out candidates that cannot be told from the first, as blurs below about 0.1 px: hops among them
 * cost nothing but rounding, which made paths of many nodes in which nothing happens. distances and
 * numbers [n] of those that stay close up; returns how many these are. */
static int drop_idle(enum schedule_estimator estimator, int n, double *distances, int *numbers)
{
    double least = idle[estimator] * distances[n - 1]; /* from the first to the last */
    int kept = 0;

    for (int i = 0; i < n; i++) {
        if (i == 0 || i == n - 1 || distances[i] > least)
            numbers[kept++] = i;
    }
    for (int i = 0; i < kept; i++) {
        for (int j = 0; j < kept; j++)
            distances[i * kept + j] = distances[numbers[i] * n + numbers[j]];
    }
    return kept;
}

/* The levels of the shortest path; node 0 is the first candidate. */
static int fit_path(const struct corruption *c, int n, int channels, const float *images,
                    const struct schedule_fit_options *o, const double *candidates, double *levels,
                    struct schedule_fit_report *report, struct error *err)
{
    const struct transport_options transport = {.regularization = REGULARIZATION,
                                                .watch = o->watch};
    size_t count = (size_t)o->n_candidates;
    double *distances = calloc(count * count, sizeof(*distances));
    int *nodes = calloc(count, sizeof(*nodes)), *numbers = calloc(count, sizeof(*numbers)), n_kept;
    int rc = distances && nodes && numbers
                 ? 0
                 : error_set(err, -ENOMEM, "out of memory for %d candidates", o->n_candidates);

    if (rc == 0 && o->estimator == SCHEDULE_ESTIMATOR_IDENTITY)
        rc = schedule_distances(c, n, channels, images, o->n_candidates, candidates, o->watch,
                                distances, err);
    else if (rc == 0)
        rc = transport_distances(c, n, channels, images, o->n_candidates, candidates, &transport,
                                 distances, &report->unsettled, err);
    n_kept = rc == 0 ? drop_idle(o->estimator, o->n_candidates, distances, numbers) : 0;
    if (rc == 0)
        rc = schedule_path_of_length(n_kept, distances, o->n_levels, o->watch, nodes, &report->eps,
                                     err);
    for (int i = 0; i < o->n_levels && rc == 0; i++) {
        levels[i] = candidates[numbers[nodes[i]]];
        if (i > 0)
            report->length += distances[nodes[i - 1] * n_kept + nodes[i]];
    }
    free(distances);
    free(numbers);
    free(nodes);
    return rc;
}

/* mean ||C_i x - x||^2 for all candidates, made to rise: where it fell, it is what it was. */
static int find_losses(const struct corruption *c, int n, int channels, const float *images,
                       const struct schedule_fit_options *o, const double *candidates, double *out,
                       struct error *err)
{
    size_t size = corruption_pixels(c) * (size_t)channels;
    double *y = malloc(size * sizeof(*y));
    int rc = y ? 0 : error_set(err, -ENOMEM, "out of memory for an image");

    for (int l = 0; l < o->n_candidates && rc == 0; l++) {
        struct corruption_matrices *at = NULL;

        rc = watch_stop(o->watch)
                 ? error_set(err, -ECANCELED, "stopped with %d of %d levels measured", l,
                             o->n_candidates)
                 : corruption_matrices_create(c, candidates[l], channels, &at, err);
        for (size_t i = 0; i < (size_t)n && rc == 0; i++) {
            const float *x = images + i * size;

            corruption_matrices_apply(at, x, y);
            for (size_t e = 0; e < size; e++)
                out[l] += (y[e] - (double)x[e]) * (y[e] - (double)x[e]) / n;
        }
        if (l > 0)
            out[l] = fmax(out[l], out[l - 1]);
        corruption_matrices_destroy(at);
        watch_progress(o->watch, "measuring what levels take away", l + 1, o->n_candidates);
    }
    free(y);
    return rc;
}

/* Between two candidates the level is on the line that the loss is on. */
static void match_losses(const struct schedule_fit_options *o, const double *candidates,
                         const double *losses, double *levels)
{
    double last = losses[o->n_candidates - 1], ratio = o->ve_sigma_min / o->ve_sigma_max;
    int at = 0;

    for (int i = 0; i < o->n_levels; i++) {
        double wanted = last * pow(ratio, 2 * (1 - (double)i / (o->n_levels - 1)));

        while (at < o->n_candidates - 2 && losses[at + 1] < wanted)
            at++;
        if (losses[at] >= wanted || losses[at + 1] <= losses[at]) {
            levels[i] = candidates[at];
            continue;
        }
        levels[i] =
            candidates[at] + (candidates[at + 1] - candidates[at]) *
                                 fmin((wanted - losses[at]) / (losses[at + 1] - losses[at]), 1);
    }
    levels[o->n_levels - 1] = candidates[o->n_candidates - 1];
}

int schedule_fit(const struct corruption *c, int n, int channels, const float *images,
                 const struct schedule_fit_options *o, double *levels,
                 struct schedule_fit_report *report, struct error *err)
{
    size_t count = (size_t)o->n_candidates;
    double *candidates = calloc(2 * count, sizeof(*candidates)), *losses = candidates + count;
    int rc = candidates
                 ? 0
                 : error_set(err, -ENOMEM, "out of memory for %d candidates", o->n_candidates);

    *report = (struct schedule_fit_report){0};
    if (rc < 0)
        return rc;
    list_candidates(c, o, candidates);
    if (o->rule == SCHEDULE_RULE_PATH) {
        rc = fit_path(c, n, channels, images, o, candidates, levels, report, err);
    } else {
        rc = find_losses(c, n, channels, images, o, candidates, losses, err);
        if (rc == 0 && !(losses[count - 1] > 0))
            rc = error_set(err, -EINVAL, "\"%s\" takes nothing away from these images",
                           corruption_name(c));
        if (rc == 0)
            match_losses(o, candidates, losses, levels);
    }
    free(candidates);
    return rc;
}
