#include "model/sampler.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "engine/base/choice.h"
#include "engine/base/error.h"
#include "model/corruption.h"
#include "model/formulation.h"

static const char *const names[SAMPLERS] = {
    [SAMPLER_SDE_2M] = "sde-2m",         [SAMPLER_PF_2M] = "pf-2m",
    [SAMPLER_MOMENTUM] = "momentum",     [SAMPLER_PROBABILITY_FLOW] = "probability-flow",
    [SAMPLER_PF_LITERAL] = "pf-literal", [SAMPLER_NAIVE] = "naive",
    [SAMPLER_PF_SIGMA] = "pf-sigma",     [SAMPLER_ANCESTRAL] = "ancestral",
    [SAMPLER_PF_HEUN] = "pf-heun",       [SAMPLER_TUNED] = "tuned",
};

const char *sampler_name(enum sampler s)
{
    return names[s];
}

const char *sampler_note(enum sampler s)
{
    switch (s) {
    case SAMPLER_SDE_2M:
        return "has too much variance at few evaluations, 14 to 20 % with a perfect network, a "
               "blur "
               "and 20 evaluations; that makes up for a network whose pictures vary too little";
    case SAMPLER_MOMENTUM:
        return "leaves noise behind at few evaluations: take 100 or more";
    case SAMPLER_NAIVE:
        return "loses half of the finer detail however many evaluations; for comparison only";
    case SAMPLER_PF_LITERAL:
        return "keeps half of the last step's noise; for comparison only";
    default:
        return NULL;
    }
}

int sampler_parse(const char *name, enum sampler *out, struct error *err)
{
    int i = choice_parse("sampler", name, SAMPLERS, names, err);

    if (i < 0)
        return i;
    *out = (enum sampler)i;
    return 0;
}

/* Positions of a row's corruptions. */
enum { FROM, MIDDLE, TO };

/* sde-2m, all chosen by the Frechet distance at 5 to 20 evaluations: the rate at which noise is
 * renewed is SDE_RATE N, and no more than SDE_RATE_MAX, so that many steps have a limit; the grid is
 * t_i = (1 - i/N)^p with the power p. In format 1 it is
 * t_i = (1 - (1 - SDE_LAST^(1/p)) i/(N - 1))^p, whose last step does not shrink. */
static const double SDE_RATE = 0.9, SDE_RATE_MAX = 20, SDE_LAST = 0.03, SDE_POWER = 1.2;

/* One step of the grid: times and noise levels; the last one goes to sigma 0. */
struct grid_step {
    double from, to;
    double sigma, sigma_next;
    double fading; /* a/a' where C is a number a, else 1 */
};

/* What a picture is multiplied by, where C is a number; else 1, and in format 1, which knows of none. */
static double scalar_at(const struct formulation *f, double t)
{
    float a = 1;

    if (f->sampling.refining_grid && f->corruption &&
        corruption_kind(f->corruption) == CORRUPTION_SCALAR)
        corruption_operator(f->corruption,
                            t > 0 ? schedule_level(&f->schedule, t)
                                  : corruption_clean_level(f->corruption),
                            &a, NULL);
    return (double)a;
}

static struct grid_step step_between(const struct formulation *f, double from, double to)
{
    struct grid_step s = {.from = from, .to = to};

    s.sigma = schedule_sigma(&f->schedule, from);
    s.sigma_next = to > 0 ? schedule_sigma(&f->schedule, to) : 0;
    s.fading = scalar_at(f, from) / scalar_at(f, to);
    return s;
}

static struct grid_step step_at(const struct formulation *f, double begin, int i, int n_steps)
{
    return step_between(f, begin * (1 - (double)i / n_steps),
                        i == n_steps - 1 ? 0 : begin * (1 - (double)(i + 1) / n_steps));
}

/* x' = C' h + a (x - C h) + c eta: every one-evaluation sampler is a choice of a and c. */
static struct sampler_row row_toward(const struct grid_step *s, double a, double c)
{
    struct sampler_row row = {.t = s->from, .from = s->from, .middle = s->to, .to = s->to};

