/* Modes that C leaves apart are carried apart: for scalars each alone, for blurs those of one parity in
 * both directions, which are a quarter of all. Which go together is read from C at some levels.
 */
#include "model/fit/gaussian.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/watch.h"
#include "model/corruption.h"
#include "model/fit/cosine_operator.h"
#include "model/fit/dense.h"
#include "model/schedule.h"
#include "model/wiener.h"

/* What is smaller in C couples nothing: it comes from the rounding of its numbers to float. */
static const double coupling_min = 1e-6;

enum { CACHED = 4, SCRATCH = 6, COUPLING_LEVELS = 9 };

/* Modes that C mixes, and the covariance of x and m in them, [n,n] each. */
struct group {
    int n;
    int *modes; /* [n], borrowed from the list of all */
    double *x, *xm, *m;
    double *right; /* the right law */
    double *root;  /* its square root */
};

/* C at a time, all modes. */
struct cached {
    double t;
    double *matrix; /* [count,count], or of scalars the diagonal [count] */
};

struct gaussian {
    const struct corruption *corruption;
    const struct schedule *schedule;
    int side, count;  /* count: modes */
    bool apart;       /* no mode has to do with another: a scalar */
    double *spectrum; /* [count] */
    struct cosine_operator *op;
    int *pairs; /* [count,2] i and j of the modes */
    int *order; /* [count] the modes, group by group */
    int n_groups;
    struct group *groups;
    struct cached cached[CACHED];
    int n_cached, oldest;
    float *gain;                                    /* [count] of an estimate */
    double *c[SAMPLER_CORRUPTIONS], *k, *p, *q, *r; /* [largest group squared] of a row */
    double *scratch[SCRATCH];                       /* the same */
};

int gaussian_band(int i, int j)
{
    int band = 0;

    for (int largest = i > j ? i : j; largest > 0; largest /= 2)
        band++;
    return band;
}

int gaussian_n_bands(int side)
{
    return gaussian_band(side - 1, 0) + 1;
}

/* C(level) of all modes, or of scalars the diagonal. */
static void read_matrix(struct gaussian *g, double level, double *out)
{
    if (g->apart)
        cosine_operator_kept(g->op, level, g->count, g->pairs, out);
    else
        cosine_operator_matrix(g->op, level, out);
}

static double level_at(const struct gaussian *g, double t)
{
    return t > 0 ? schedule_level(g->schedule, t) : corruption_clean_level(g->corruption);
}

/* C at a time, until CACHED others have been asked for. */
static const double *matrix_at(struct gaussian *g, double t)
{
    struct cached *entry;

    for (int i = 0; i < g->n_cached; i++) {
        if (g->cached[i].t == t)
            return g->cached[i].matrix;
    }
    entry = &g->cached[g->oldest];
    g->oldest = (g->oldest + 1) % CACHED;
    if (g->n_cached < CACHED)
        g->n_cached++;
    entry->t = t;
    read_matrix(g, level_at(g, t), entry->matrix);
    return entry->matrix;
}

static int first_of(int *parent, int i)
{
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

/* Modes with the same first one go together. */
static void couple_modes(struct gaussian *g, int *parent)
{
    size_t count = (size_t)g->count;

    for (int i = 0; i < g->count; i++)
        parent[i] = i;
    for (int level = 0; level < COUPLING_LEVELS && !g->apart; level++) {
        const double *c = matrix_at(g, (level + 1.0) / COUPLING_LEVELS);

        for (int i = 0; i < g->count; i++) {
            for (int j = 0; j < i; j++) {
                if (fabs(c[(size_t)i * count + (size_t)j]) > coupling_min)
                    parent[first_of(parent, i)] = first_of(parent, j);
            }
        }
    }
}

static int group_init(struct group *group)
{
    size_t size = (size_t)group->n * (size_t)group->n;

    group->x = calloc(size, sizeof(*group->x));
    group->xm = calloc(size, sizeof(*group->xm));
    group->m = calloc(size, sizeof(*group->m));
    group->right = calloc(size, sizeof(*group->right));
    group->root = calloc(size, sizeof(*group->root));
    return group->x && group->xm && group->m && group->right && group->root ? 0 : -ENOMEM;
}

/* Lists the modes group by group. Returns the size of the largest, or -ENOMEM. */
static int make_groups(struct gaussian *g, int *parent)
{
    int n = 0, largest = 0;

    for (int first = 0; first < g->count; first++) {
        struct group *group = &g->groups[g->n_groups];

        if (first_of(parent, first) != first)
            continue;
        group->modes = g->order + n;
        for (int i = 0; i < g->count; i++) {
            if (first_of(parent, i) == first)
                group->modes[group->n++] = i;
        }
        n += group->n;
        largest = group->n > largest ? group->n : largest;
        g->n_groups++;
        if (group_init(group) < 0)
            return -ENOMEM;
    }
    return largest;
}

/* The modes of a group from a matrix of all. */
static void gather(const struct gaussian *g, const struct group *group, const double *all,
                   double *out)
{
    if (g->apart) {
        out[0] = all[group->modes[0]];
        return;
    }
    for (int i = 0; i < group->n; i++) {
        for (int j = 0; j < group->n; j++)
            out[i * group->n + j] =
                all[(size_t)group->modes[i] * (size_t)g->count + (size_t)group->modes[j]];
    }
}

/* out = C S C^T + sigma^2 for symmetric C. */
static void noisy_covariance(const struct gaussian *g, const struct group *group, const double *c,
                             double sigma, double *scratch, double *out)
{
    int n = group->n;

    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++)
            scratch[i * n + j] = g->spectrum[group->modes[i]] * c[i * n + j];
    }
    dense_multiply(n, c, scratch, false, out);
    for (int i = 0; i < n; i++)
        out[i * n + i] += sigma * sigma;
}

