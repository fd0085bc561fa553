#include "model/wiener.h"

#include <math.h>
#include <stdlib.h>

static const double pi = 3.14159265358979323846;

void wiener_fini(struct wiener *w)
{
    free(w->mean);
    free(w->colors);
    free(w->gain);
    free(w->scale);
    *w = (struct wiener){0};
}

void wiener_place(const struct wiener *w, double t, float place[2], float *c_in, float *c_out)
{
    double at = fmin(fmax(t, 0), 1) * (WIENER_TIMES - 1);
    int i = (int)fmin(at, WIENER_TIMES - 2);
    float f = (float)(at - i);

    place[0] = (float)i;
    place[1] = f;
    *c_in = (1 - f) * w->scale[2 * i] + f * w->scale[2 * i + 2];
    *c_out = (1 - f) * w->scale[2 * i + 1] + f * w->scale[2 * i + 3];
}

void wiener_at(const struct wiener *w, double t, float *gain, float *c_in, float *c_out)
{
    size_t size = (size_t)w->side * (size_t)w->side * (size_t)w->channels;
    const float *low, *high;
    float place[2], f;

    wiener_place(w, t, place, c_in, c_out);
    low = w->gain + (size_t)place[0] * size;
    high = low + size;
    f = place[1];
    for (size_t e = 0; e < size; e++)
        gain[e] = (1 - f) * low[e] + f * high[e];
}

void wiener_dct_matrix(int n, float *out)
{
    for (int k = 0; k < n; k++) {
        for (int i = 0; i < n; i++)
            out[(size_t)k * (size_t)n + (size_t)i] =
                (float)(sqrt((k ? 2.0 : 1.0) / n) * cos(pi * k * (2 * i + 1) / (2 * n)));
    }
}