    row.x_scale = (float)a;
    row.h_scale[FROM] = (float)-a;
    row.h_scale[TO] = 1;
    row.eta_scale = (float)c;
    return row;
}

static struct sampler_row row_single(enum sampler sampler, const struct grid_step *s)
{
    double ratio = s->sigma > 0 ? s->sigma_next / s->sigma : 1;
    double lost = fmax(s->sigma * s->sigma - s->sigma_next * s->sigma_next, 0);
    double carried = s->fading * s->sigma_next; /* of the noise of x', that x has if made from it */
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
        return row_toward(s, s->fading * ratio * ratio,
                          ratio * sqrt(fmax(s->sigma * s->sigma - carried * carried, 0)));
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
    struct sampler_row row = {.t = s->to, .from = s->from, .middle = s->to, .to = s->to};

    row.x_scale = (float)(0.5 + 0.5 * q);
    row.m_scale = 0.5f;
    row.h_scale[FROM] = -0.5f;
    row.h_scale[TO] = (float)(0.5 - 0.5 * q);
    return row;
}

static void table_heun(const struct formulation *f, double begin, int nfe, struct sampler_row *rows)
{
    int n_steps = nfe / 2 + 1; /* the last costs one evaluation; if nfe is even so does the first */
    int n = 0;

    for (int i = 0; i < n_steps; i++) {
        struct grid_step s = step_at(f, begin, i, n_steps);
        int single = i == n_steps - 1 || (i == 0 && nfe % 2 == 0);

        rows[n] = row_single(SAMPLER_PF_SIGMA, &s);
        rows[n++].keep_x = 1;
        if (!single)
            rows[n++] = row_heun_correct(&s);
    }
}

/* row_toward() on h + (h - m) / 2. */
static void table_two_step(const struct formulation *f, double begin, int nfe,
                           struct sampler_row *rows)
{
    for (int i = 0; i < nfe; i++) {
        struct grid_step s = step_at(f, begin, i, nfe);

        rows[i] = row_single(SAMPLER_PF_SIGMA, &s);
        rows[i].keep_h = 1;
        for (int k = 0; k < SAMPLER_CORRUPTIONS && i > 0 && i < nfe - 1; k++)
            rows[i].trend_scale[k] = 0.5f * rows[i].h_scale[k];
    }
}

static double sde_time(bool refining, int i, int nfe)
{
    double last = pow(SDE_LAST, 1 / SDE_POWER);

    if (i == 0)
        return 1;
    if (i == nfe)
        return 0;
    return pow(refining ? 1 - (double)i / nfe : 1 - (1 - last) * i / (nfe - 1), SDE_POWER);
}

/* With u from 0 to 1 within the step, h + r u (h - m) is the line through both predictions, r being
 * the ratio of this step to the one before. Let q be the parabola through D C, divided by D at the
 * end: by parts, the trend adds
 * r (h - m) times the integral of u dq = q(1) - integral of q du = q_2 - (q_0 + 4 q_1 + q_2) / 6. */
static struct sampler_row row_sde(const struct grid_step *s, double rate, double ratio)
{
    double kept = exp(-rate * (s->from - s->to));
    double a = kept * s->sigma_next / s->sigma;
    struct sampler_row row = row_toward(s, a, s->sigma_next * sqrt(1 - kept * kept));

    row.middle = 0.5 * (s->from + s->to);
    row.trend_scale[FROM] = (float)(-ratio * a / 6);
    row.trend_scale[MIDDLE] = (float)(-ratio * 4 * sqrt(a) / 6);
    row.trend_scale[TO] = (float)(ratio * 5 / 6);
    return row;
}

