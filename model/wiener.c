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

void wiener_at(const struct wiener *w, double t, float *gain, float *c_in, float *c_out)
{
    size_t size = (size_t)w->side * (size_t)w->side * (size_t)w->channels;
    double place = fmin(fmax(t, 0), 1) * (WIENER_TIMES - 1);
    int i = (int)fmin(place, WIENER_TIMES - 2);
    float f = (float)(place - i);
    const float *low = w->gain + (size_t)i * size, *high = low + size;

    for (size_t e = 0; e < size; e++)
        gain[e] = (1 - f) * low[e] + f * high[e];
    *c_in = (1 - f) * w->scale[2 * i] + f * w->scale[2 * i + 2];
    *c_out = (1 - f) * w->scale[2 * i + 1] + f * w->scale[2 * i + 3];
}

void wiener_dct_matrix(int n, float *out)
{
    for (int k = 0; k < n; k++) {
        for (int i = 0; i < n; i++)
            out[(size_t)k * (size_t)n + (size_t)i] =
                (float)(sqrt((k ? 2.0 : 1.0) / n) * cos(pi * k * (2 * i + 1) / (2 * n)));
    }
}