/* k^T = (C S C^T + sigma^2)^-1 C S, in g->k transposed to k. 0 or -EIO. */
static int exact_denoiser(struct gaussian *g, const struct group *group, double t, const double *c,
                          double *k, struct error *err)
{
    int n = group->n, rc;

    noisy_covariance(g, group, c, schedule_sigma(g->schedule, t), g->scratch[0], g->scratch[1]);
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++)
            g->scratch[0][i * n + j] = c[i * n + j] * g->spectrum[group->modes[j]];
    }
    rc = dense_solve(n, g->scratch[1], g->scratch[0], g->scratch[2], err);
    for (int i = 0; rc == 0 && i < n; i++) {
        for (int j = 0; j < n; j++)
            k[j * n + i] = g->scratch[0][i * n + j];
    }
    return rc;
}

/* K at time t for a group. */
static int make_denoiser(struct gaussian *g, const struct group *group, double t,
                         const struct wiener *estimate, struct error *err)
{
    float c_in, c_out;
    int n = group->n;

    if (!estimate) {
        gather(g, group, matrix_at(g, t), g->c[0]);
        return exact_denoiser(g, group, t, g->c[0], g->k, err);
    }
    wiener_at(estimate, t, g->gain, &c_in, &c_out);
    memset(g->k, 0, (size_t)n * (size_t)n * sizeof(*g->k));
    for (int i = 0; i < n; i++)
        g->k[i * n + i] = (double)g->gain[group->modes[i]];
    return 0;
}

/* What fine steps end with: the law of h at the least noise, K C S, with C as `all` has it. 0, -ENOMEM or -EIO. */
static int make_right_law(struct gaussian *g, struct group *group, const double *all,
                          struct error *err)
{
    int n = group->n, rc;

    gather(g, group, all, g->c[0]);
    rc = exact_denoiser(g, group, 0, g->c[0], g->k, err);
    if (rc < 0)
        return rc;
    for (int i = 0; i < n * n; i++)
        g->c[0][i] *= g->spectrum[group->modes[i % n]];
    dense_multiply(n, g->k, g->c[0], false, group->right);
    return dense_root(n, group->right, g->scratch, group->root, err);
}

static int allocate_row(struct gaussian *g, int largest)
{
    size_t size = (size_t)largest * (size_t)largest;
    double **all[] = {&g->c[0], &g->c[1], &g->c[2], &g->k, &g->p, &g->q, &g->r};
    size_t n = sizeof(all) / sizeof(all[0]);
    bool whole = true;

    for (size_t i = 0; i < n; i++)
        whole = (*all[i] = calloc(size, sizeof(double))) && whole;
    for (int i = 0; i < SCRATCH; i++)
        whole = (g->scratch[i] = calloc(size, sizeof(double))) && whole;
    return whole ? 0 : -ENOMEM;
}

