#include "model/fit/transport.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/watch.h"
#include "model/corruption.h"

/* Rounds at the last regularization, and how right the shares of points must be: the cost is then
 * right to a 10,000th of r. */
enum { ROUNDS_MAX = 1000 };
static const double SETTLED = 1e-2;

/* Going further than each round says gets there sooner (Thibault et al. 2017, arXiv:1711.01851). */
static const double BEYOND = 1.5;

struct transport {
    int n;
    double *f, *g;   /* [n] potentials of the points of a and of b */
    double *next;    /* [n] scratch */
    double *columns; /* [n,n] the squares by columns */
    double *memory;  /* all of them, owned */
};

int transport_create(int n, struct transport **out, struct error *err)
{
    struct transport *t = calloc(1, sizeof(*t));
    size_t count = (size_t)n;

    if (t)
        t->memory = malloc((3 * count + count * count) * sizeof(*t->memory));
    if (!t || !t->memory) {
        free(t);
        return error_set(err, -ENOMEM, "out of memory for a coupling of %d images", n);
    }
    t->n = n;
    t->f = t->memory;
    t->g = t->f + count;
    t->next = t->g + count;
    t->columns = t->next + count;
    *out = t;
    return 0;
}

void transport_destroy(struct transport *t)
{
    if (!t)
        return;
    free(t->memory);
    free(t);
}

/* out_i = -r log mean_j exp((g_j - C_ij) / r): the potentials that give every point i its share. */
static void soft_minimum(int n, const double *squares, const double *g, double r, double *out)
{
    for (int i = 0; i < n; i++) {
        const double *row = squares + (size_t)i * (size_t)n;
        double most = -INFINITY, sum = 0;

        for (int j = 0; j < n; j++)
            most = fmax(most, g[j] - row[j]);
        for (int j = 0; j < n; j++) {
            double below = (g[j] - row[j] - most) / r;

            if (below > -40) /* the rest is nothing beside the largest, which is 1 */
                sum += exp(below);
        }
        out[i] = -most - r * log(sum / n);
    }
}

/* Goes from the potentials to better ones, all the way or beyond; how far the share of the worst
 * point is off, of which there is exp((from - to) / r). */
static double follow(int n, double beyond, double r, const double *to, double *from)
{
    double worst = 0;

    for (int i = 0; i < n; i++) {
        worst = fmax(worst, fabs(expm1((from[i] - to[i]) / r)));
        from[i] += beyond * (to[i] - from[i]);
    }
    return worst;
}

static double round_once(struct transport *t, const double *squares, double r, double beyond)
{
    double worst;

    soft_minimum(t->n, squares, t->g, r, t->next);
    worst = follow(t->n, beyond, r, t->next, t->f);
    soft_minimum(t->n, t->columns, t->f, r, t->next);
    return fmax(worst, follow(t->n, beyond, r, t->next, t->g));
}

double transport_cost(struct transport *t, const double *squares, double regularization,
                      double *unsettled)
{
    double most = 0, sum = 0, worst = INFINITY, r;
    size_t n = (size_t)t->n;

    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            most = fmax(most, squares[i * n + j]);
            t->columns[j * n + i] = squares[i * n + j];
        }
        t->f[i] = t->g[i] = 0;
    }
    r = most;
    while (r > regularization) {
        round_once(t, squares, r, 1);
        r *= 0.5;
    }
    for (int i = 0; i < ROUNDS_MAX && worst > SETTLED; i++)
        worst = round_once(t, squares, regularization, i ? BEYOND : 1);
    if (worst > SETTLED)
        *unsettled = fmax(*unsettled, worst);
    /* The dual with the best f for this g: right to the second order in what g lacks. */
    soft_minimum(t->n, squares, t->g, regularization, t->next);
    for (size_t i = 0; i < n; i++)
        sum += t->next[i] + t->g[i];
    return sum / (double)n;
}

