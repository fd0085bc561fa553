#include "model/step.h"
#include "engine/executor.h"
#include "engine/program.h"
#include "model/checkpoint.h"

/* Positions in the coefficients; model/sampler.h has the formula. */
enum {
    G,                                     /* g_k = (h_scale + trend_scale) h - trend_scale m */
    NEXT_X = G + 2 * SAMPLER_CORRUPTIONS,  /* x' = x_scale x */
    NEXT_M,                                /*      + m_scale m */
    NEXT_ETA,                              /*      + eta_scale eta */
    NEXT_Y,                                /*      + sum_k C_k g_k */
    KEEP_X = NEXT_Y + SAMPLER_CORRUPTIONS, /* m' = keep_x x */
    KEEP_H,                                /*      + keep_h h */
    COEFFICIENTS
};

int step_append(struct program *p, const struct formulation *f, int x, int m, int eta,
                struct step *out, struct error *err)
{
    static const char *const names[SAMPLER_CORRUPTIONS] = {"c_from", "c_middle", "c_to"};
    struct operator_values c_t = corruption_inputs(f->corruption, p, "c_t");
    int parts[3 + SAMPLER_CORRUPTIONS] = {x, m, eta};
    struct step s;
    int rc;

    s.coefficients = program_input(p, "step", shape_vectors(COEFFICIENTS), VALUE_EXACT);
    for (int k = 0; k < SAMPLER_CORRUPTIONS; k++)
        s.c[k] = corruption_inputs(f->corruption, p, names[k]);
    rc = denoiser_append(p, f, x, &c_t, -1, &s.denoiser, err);
    if (rc < 0)
        return rc;
    for (int k = 0; k < SAMPLER_CORRUPTIONS; k++) {
        int g = program_mix(p, s.coefficients, G + 2 * k, 2, (const int[]){s.denoiser.h, m},
                            VALUE_EXACT);

        parts[3 + k] = corruption_apply(f->corruption, p, g, &s.c[k]);
    }
    s.next_x = program_mix(p, s.coefficients, NEXT_X, 3 + SAMPLER_CORRUPTIONS, parts, VALUE_EXACT);
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

int step_write(const struct step *s, const struct formulation *f, struct executor *executor, int i,
               const struct sampler_row *row, float *scratch, struct error *err)
{
    const double times[SAMPLER_CORRUPTIONS] = {row->from, row->middle, row->to};
    float coefficients[COEFFICIENTS] = {
        [NEXT_X] = row->x_scale, [NEXT_M] = row->m_scale, [NEXT_ETA] = row->eta_scale,
        [KEEP_X] = row->keep_x,  [KEEP_H] = row->keep_h,
    };
    int rc = denoiser_write_time(&s->denoiser, f, executor, i, row->t, scratch, err);

    for (int k = 0; k < SAMPLER_CORRUPTIONS; k++) {
        coefficients[G + 2 * k] = row->h_scale[k] + row->trend_scale[k];
        coefficients[G + 2 * k + 1] = -row->trend_scale[k];
        coefficients[NEXT_Y + k] = 1;
        if (rc == 0)
            rc = operator_write(f->corruption, level_at(f, times[k]), &s->c[k], executor, i,
                                scratch, err);
    }
    return rc < 0 ? rc : executor_write(executor, s->coefficients, i, 1, coefficients, err);
}
