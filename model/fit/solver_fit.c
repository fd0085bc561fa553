/* Levenberg and Marquardt's method on the logarithms of the modes' variances, with differences for
 * derivatives, from a few beginnings. Unknowns: logarithms of the lengths of the steps, which add up
 * to 1, and the trends, held within TREND_MAX, beyond which they blow up what a network gets wrong.
 */
#include "model/fit/solver_fit.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/watch.h"
#include "model/fit/dense.h"
#include "model/fit/solver_modes.h"
#include "model/sampling.h"
#include "model/schedule.h"

enum { TIMES = 1025, ROUNDS = 200 };
enum { UNKNOWNS_MAX = 2 * SOLVER_FIT_NFE_MAX };

/* How much a logarithm of lengths or a trend may weigh against those of variances: enough to make
 * what does not matter stay put. */
static const double stiffness = 1e-3;
static const double trend_max = 2;

struct fit {
    const struct schedule *schedule;
    const struct solver_fit_options *options;
    int n_unknowns, n_residuals;
    struct solver_modes modes;
    double wanted[SOLVER_MODES_MAX];
    double *residual;         /* [n_residuals] */
    double *moved;            /* the same */
    double *jacobian;         /* [n_unknowns,n_residuals] */
    double *normal;           /* [n_unknowns,n_unknowns] */
    double *damped, *scratch; /* the same */
    double *step;             /* the same; its first column is used */
};

/* What the modes should come to. */
static void fill_wanted(struct fit *f)
{
    double sigma = schedule_sigma(f->schedule, 0);

    for (int k = 0; k < f->modes.n; k++) {
        double seen = f->modes.kept[k] * f->modes.kept[k] * f->modes.spectrum[k];

        f->wanted[k] = f->options->target * f->modes.spectrum[k] * seen / (seen + sigma * sigma);
    }
}

static int fit_init(struct fit *f, struct error *err)
{
    size_t unknowns = (size_t)f->n_unknowns, residuals = (size_t)f->n_residuals;
    double **all[] = {&f->normal, &f->damped, &f->scratch, &f->step};
    bool whole = true;

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        whole = (*all[i] = calloc(unknowns * unknowns, sizeof(double))) && whole;
    f->residual = calloc(residuals, sizeof(*f->residual));
    f->moved = calloc(residuals, sizeof(*f->moved));
    f->jacobian = calloc(unknowns * residuals, sizeof(*f->jacobian));
    if (whole && f->residual && f->moved && f->jacobian)
        return 0;
    return error_set(err, -ENOMEM, "out of memory for tables of %d steps", f->options->nfe);
}

static void fit_fini(struct fit *f)
{
    solver_modes_fini(&f->modes);
    free(f->residual);
    free(f->moved);
    free(f->jacobian);
    free(f->normal);
    free(f->damped);
    free(f->scratch);
    free(f->step);
}

/* The table that unknowns stand for: nfe logarithms of lengths, then nfe - 1 trends. */
static void make_table(const struct fit *f, const double *unknowns, struct solver *s)
{
    int nfe = s->nfe;
    double largest = unknowns[0], sum = 0, gone = 0;

    for (int i = 1; i < nfe; i++)
        largest = fmax(largest, unknowns[i]);
    for (int i = 0; i < nfe; i++)
        sum += exp(unknowns[i] - largest);
    s->t[0] = 1;
    for (int i = 0; i < nfe; i++) {
        double length = exp(unknowns[i] - largest) / sum;

        gone += length;
        s->t[i + 1] = i == nfe - 1 ? 0 : 1 - gone;
        s->trend[i] = i == 0 ? 0 : trend_max * tanh(unknowns[nfe + i - 1] / trend_max);
        s->noise[i] = i == nfe - 1 ? 0 : sqrt(-expm1(-2 * f->options->noise * length));
    }
}

/* Of all modes at a time. */
static void kept_at(const struct fit *f, double t, double *out)
{
    double place = t * (TIMES - 1), rest;
    int i = (int)place < TIMES - 1 ? (int)place : TIMES - 2;
    const double *before = f->modes.kept + i * f->modes.n, *after = before + f->modes.n;

    rest = place - i;
    for (int k = 0; k < f->modes.n; k++)
        out[k] = t > 0 ? (1 - rest) * before[k] + rest * after[k] : 1;
}

/* The variance of x and of the h before, and their covariance. */
struct moments {
    double x[SOLVER_MODES_MAX], xm[SOLVER_MODES_MAX], m[SOLVER_MODES_MAX];
};