/* Images at all levels [n_levels,size,n]: an element of all images side by side. */
static int corrupt_all(const struct corruption *c, int n, int channels, const float *images,
                       int n_levels, const double *levels, const struct watch *watch, double *out,
                       struct error *err)
{
    size_t size = corruption_pixels(c) * (size_t)channels, count = (size_t)n;
    double *y = malloc(size * sizeof(*y));
    int rc = y ? 0 : error_set(err, -ENOMEM, "out of memory for an image");

    for (int l = 0; l < n_levels && rc == 0; l++) {
        struct corruption_matrices *at = NULL;
        double *level = out + (size_t)l * size * count;

        rc = watch_stop(watch) ? error_set(err, -ECANCELED, "stopped")
                               : corruption_matrices_create(c, levels[l], channels, &at, err);
        for (size_t i = 0; i < count && rc == 0; i++) {
            corruption_matrices_apply(at, images + i * size, y);
            for (size_t e = 0; e < size; e++)
                level[e * count + i] = y[e];
        }
        corruption_matrices_destroy(at);
    }
    free(y);
    return rc;
}

/* Squared distances [n,n] of images a and b [size,n]. */
static void find_squares(size_t size, size_t n, const double *a, const double *b, double *out)
{
    memset(out, 0, n * n * sizeof(*out));
    for (size_t e = 0; e < size; e++) {
        const double *x = a + e * n, *y = b + e * n;

        for (size_t i = 0; i < n; i++) {
            double *row = out + i * n;

            for (size_t j = 0; j < n; j++)
                row[j] += (x[i] - y[j]) * (x[i] - y[j]);
        }
    }
}

static double mean_square(size_t n, const double *squares)
{
    double sum = 0;

    for (size_t i = 0; i < n * n; i++)
        sum += squares[i];
    return n > 1 ? sum / (double)(n * (n - 1)) : 0;
}

/* out [n_levels,n_levels]; own: [n_levels] scratch for OT of a level with itself, squares: [n,n]. */
static int compare_all(struct transport *t, size_t size, int n_levels, const double *all,
                       const struct transport_options *options, double *own, double *squares,
                       double *out, double *unsettled, struct error *err)
{
    size_t n = (size_t)t->n, count = (size_t)n_levels;
    double r = 0;

    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j <= i; j++) {
            if (watch_stop(options->watch))
                return error_set(err, -ECANCELED, "stopped with %zu of %zu levels compared", i,
                                 count);
            find_squares(size, n, all + i * size * n, all + j * size * n, squares);
            if (i == 0)
                r = fmax(options->regularization * mean_square(n, squares), 1e-12);
            out[i * count + j] = transport_cost(t, squares, r, unsettled);
        }
        watch_progress(options->watch, "comparing images at all levels", (int)i + 1, n_levels);
    }
    for (size_t i = 0; i < count; i++)
        own[i] = out[i * count + i];
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j <= i; j++) {
            double square = out[i * count + j] - 0.5 * (own[i] + own[j]);

            out[i * count + j] = out[j * count + i] = i == j ? 0 : sqrt(fmax(square, 0));
        }
    }
    return 0;
}

int transport_distances(const struct corruption *c, int n, int channels, const float *images,
                        int n_levels, const double *levels, const struct transport_options *options,
                        double *out, double *unsettled, struct error *err)
{
    size_t size = corruption_pixels(c) * (size_t)channels, count = (size_t)n;
    double *all = calloc((size_t)n_levels * size, count * sizeof(*all));
    double *own = calloc((size_t)n_levels, sizeof(*own));
    double *squares = malloc(count * count * sizeof(*squares));
    struct transport *t = NULL;
    int rc = all && own && squares
                 ? transport_create(n, &t, err)
                 : error_set(err, -ENOMEM, "out of memory for %d images at %d levels", n, n_levels);

    *unsettled = 0;
    if (rc == 0)
        rc = corrupt_all(c, n, channels, images, n_levels, levels, options->watch, all, err);
    if (rc == 0)
        rc = compare_all(t, size, n_levels, all, options, own, squares, out, unsettled, err);
    transport_destroy(t);
    free(all);
    free(own);
    free(squares);
    return rc;
}
