#include "model/fit/scaling_fit.h"
#include "engine/base/error.h"
#include "engine/base/watch.h"
#include "model/corruption.h"
#include "model/scaling.h"
#include "model/schedule.h"

#include <errno.h>
#include <stdlib.h>

/* Both moments at one level, of images [n,size]; y [size] is scratch. */
static int measure_level(const struct corruption *c, double level, bool centered, int channels,
                         int n, const float *images, double *y, float out[2], struct error *err)
{
    size_t size = corruption_pixels(c) * (size_t)channels;
    double kept = 0, taken = 0, count = (double)n * (double)size;
    struct corruption_matrices *matrices;
    int rc = corruption_matrices_create(c, level, channels, &matrices, err);

    if (rc < 0)
        return rc;
    for (int i = 0; i < n; i++) {
        const float *image = images + (size_t)i * size;

        corruption_matrices_apply(matrices, image, y);
        for (size_t e = 0; e < size; e++) {
            double seen = centered ? y[e] : 2 * y[e] - 1, lost = (double)image[e] - y[e];

            kept += seen * seen;
            taken += lost * lost;
        }
    }
    corruption_matrices_destroy(matrices);
    out[0] = (float)(kept / count);
    out[1] = (float)(taken / count);
    return 0;
}

int scaling_fit(const struct corruption *c, const struct schedule *s, bool centered, int side,
                int channels, int n, const float *images, const struct watch *watch,
                struct scaling *out, struct error *err)
{
    size_t size = (size_t)side * (size_t)side * (size_t)channels;
    float *moments = calloc((size_t)2 * SCALING_TIMES, sizeof(*moments));
    double *y = calloc(size, sizeof(*y)), level = 0;
    int rc =
        moments && y ? 0 : error_set(err, -ENOMEM, "out of memory for moments of %d images", n);

    for (int i = 0; rc == 0 && i < SCALING_TIMES; i++) {
        double before = level;

        level = schedule_level(s, (double)i / (SCALING_TIMES - 1));
        if (watch_stop(watch)) {
            rc = error_set(err, -ECANCELED, "stopped fitting scales");
        } else if (i > 0 && level == before) { /* noise alone grows here */
            moments[2 * i] = moments[2 * i - 2];
            moments[2 * i + 1] = moments[2 * i - 1];
        } else {
            rc = measure_level(c, level, centered, channels, n, images, y, moments + 2 * i, err);
        }
        watch_progress(watch, "fitting scales", i + 1, SCALING_TIMES);
    }
    free(y);
    if (rc < 0)
        free(moments);
    else
        out->moments = moments;
    return rc;
}