static void take_step(const struct fit *f, const struct solver *s, int i, const double *c,
                      const double *next, struct moments *v)
{
    double sigma = schedule_sigma(f->schedule, s->t[i]);
    double sigma_next = s->t[i + 1] > 0 ? schedule_sigma(f->schedule, s->t[i + 1]) : 0;
    double renewed = s->noise[i], trend = s->trend[i];
    double a = sqrt(1 - renewed * renewed) * sigma_next / sigma;
    double eta = renewed * sigma_next;

    for (int k = 0; k < f->modes.n; k++) {
        double gain =
            c[k] * f->modes.spectrum[k] / (c[k] * c[k] * f->modes.spectrum[k] + sigma * sigma);
        double h = next[k] - a * c[k], p = h * (1 + trend) * gain + a, q = -h * trend;
        double x = p * p * v->x[k] + 2 * p * q * v->xm[k] + q * q * v->m[k] + eta * eta;

        v->xm[k] = gain * (p * v->x[k] + q * v->xm[k]);
        v->m[k] = gain * gain * v->x[k];
        v->x[k] = x;
    }
}

/* What a table makes of the data, divided by what is wanted, [n_modes]. */
static void ratios_of(const struct fit *f, const struct solver *s, double *out)
{
    double c[2][SOLVER_MODES_MAX], sigma = schedule_sigma(f->schedule, 1);
    struct moments v = {.x = {0}};

    kept_at(f, 1, c[0]);
    for (int k = 0; k < f->modes.n; k++)
        v.x[k] = c[0][k] * c[0][k] * f->modes.spectrum[k] + sigma * sigma;
    for (int i = 0; i < s->nfe; i++) {
        kept_at(f, s->t[i + 1], c[(i + 1) % 2]);
        take_step(f, s, i, c[i % 2], c[(i + 1) % 2], &v);
    }
    for (int k = 0; k < f->modes.n; k++)
        out[k] = v.x[k] / f->wanted[k];
}

/* Fills residuals, returns half the sum of their squares. scratch: a table of nfe. */
static double cost_of(const struct fit *f, const double *unknowns, struct solver *scratch,
                      double *residual)
{
    double ratios[SOLVER_MODES_MAX], sum = 0;
    int nfe = scratch->nfe, n = 0;

    make_table(f, unknowns, scratch);
    ratios_of(f, scratch, ratios);
    for (int k = 0; k < f->modes.n; k++)
        residual[n++] = f->modes.weight[k] * log(fmax(ratios[k], 1e-12));
    for (int i = 0; i + 1 < nfe; i++)
        residual[n++] = stiffness * (unknowns[i + 1] - unknowns[i]);
    for (int i = nfe; i < f->n_unknowns; i++)
        residual[n++] = stiffness * unknowns[i];
    for (int i = 0; i < n; i++)
        sum += residual[i] * residual[i] / 2;
    return sum;
}

/* Jacobian by differences, J^T J, and -J^T r in the first column of `step`. */
static void make_normal(struct fit *f, double *unknowns, struct solver *scratch)
{
    const double difference = 1e-6;
    size_t n = (size_t)f->n_residuals;

    for (int i = 0; i < f->n_unknowns; i++) {
        double value = unknowns[i], *column = f->jacobian + (size_t)i * n;

        unknowns[i] = value + difference;
        cost_of(f, unknowns, scratch, f->moved);
        unknowns[i] = value;
        for (size_t e = 0; e < n; e++)
            column[e] = (f->moved[e] - f->residual[e]) / difference;
    }
    for (int i = 0; i < f->n_unknowns; i++) {
        const double *a = f->jacobian + (size_t)i * n;

        for (int j = 0; j <= i; j++) {
            const double *b = f->jacobian + (size_t)j * n;
            double sum = 0;

            for (size_t e = 0; e < n; e++)
                sum += a[e] * b[e];
            f->normal[i * f->n_unknowns + j] = f->normal[j * f->n_unknowns + i] = sum;
        }
    }
}

