#include "model/step.h"
#include "engine/executor.h"
#include "engine/program.h"
#include "model/checkpoint.h"

#include <string.h>

/* Positions in the coefficients; model/sampler.h has the formula. */
enum {
    G,                                     /* g_k = (h_scale + trend_scale) h - trend_scale m */
    NEXT_X = G + 2 * SAMPLER_CORRUPTIONS,  /* x' = x_scale x */
    NEXT_M,                                /*      + m_scale m */
    NEXT_ETA,                              /*      + eta_scale eta */
    NEXT_Y,                                /*      + sum_k C_k g_k */
    KEEP_X = NEXT_Y + SAMPLER_CORRUPTIONS, /* m' = keep_x x */
    KEEP_H,                                /*      + keep_h h */
    KEEP_M,                                /*      + keep_m m, with labels */
    COEFFICIENTS
};

/* Positions in `restoration`. */
enum { RESTORE_ONE, RESTORE_MINUS, RESTORE_G, RESTORATIONS };

static int append_guidance(struct program *p, struct step *s, int u)
{
    s->guidance = program_input(p, "guidance", shape_vectors(2), VALUE_EXACT);
    return program_mix(p, s->guidance, 0, 2, (const int[]){s->u, u}, VALUE_EXACT);
}

/* The gate is closed for images that are not restored; what is left then is h + 0. */
static int append_restoration(struct program *p, struct step *s, int h,
                              const struct step_inputs *inputs)
{
    int side = program_value(p, h)->shape.dims[0], blurred, difference, back;

    s->a.first = program_input(p, "a.row", shape_vectors(side), VALUE_EXACT);
    s->a.gate = program_input(p, "a.gate", shape_vectors(1), VALUE_EXACT);
    s->restoration = program_input(p, "restoration", shape_vectors(RESTORATIONS), VALUE_EXACT);
    blurred = program_toeplitz(p, h, s->a.first, -1, s->a.gate, false);
    difference = program_mix(p, s->restoration, RESTORE_ONE, 2, (const int[]){inputs->y, blurred},
                             VALUE_EXACT);
    difference = program_multiply(p, difference, inputs->mask);
    back = program_toeplitz(p, difference, s->a.first, -1, s->a.gate, false);
    return program_add(p, h, program_mix(p, s->restoration, RESTORE_G, 1, &back, VALUE_EXACT),
                       1.0f);
}

int step_append(struct program *p, const struct formulation *f, const struct step_inputs *inputs,
                struct step *out, struct error *err)
{
    static const char *const names[SAMPLER_CORRUPTIONS] = {"c_from", "c_middle", "c_to"};
    struct operator_values c_t = corruption_inputs(f->corruption, p, "c_t", false);
    int parts[3 + SAMPLER_CORRUPTIONS] = {inputs->x, inputs->m, inputs->eta};
    bool labels = f->architecture.n_labels > 0;
    int g[SAMPLER_CORRUPTIONS];
    struct step s = {.label = -1, .guidance = -1, .a = OPERATOR_NONE, .restoration = -1};
    int rc;

    s.coefficients =
        program_input(p, "step", shape_vectors(labels ? COEFFICIENTS : KEEP_M), VALUE_EXACT);
    for (int k = 0; k < SAMPLER_CORRUPTIONS; k++)
        s.c[k] = corruption_inputs(f->corruption, p, names[k], true);
    if (labels)
        s.label = program_input(p, "label", shape_vectors(1), VALUE_EXACT);
    rc = denoiser_append(p, f, inputs->x, &c_t, s.label, -1, -1, &s.denoiser, err);
    if (rc < 0)
        return rc;
    s.h = s.u = s.denoiser.h;
    if (labels)
        s.h = append_guidance(p, &s, inputs->u);
    if (inputs->y >= 0)
        s.h = append_restoration(p, &s, s.h, inputs);
    /* What is alike is side by side: devices join it. */
    for (int k = 0; k < SAMPLER_CORRUPTIONS; k++)
        g[k] = program_mix(p, s.coefficients, G + 2 * k, 2, (const int[]){s.h, inputs->m},
                           VALUE_EXACT);
    for (int k = 0; k < SAMPLER_CORRUPTIONS; k++)
        parts[3 + k] = corruption_apply(f->corruption, p, g[k], &s.c[k]);
    s.next_x = program_mix(p, s.coefficients, NEXT_X, 3 + SAMPLER_CORRUPTIONS, parts, VALUE_EXACT);
    s.next_m = program_mix(p, s.coefficients, KEEP_X, labels ? 3 : 2,
                           (const int[]){inputs->x, s.h, inputs->m}, VALUE_EXACT);
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

static void write_lead(const struct step *s, struct executor *executor, int i,
                       const struct step_lead *lead)
{
    if (s->label >= 0) {
        float *guidance = executor_row(executor, s->guidance, i);

        *(float *)executor_row(executor, s->label, i) = (float)lead->label;
        guidance[0] = lead->guided ? lead->guidance : 1;
        guidance[1] = lead->guided ? 1 - lead->guidance : 0;
    }
    if (s->restoration >= 0) {
        float *row = executor_row(executor, s->a.first, i);
        float *restoration = executor_row(executor, s->restoration, i);
        bool restored = lead->restoration != 0;

        memset(row, 0, executor_row_size(executor, s->a.first));
        if (restored)
            memcpy(row, lead->a, executor_row_size(executor, s->a.first));
        *(float *)executor_row(executor, s->a.gate, i) = restored;
        restoration[RESTORE_ONE] = restored;
        restoration[RESTORE_MINUS] = restored ? -1 : 0;
        restoration[RESTORE_G] = lead->restoration;
    }
}

void step_write(const struct step *s, const struct formulation *f, struct executor *executor, int i,
                const struct sampler_row *row, const struct step_lead *lead)
{
    static const struct step_lead nothing;
    static const struct sampler_row hold_row = {.x_scale = 1};
    const struct sampler_row *r = lead && lead->hold ? &hold_row : row;
    const double times[SAMPLER_CORRUPTIONS] = {row->from, row->middle, row->to};
    float *coefficients = executor_row(executor, s->coefficients, i);

    denoiser_write_time(&s->denoiser, f, executor, i, row->t);
    for (int k = 0; k < SAMPLER_CORRUPTIONS; k++) {
        coefficients[G + 2 * k] = r->h_scale[k] + r->trend_scale[k];
        coefficients[G + 2 * k + 1] = -r->trend_scale[k];
        coefficients[NEXT_Y + k] = 1;
        operator_write(f->corruption, level_at(f, times[k]), &s->c[k], executor, i);
        if (s->c[k].gate >= 0)
            *(float *)executor_row(executor, s->c[k].gate, i) =
                r->h_scale[k] != 0 || r->trend_scale[k] != 0;
    }
    coefficients[NEXT_X] = r->x_scale;
    coefficients[NEXT_M] = r->m_scale;
    coefficients[NEXT_ETA] = r->eta_scale;
    coefficients[KEEP_X] = r->keep_x;
    coefficients[KEEP_H] = r->keep_h;
    if (s->label >= 0)
        coefficients[KEEP_M] = lead && lead->hold;
    write_lead(s, executor, i, lead ? lead : &nothing);
}