static int allocate(struct gaussian *g)
{
    size_t count = (size_t)g->count;
    bool whole = true;

    g->spectrum = malloc(count * sizeof(*g->spectrum));
    g->pairs = malloc(2 * count * sizeof(*g->pairs));
    g->order = malloc(count * sizeof(*g->order));
    g->groups = calloc(count, sizeof(*g->groups));
    g->gain = malloc(count * sizeof(*g->gain));
    for (int i = 0; i < CACHED; i++)
        whole =
            (g->cached[i].matrix = malloc((g->apart ? count : count * count) * sizeof(double))) &&
            whole;
    return whole && g->spectrum && g->pairs && g->order && g->groups && g->gain ? 0 : -ENOMEM;
}

int gaussian_create(const struct corruption *c, const struct schedule *s, int side,
                    const double *spectrum, struct gaussian **out, struct error *err)
{
    struct gaussian *g = calloc(1, sizeof(*g));
    int *parent = NULL, rc, largest;

    if (!g)
        return error_set(err, -ENOMEM, "out of memory for Gaussian data");
    g->corruption = c;
    g->schedule = s;
    g->side = side;
    g->count = side * side;
    g->apart = corruption_kind(c) == CORRUPTION_SCALAR;
    rc = cosine_operator_create(c, side, &g->op, err);
    if (rc < 0)
        goto fail;
    parent = malloc((size_t)g->count * sizeof(*parent));
    rc = error_set(err, -ENOMEM, "out of memory for Gaussian data of %d modes", g->count);
    if (!parent || allocate(g) < 0)
        goto fail;
    for (int i = 0; i < 2 * g->count; i++)
        g->pairs[i] = i % 2 ? i / 2 % side : i / 2 / side;
    memcpy(g->spectrum, spectrum, (size_t)g->count * sizeof(*spectrum));
    couple_modes(g, parent);
    largest = make_groups(g, parent);
    if (largest < 1 || allocate_row(g, largest) < 0)
        goto fail;
    rc = 0;
    read_matrix(g, schedule_level(s, 0), g->cached[0].matrix);
    for (int i = 0; rc == 0 && i < g->n_groups; i++)
        rc = make_right_law(g, &g->groups[i], g->cached[0].matrix, err);
    if (rc < 0)
        goto fail;
    g->n_cached = g->oldest = 0;
    free(parent);
    *out = g;
    return 0;

fail:
    free(parent);
    gaussian_destroy(g);
    return rc;
}

void gaussian_destroy(struct gaussian *g)
{
    if (!g)
        return;
    cosine_operator_destroy(g->op);
    for (int i = 0; i < g->n_groups; i++) {
        free(g->groups[i].x);
        free(g->groups[i].xm);
        free(g->groups[i].m);
        free(g->groups[i].right);
        free(g->groups[i].root);
    }
    for (int i = 0; i < CACHED; i++)
        free(g->cached[i].matrix);
    for (int i = 0; i < SAMPLER_CORRUPTIONS; i++)
        free(g->c[i]);
    for (int i = 0; i < SCRATCH; i++)
        free(g->scratch[i]);
    free(g->k);
    free(g->p);
    free(g->q);
    free(g->r);
    free(g->gain);
    free(g->groups);
    free(g->order);
    free(g->pairs);
    free(g->spectrum);
    free(g);
}

static void start_group(struct gaussian *g, struct group *group)
{
    size_t size = (size_t)group->n * (size_t)group->n;

    gather(g, group, matrix_at(g, 1), g->c[0]);
    noisy_covariance(g, group, g->c[0], schedule_sigma(g->schedule, 1), g->scratch[0], group->x);
    memset(group->xm, 0, size * sizeof(*group->xm));
    memset(group->m, 0, size * sizeof(*group->m));
}

/* x' = p x + q m + eta, m' = r x. */
static int make_row(struct gaussian *g, const struct group *group, const struct sampler_row *row,
                    const struct wiener *estimate, struct error *err)
{
    const double times[SAMPLER_CORRUPTIONS] = {row->from, row->middle, row->to};
    double *b = g->scratch[0];
    int n = group->n, rc = make_denoiser(g, group, row->t, estimate, err);

    if (rc < 0)
        return rc;
    memset(b, 0, (size_t)n * (size_t)n * sizeof(*b));
    memset(g->q, 0, (size_t)n * (size_t)n * sizeof(*g->q));
    for (int k = 0; k < SAMPLER_CORRUPTIONS; k++) {
        double trend = (double)row->trend_scale[k], h = (double)row->h_scale[k] + trend;

        if (h == 0 && trend == 0)
            continue;
        gather(g, group, matrix_at(g, times[k]), g->c[k]);
        for (int i = 0; i < n * n; i++) {
            b[i] += h * g->c[k][i];
            g->q[i] -= trend * g->c[k][i];
        }
    }
    dense_multiply(n, b, g->k, false, g->p);
    for (int i = 0; i < n * n; i++)
        g->r[i] = (double)row->keep_h * g->k[i];
    for (int i = 0; i < n; i++) {
        g->p[i * n + i] += (double)row->x_scale;
        g->q[i * n + i] += (double)row->m_scale;
        g->r[i * n + i] += (double)row->keep_x;
    }
    return 0;
}