/* The step for a damping, in out. 0 or -EIO. */
static int solve_step(struct fit *f, double damping, double *out, struct error *err)
{
    size_t n = (size_t)f->n_unknowns, residuals = (size_t)f->n_residuals;
    int rc;

    memcpy(f->damped, f->normal, n * n * sizeof(*f->damped));
    memset(f->step, 0, n * n * sizeof(*f->step));
    for (size_t i = 0; i < n; i++) {
        double slope = 0;

        for (size_t e = 0; e < residuals; e++)
            slope += f->jacobian[i * residuals + e] * f->residual[e];
        f->damped[i * n + i] += damping * (f->normal[i * n + i] + 1e-9);
        f->step[i * n] = -slope;
    }
    rc = dense_solve(f->n_unknowns, f->damped, f->step, f->scratch, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        out[i] = f->step[i * n];
    return rc;
}

/* Improves the unknowns; *cost is what they cost in the end. 0, -EIO or -ECANCELED. */
static int improve(struct fit *f, const struct watch *watch, struct solver *scratch,
                   double *unknowns, double *cost, struct error *err)
{
    double damping = 1e-3, step[UNKNOWNS_MAX], tried[UNKNOWNS_MAX];
    bool better = true;

    *cost = cost_of(f, unknowns, scratch, f->residual);
    for (int round = 0; round < ROUNDS && damping < 1e9; round++) {
        double after;
        int rc;

        if (watch_stop(watch))
            return error_set(err, -ECANCELED, "stopped tuning %d steps", f->options->nfe);
        if (better)
            make_normal(f, unknowns, scratch);
        rc = solve_step(f, damping, step, err);
        if (rc < 0)
            return rc;
        for (int i = 0; i < f->n_unknowns; i++)
            tried[i] = unknowns[i] + fmin(fmax(step[i], -1), 1);
        after = cost_of(f, tried, scratch, f->moved);
        better = after < *cost;
        damping *= better ? 0.3 : 4;
        if (!better)
            continue;
        memcpy(unknowns, tried, (size_t)f->n_unknowns * sizeof(*unknowns));
        memcpy(f->residual, f->moved, (size_t)f->n_residuals * sizeof(*f->residual));
        if (*cost - after < 1e-7 * after)
            break;
        *cost = after;
    }
    return 0;
}

/* A grid t = (1 - i/N)^power with the same trend everywhere. */
static void begin(const struct fit *f, double power, double trend, double *unknowns)
{
    int nfe = f->options->nfe;

    for (int i = 0; i < nfe; i++)
        unknowns[i] = log(pow(1 - (double)i / nfe, power) - pow(1 - (i + 1.0) / nfe, power));
    for (int i = nfe; i < f->n_unknowns; i++)
        unknowns[i] = trend;
}

static int search(struct fit *f, const struct watch *watch, struct solver *out, struct error *err)
{
    static const double beginnings[][2] = {{1, 0.5}, {1, 0.2}, {1.5, 0.5}, {2.5, 0.4}};
    enum { BEGINNINGS = sizeof(beginnings) / sizeof(beginnings[0]) };
    double best[UNKNOWNS_MAX], unknowns[UNKNOWNS_MAX], least = INFINITY, cost;

    for (int i = 0; i < BEGINNINGS; i++) {
        int rc;

        begin(f, beginnings[i][0], beginnings[i][1], unknowns);
        rc = improve(f, watch, out, unknowns, &cost, err);
        if (rc < 0)
            return rc;
        if (cost < least) {
            least = cost;
            memcpy(best, unknowns, sizeof(best));
        }
        watch_progress(watch, "tuning", i + 1, BEGINNINGS);
    }
    make_table(f, best, out);
    return 0;
}

static void tell_range(const struct fit *f, const struct solver *s, struct solver_fit_report *out)
{
    double ratios[SOLVER_MODES_MAX];

    ratios_of(f, s, ratios);
    *out = (struct solver_fit_report){.lowest = INFINITY};
    for (int k = 0; k < f->modes.n; k++) {
        out->lowest = fmin(out->lowest, ratios[k] * f->options->target);
        out->highest = fmax(out->highest, ratios[k] * f->options->target);
    }
}

int solver_fit(const struct corruption *c, const struct schedule *s, int side,
               const double *spectrum, const struct solver_fit_options *options,
               const struct watch *watch, struct solver *out, struct solver_fit_report *report,
               struct error *err)
{
    struct fit f = {.schedule = s, .options = options};
    struct solver table = {0};
    int rc;

    if (options->nfe < 1 || options->nfe > SOLVER_FIT_NFE_MAX)
        return error_set(err, -EINVAL, "tables have 1 to %d evaluations, not %d",
                         SOLVER_FIT_NFE_MAX, options->nfe);
    if (!(options->target > 0 && isfinite(options->target)) ||
        !(options->noise >= 0 && isfinite(options->noise)))
        return error_set(err, -EINVAL, "a target of %g and a noise rate of %g make no sense",
                         options->target, options->noise);
    rc = solver_modes_create(c, s, side, spectrum, options->nfe, TIMES, &f.modes, err);
    if (rc < 0)
        return rc;
    fill_wanted(&f);
    f.n_unknowns = 2 * options->nfe - 1;
    f.n_residuals = f.modes.n + 2 * options->nfe - 2;
    rc = fit_init(&f, err);
    if (rc == 0)
        rc = solver_init(&table, options->nfe, err);
    if (rc == 0)
        rc = search(&f, watch, &table, err);
    if (rc == 0) {
        tell_range(&f, &table, report);
        *out = table;
    } else {
        solver_fini(&table);
    }
    fit_fini(&f);
    return rc;
}
