#include "model/step.h"
#include "engine/plan.h"
#include "engine/program.h"
#include "model/checkpoint.h"
#include "model/sampler.h"

/* Positions in the coefficients; model/sampler.h has the formula. */
enum {
    G_H,      /* g = (1 + extrapolate) h */
    G_M,      /*     - extrapolate m */
    NEXT_X,   /* x' = x_scale x */
    NEXT_M,   /*      + m_scale m */
    NEXT_Y,   /*      + y_scale C g */
    NEXT_Y2,  /*      + y_next_scale C' g */
    NEXT_ETA, /*      + eta_scale eta */
    KEEP_X,   /* m' = keep_x x */
    KEEP_H,   /*      + keep_h h */
    COEFFICIENTS
};

int step_append(struct program *p, const struct formulation *f, int x, int m, int eta,
                struct step *out, struct error *err)
{
    struct operator_values c_t = corruption_inputs(f->corruption, p, "c_t");
    struct step s;
    int g, y, y_next, rc;

    s.coefficients = program_input(p, "step", shape_vectors(COEFFICIENTS), VALUE_EXACT);
    s.from = corruption_inputs(f->corruption, p, "c_from");
    s.to = corruption_inputs(f->corruption, p, "c_to");
    rc = denoiser_append(p, f, x, &c_t, -1, &s.denoiser, err);
    if (rc < 0)
        return rc;
    g = program_mix(p, s.coefficients, G_H, 2, (const int[]){s.denoiser.h, m}, VALUE_EXACT);
    y = corruption_apply(f->corruption, p, g, &s.from);
    y_next = corruption_apply(f->corruption, p, g, &s.to);
    s.next_x =
        program_mix(p, s.coefficients, NEXT_X, 5, (const int[]){x, m, y, y_next, eta}, VALUE_EXACT);
    s.next_m =
        program_mix(p, s.coefficients, KEEP_X, 2, (const int[]){x, s.denoiser.h}, VALUE_EXACT);
    rc = program_check(p, err);
    if (rc == 0)
        *out = s;
    return rc;
}

/* The level of C at time t; 0 is the end of the path, the clean image. */
static double level_at(const struct formulation *f, double t)
{
    return t > 0 ? schedule_level(&f->schedule, t) : corruption_clean_level(f->corruption);
}

int step_write(const struct step *s, const struct formulation *f, struct plan *plan, int i,
               const struct sampler_row *row, float *scratch, struct error *err)
{
    const float coefficients[COEFFICIENTS] = {
        [G_H] = 1.0f + row->extrapolate, [G_M] = -row->extrapolate, [NEXT_X] = row->x_scale,
        [NEXT_M] = row->m_scale,         [NEXT_Y] = row->y_scale,   [NEXT_Y2] = row->y_next_scale,
        [NEXT_ETA] = row->eta_scale,     [KEEP_X] = row->keep_x,    [KEEP_H] = row->keep_h,
    };
    int rc = denoiser_write_time(&s->denoiser, f, plan, i, row->t, scratch, err);

    if (rc == 0)
        rc = plan_write(plan, s->coefficients, i, 1, coefficients, err);
    if (rc == 0)
        rc = operator_write(f->corruption, level_at(f, row->from), &s->from, plan, i, scratch, err);
    if (rc == 0)
        rc = operator_write(f->corruption, level_at(f, row->to), &s->to, plan, i, scratch, err);
    return rc;
}
