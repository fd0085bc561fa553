#include "model/sampler.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "engine/base/error.h"
#include "model/schedule.h"

static const char *const names[SAMPLERS] = {
    [SAMPLER_PF_2M] = "pf-2m",
    [SAMPLER_MOMENTUM] = "momentum",
    [SAMPLER_PROBABILITY_FLOW] = "probability-flow",
    [SAMPLER_PF_LITERAL] = "pf-literal",
    [SAMPLER_NAIVE] = "naive",
    [SAMPLER_PF_SIGMA] = "pf-sigma",
    [SAMPLER_ANCESTRAL] = "ancestral",
    [SAMPLER_PF_HEUN] = "pf-heun",
};

const char *sampler_name(enum sampler s)
{
    return names[s];
}

int sampler_parse(const char *name, enum sampler *out, struct error *err)
{
    for (int i = 0; i < SAMPLERS; i++) {
        if (strcmp(names[i], name) == 0) {
            *out = (enum sampler)i;
            return 0;
        }
    }
    return error_set(err, -EINVAL, "unknown sampler \"%.64s\"", name);
}

/* One step of the grid: times and noise levels; the last one goes to sigma 0. */
struct grid_step {
    double from, to;
    double sigma, sigma_next;
};

static struct grid_step step_at(const struct schedule *schedule, int i, int n_steps)
{
    struct grid_step s;

    s.from = 1 - (double)i / n_steps;
    s.to = i == n_steps - 1 ? 0 : 1 - (double)(i + 1) / n_steps;
    s.sigma = schedule_sigma(schedule, s.from);
    s.sigma_next = s.to > 0 ? schedule_sigma(schedule, s.to) : 0;
    return s;
}

/* x' = C' h + a (x - C h) + c eta: every one-evaluation sampler is a choice of a and c. */
static struct sampler_row row_toward(const struct grid_step *s, double a, double c)
{
    struct sampler_row row = {.t = s->from, .from = s->from, .to = s->to};

    row.x_scale = (float)a;
    row.y_scale = (float)-a;
    row.y_next_scale = 1;
    row.eta_scale = (float)c;
    return row;
}

static struct sampler_row row_single(enum sampler sampler, const struct grid_step *s)
{
    double ratio = s->sigma_next / s->sigma;
    double lost = fmax(s->sigma * s->sigma - s->sigma_next * s->sigma_next, 0);
    int last = s->to == 0;

    switch (sampler) {
    case SAMPLER_NAIVE:
        return row_toward(s, 0, s->sigma_next);
    case SAMPLER_MOMENTUM:
        return row_toward(s, ratio * ratio, last ? 0 : sqrt(lost));
    case SAMPLER_PROBABILITY_FLOW:
        return row_toward(s, last ? 0 : 0.5 * (1 + ratio * ratio), 0);
    case SAMPLER_PF_LITERAL:
        return row_toward(s, 0.5 * (1 + ratio * ratio), 0);
    case SAMPLER_ANCESTRAL:
        return row_toward(s, ratio * ratio, ratio * sqrt(lost));
    default: /* pf-sigma, and what pf-2m and pf-heun begin with */
        return row_toward(s, ratio, 0);
    }
}

/* Heun's second half: x is the Euler prediction x + k1 and m the x before it, so
 * x + (k1 + k2) / 2 = (m + x) / 2 + k2 / 2 with
 * k2 = (C' - C) h + (s' - s) / s' (x - C' h), h evaluated at t'. */
static struct sampler_row row_heun_correct(const struct grid_step *s)
{
    double q = 1 - s->sigma / s->sigma_next;
    struct sampler_row row = {.t = s->to, .from = s->from, .to = s->to};

    row.x_scale = (float)(0.5 + 0.5 * q);
    row.m_scale = 0.5f;
    row.y_scale = -0.5f;
    row.y_next_scale = (float)(0.5 - 0.5 * q);
    return row;
}

static void table_heun(const struct schedule *schedule, int nfe, struct sampler_row *rows)
{
    int n_steps = nfe / 2 + 1; /* the last costs one evaluation; if nfe is even so does the first */
    int n = 0;

    for (int i = 0; i < n_steps; i++) {
        struct grid_step s = step_at(schedule, i, n_steps);
        int single = i == n_steps - 1 || (i == 0 && nfe % 2 == 0);

        rows[n] = row_single(SAMPLER_PF_SIGMA, &s);
        rows[n++].keep_x = 1;
        if (!single)
            rows[n++] = row_heun_correct(&s);
    }
}

int sampler_table(enum sampler s, const struct schedule *schedule, int nfe,
                  struct sampler_row *rows, struct error *err)
{
    if (nfe < 1 || nfe > SAMPLER_NFE_MAX)
        return error_set(err, -EINVAL, "nfe %d is not within 1 .. %d", nfe, SAMPLER_NFE_MAX);
    if (s == SAMPLER_PF_HEUN) {
        table_heun(schedule, nfe, rows);
    } else {
        for (int i = 0; i < nfe; i++) {
            struct grid_step step = step_at(schedule, i, nfe);

            rows[i] = row_single(s, &step);
            if (s == SAMPLER_PF_2M) {
                rows[i].keep_h = 1;
                rows[i].extrapolate = i > 0 && i < nfe - 1 ? 0.5f : 0;
            }
        }
    }
    for (int i = 0; i < nfe; i++)
        rows[i].step = i;
    return 0;
}
