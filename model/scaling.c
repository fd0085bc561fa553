#include "model/scaling.h"

#include <math.h>
#include <stdlib.h>

/* Where neither noise nor data give one. */
#define SCALE_MIN 1e-6

void scaling_fini(struct scaling *s)
{
    free(s->moments);
    *s = (struct scaling){0};
}

void scaling_at(const struct scaling *s, double t, double sigma, bool centered, float *c_in,
                float *c_out)
{
    double at = fmin(fmax(t, 0), 1) * (SCALING_TIMES - 1), unit = centered ? 1 : 2;
    int i = (int)fmin(at, SCALING_TIMES - 2);
    double f = at - i, kept, taken;

    kept = (1 - f) * (double)s->moments[2 * i] + f * (double)s->moments[2 * i + 2];
    taken = (1 - f) * (double)s->moments[2 * i + 1] + f * (double)s->moments[2 * i + 3];
    *c_in = (float)(1 / fmax(sqrt(kept + unit * unit * sigma * sigma), SCALE_MIN));
    *c_out = (float)fmax(sqrt(taken + sigma * sigma), SCALE_MIN);
}