/* Covariances after the row that make_row() has made. */
static void carry(struct gaussian *g, struct group *group, double eta)
{
    double **s = g->scratch, *to_x = s[0], *to_m = s[1], *half = s[2], *turned = s[3];
    int n = group->n;
    size_t bytes = (size_t)n * (size_t)n * sizeof(double);

    dense_multiply(n, g->p, group->x, false, to_x); /* cov(x', x) */
    dense_multiply_transposed(n, g->q, group->xm, true, turned, to_x);
    dense_multiply(n, g->p, group->xm, false, to_m); /* cov(x', m) */
    dense_multiply(n, g->q, group->m, true, to_m);
    dense_multiply_transposed(n, to_x, g->r, false, turned, group->xm); /* cov(x', m') */
    dense_multiply(n, g->r, group->x, false, half);
    dense_multiply_transposed(n, half, g->r, false, turned, group->m);
    dense_multiply_transposed(n, to_x, g->p, false, turned, half);
    dense_multiply_transposed(n, to_m, g->q, true, turned, half);
    memcpy(group->x, half, bytes);
    for (int i = 0; i < n; i++)
        group->x[i * n + i] += eta * eta;
}

/* Adds tr(V + R - 2 (R^1/2 V R^1/2)^1/2), V of x and R the right law: the square of W2. */
static int add_distance(struct gaussian *g, const struct group *group, double *sum,
                        struct error *err)
{
    int n = group->n, rc;
    double *product = g->scratch[1], *values = g->scratch[2];

    dense_multiply(n, group->root, group->x, false, g->scratch[0]);
    dense_multiply(n, g->scratch[0], group->root, false, product);
    rc = dense_eigen(n, product, values, err);
    for (int i = 0; rc == 0 && i < n; i++)
        *sum += group->x[i * n + i] + group->right[i * n + i] - 2 * sqrt(fmax(values[i], 0));
    return rc;
}

static int summarise(struct gaussian *g, struct gaussian_result *out, double *variances,
                     struct error *err)
{
    double found[GAUSSIAN_BANDS_MAX] = {0}, right[GAUSSIAN_BANDS_MAX] = {0};
    double found_sum = 0, right_sum = 0, square = 0;
    struct gaussian_result result = {.n_bands = gaussian_n_bands(g->side)};
    int rc = 0;

    for (int k = 0; rc == 0 && k < g->n_groups; k++) {
        const struct group *group = &g->groups[k];

        for (int i = 0; i < group->n; i++) {
            int mode = group->modes[i], band = gaussian_band(mode / g->side, mode % g->side);

            found[band] += group->x[i * group->n + i];
            right[band] += group->right[i * group->n + i];
            if (variances)
                variances[mode] = group->x[i * group->n + i];
        }
        rc = add_distance(g, group, &square, err);
    }
    if (rc < 0)
        return rc;
    for (int band = 0; band < result.n_bands; band++) {
        result.bands[band] = found[band] / right[band];
        found_sum += found[band];
        right_sum += right[band];
    }
    result.total = found_sum / right_sum;
    result.distance = sqrt(fmax(square, 0));
    *out = result;
    return 0;
}

int gaussian_run(struct gaussian *g, int n_rows, const struct sampler_row *rows,
                 const struct wiener *estimate, const struct watch *watch,
                 struct gaussian_result *out, double *variances, struct error *err)
{
    int rc = 0;

    for (int k = 0; k < g->n_groups; k++)
        start_group(g, &g->groups[k]);
    for (int i = 0; i < n_rows && rc == 0; i++) {
        if (watch_stop(watch))
            return error_set(err, -ECANCELED, "stopped at row %d of %d", i, n_rows);
        for (int k = 0; k < g->n_groups && rc == 0; k++) {
            rc = make_row(g, &g->groups[k], &rows[i], estimate, err);
            if (rc == 0)
                carry(g, &g->groups[k], (double)rows[i].eta_scale);
        }
    }
    return rc < 0 ? rc : summarise(g, out, variances, err);
}
