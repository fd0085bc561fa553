#include "tools/inspect/difference.h"

#include <math.h>

struct difference difference_of(size_t count, const float *a, const float *b)
{
    struct difference d = {0};
    double scale = 0, squares = 0, reference = 0;

    for (size_t i = 0; i < count; i++)
        scale = fmax(scale, fabs((double)a[i]));
    for (size_t i = 0; i < count; i++) {
        double e = a[i] == b[i]                         ? 0
                   : isfinite(a[i] - b[i]) && scale > 0 ? fabs((double)b[i] - a[i]) / scale
                                                        : INFINITY;

        if (i == 0 || e > d.worst) {
            d.worst = e;
            d.index = i;
            d.a = a[i];
            d.b = b[i];
        }
        squares += e * e;
        reference += scale > 0 ? (a[i] / scale) * (a[i] / scale) : 0;
    }
    d.nmse = squares > 0 ? squares / reference : 0;
    return d;
}

bool difference_exceeds(const struct difference *d, double nmse_in, double growth, double tolerance)
{
    return d->nmse > tolerance + growth * nmse_in;
}
