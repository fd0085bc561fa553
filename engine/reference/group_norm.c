#include "engine/reference/reference_ops.h"
#include "engine/reference/silu.h"

#include <math.h>

/* x is [n,positions,c]; a group is `width` neighbouring channels at all positions. */
struct groups {
    int n, positions, c, groups, width;
};

static struct groups groups_of(const struct kernel_spec *spec)
{
    const struct tensor_desc *x = &spec->inputs[0];
    struct groups s = {
        .n = x->n,
        .positions = x->shape.dims[0] * x->shape.dims[1],
        .c = x->shape.dims[2],
        .groups = spec->attributes.group_norm.groups,
    };

    s.width = s.c / s.groups;
    return s;
}

static void forward_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                        void *scratch)
{
    const struct groups s = groups_of(spec);
    const float *x = in[0], *gamma = in[1], *beta = in[2];
    const float *shift = spec->n_inputs > 3 ? in[3] : NULL;
    float *y = out[0], *stats = out[1];
    const double count = (double)s.positions * s.width;

    for (int n = 0; n < s.n; n++) {
        for (int g = 0; g < s.groups; g++) {
            double mean = 0, variance = 0, rstd;

            for (int p = 0; p < s.positions; p++) {
                for (int c = g * s.width; c < (g + 1) * s.width; c++) {
                    double u = x[(n * s.positions + p) * s.c + c];

                    mean += u + (shift ? shift[n * s.c + c] : 0);
                }
            }
            mean /= count;
            for (int p = 0; p < s.positions; p++) {
                for (int c = g * s.width; c < (g + 1) * s.width; c++) {
                    double u = x[(n * s.positions + p) * s.c + c];
                    double d = u + (shift ? shift[n * s.c + c] : 0) - mean;

                    variance += d * d;
                }
            }
            variance /= count;
            rstd = 1 / sqrt(variance + spec->attributes.group_norm.eps);
            stats[(n * 2 + 0) * s.groups + g] = (float)mean;
            stats[(n * 2 + 1) * s.groups + g] = (float)rstd;
            for (int p = 0; p < s.positions; p++) {
                for (int c = g * s.width; c < (g + 1) * s.width; c++) {
                    int e = (n * s.positions + p) * s.c + c;
                    double u = x[e] + (double)(shift ? shift[n * s.c + c] : 0);
                    double normed = (u - mean) * rstd * gamma[c] + beta[c];

                    y[e] = (float)(spec->attributes.group_norm.silu ? silu(normed) : normed);
                }
            }
        }
    }
}

/* One element on the way back: u normed, and the gradient of u' (before gamma and beta). */
struct grad_element {
    double normed, dscaled;
};

static struct grad_element grad_element_of(const struct kernel_spec *spec, const struct groups *s,
                                           const void *const *in, int n, int p, int c)
{
    const float *x = in[0], *gamma = in[1], *beta = in[2], *stats = in[3], *dy = in[4];
    const float *shift = spec->n_inputs > 5 ? in[5] : NULL;
    int e = (n * s->positions + p) * s->c + c, g = c / s->width;
    double mean = stats[(n * 2 + 0) * s->groups + g], rstd = stats[(n * 2 + 1) * s->groups + g];
    double u = x[e] + (double)(shift ? shift[n * s->c + c] : 0);
    struct grad_element element = {.normed = (u - mean) * rstd, .dscaled = dy[e]};

    if (spec->attributes.group_norm.silu)
        element.dscaled *= silu_derivative(element.normed * gamma[c] + beta[c]);
    return element;
}

static void grad_data_run(const struct kernel_spec *spec, const struct groups *s,
                          const void *const *in, float *dx, float *dshift)
{
    const float *gamma = in[1], *stats = in[3];
    const double count = (double)s->positions * s->width;

    for (int n = 0; n < s->n; n++) {
        for (int g = 0; g < s->groups; g++) {
            double rstd = stats[(n * 2 + 1) * s->groups + g];
            double mean_d = 0, mean_dn = 0; /* of the gradient, of the gradient times normed */

            for (int p = 0; p < s->positions; p++) {
                for (int c = g * s->width; c < (g + 1) * s->width; c++) {
                    struct grad_element e = grad_element_of(spec, s, in, n, p, c);

                    mean_d += e.dscaled * gamma[c] / count;
                    mean_dn += e.dscaled * gamma[c] * e.normed / count;
                }
            }
            for (int c = g * s->width; c < (g + 1) * s->width; c++) {
                double sum = 0;

                for (int p = 0; p < s->positions; p++) {
                    struct grad_element e = grad_element_of(spec, s, in, n, p, c);
                    double d = rstd * (e.dscaled * gamma[c] - mean_d - e.normed * mean_dn);

                    dx[(n * s->positions + p) * s->c + c] = (float)d;
                    sum += d;
                }
                if (dshift)
                    dshift[n * s->c + c] = (float)sum;
            }
        }
    }
}

static void grad_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                     void *scratch)
{
    const struct groups s = groups_of(spec);
    float *dgamma = out[1], *dbeta = out[2];

    grad_data_run(spec, &s, in, out[0], spec->n_outputs > 3 ? out[3] : NULL);
    for (int c = 0; c < s.c; c++) {
        double sum_gamma = 0, sum_beta = 0;

        for (int n = 0; n < s.n; n++) {
            for (int p = 0; p < s.positions; p++) {
                struct grad_element e = grad_element_of(spec, &s, in, n, p, c);

                sum_gamma += e.dscaled * e.normed;
                sum_beta += e.dscaled;
            }
        }
        dgamma[c] = (float)sum_gamma;
        dbeta[c] = (float)sum_beta;
    }
}

const struct reference_op reference_group_norm = {forward_run, NULL};
const struct reference_op reference_group_norm_grad = {grad_run, NULL};