static void table_sde(const struct formulation *f, double begin, int nfe, struct sampler_row *rows)
{
    double rate = fmin(SDE_RATE * nfe, SDE_RATE_MAX), before = INFINITY;
    bool refining = f->sampling.refining_grid;

    for (int i = 0; i < nfe; i++) {
        struct grid_step s = step_between(f, begin * sde_time(refining, i, nfe),
                                          begin * sde_time(refining, i + 1, nfe));
        double length = s.from - s.to;

        rows[i] = row_sde(&s, rate, length / before); /* the first has no trend */
        rows[i].keep_h = 1;
        before = length;
    }
}

static void table_tuned(const struct formulation *f, const struct solver *solver,
                        struct sampler_row *rows)
{
    for (int i = 0; i < solver->nfe; i++) {
        struct grid_step s = step_between(f, solver->t[i], solver->t[i + 1]);
        double z = solver->noise[i], trend = solver->trend[i];

        rows[i] = row_toward(&s, sqrt(1 - z * z) * s.sigma_next / s.sigma, z * s.sigma_next);
        rows[i].keep_h = 1;
        for (int k = 0; k < SAMPLER_CORRUPTIONS; k++)
            rows[i].trend_scale[k] = (float)(trend * (double)rows[i].h_scale[k]);
    }
}

static void table_single(enum sampler s, const struct formulation *f, double begin, int nfe,
                         struct sampler_row *rows)
{
    for (int i = 0; i < nfe; i++) {
        struct grid_step step = step_at(f, begin, i, nfe);

        rows[i] = row_single(s, &step);
    }
}

bool sampler_renews_noise(enum sampler s)
{
    return s == SAMPLER_SDE_2M || s == SAMPLER_MOMENTUM || s == SAMPLER_NAIVE ||
           s == SAMPLER_ANCESTRAL;
}

bool sampler_needs_noise(enum sampler s)
{
    return s != SAMPLER_NAIVE && s != SAMPLER_PROBABILITY_FLOW;
}

int sampler_refuse(enum sampler s, struct error *err)
{
    return error_set(err, -EINVAL,
                     "the sampler \"%s\" needs noise, and the model has none: \"naive\" and "
                     "\"probability-flow\" need none",
                     names[s]);
}

/* Noise with 1 + excess times its variance. */
static void enlarge_noise(double excess, int nfe, struct sampler_row *rows)
{
    for (int i = 0; i < nfe && excess > 0; i++)
        rows[i].eta_scale = (float)(sqrt(1 + excess) * (double)rows[i].eta_scale);
}

int sampler_table(enum sampler s, const struct formulation *f, int nfe, struct sampler_row *rows,
                  struct error *err)
{
    return sampler_table_from(s, f, 1, nfe, rows, err);
}

int sampler_table_from(enum sampler s, const struct formulation *f, double begin, int nfe,
                       struct sampler_row *rows, struct error *err)
{
    struct sampling_choice choice;
    int rc;

    if (nfe < 1 || nfe > SAMPLER_NFE_MAX)
        return error_set(err, -EINVAL, "nfe %d is not within 1 .. %d", nfe, SAMPLER_NFE_MAX);
    if (!schedule_has_noise(&f->schedule) && sampler_needs_noise(s))
        return sampler_refuse(s, err);
    switch (s) {
    case SAMPLER_SDE_2M:
        table_sde(f, begin, nfe, rows);
        break;
    case SAMPLER_PF_2M:
        table_two_step(f, begin, nfe, rows);
        break;
    case SAMPLER_PF_HEUN:
        table_heun(f, begin, nfe, rows);
        break;
    case SAMPLER_TUNED:
        if (begin != 1)
            return error_set(err, -EINVAL, "the sampler \"tuned\" begins at time 1 only");
        rc = sampling_choose(&f->sampling, &s, nfe, nfe, &choice, err);
        if (rc < 0)
            return -EINVAL;
        table_tuned(f, sampling_solver(&f->sampling, nfe), rows);
        break;
    default:
        table_single(s, f, begin, nfe, rows);
    }
    for (int i = 0; i < nfe; i++)
        rows[i].step = i;
    enlarge_noise(sampling_excess(&f->sampling, s), nfe, rows);
    return 0;
}
