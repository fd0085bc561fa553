#include "model/fit/spectrum.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "engine/base/error.h"
#include "model/fit/cosine_operator.h"
#include "model/schedule.h"
#include "model/wiener.h"

void spectrum_of_pictures(int side, double *out)
{
    double sum = 0;

    for (int i = 0; i < side * side; i++) {
        int y = i / side, x = i % side;

        out[i] = 1.0 / (1 + y * y + x * x);
        sum += out[i];
    }
    for (int i = 0; i < side * side; i++)
        out[i] *= 0.06 * side * side / sum;
}

int spectrum_of_estimate(const struct wiener *w, const struct corruption *c,
                         const struct schedule *s, double *out, struct error *err)
{
    int side = w->side, count = side * side;
    struct cosine_operator *op = NULL;
    int *modes = malloc(2 * (size_t)count * sizeof(*modes));
    double *kept = malloc((size_t)count * sizeof(*kept));
    double *best = calloc((size_t)count, sizeof(*best));
    int rc = modes && kept && best ? cosine_operator_create(c, side, &op, err)
                                   : error_set(err, -ENOMEM, "out of memory for a spectrum");

    for (int i = 0; rc == 0 && i < 2 * count; i++)
        modes[i] = i % 2 ? i / 2 % side : i / 2 / side;
    for (int time = 0; rc == 0 && time < WIENER_TIMES; time++) {
        double t = (double)time / (WIENER_TIMES - 1), sigma = schedule_sigma(s, t);

        cosine_operator_kept(op, schedule_level(s, t), count, modes, kept);
        for (int i = 0; i < count; i++) {
            size_t entry = ((size_t)time * (size_t)count + (size_t)i) * (size_t)w->channels;
            double gain = (double)w->gain[entry] * kept[i], sure = gain * (1 - gain);

            /* G says most where it is neither 0 nor 1; C must leave the mode to itself. */
            if (kept[i] < 0.99 || sure <= best[i])
                continue;
            best[i] = sure;
            out[i] = sigma * sigma * gain / (kept[i] * kept[i] * (1 - gain));
        }
    }
    for (int i = 0; rc == 0 && i < count; i++) {
        if (best[i] == 0) /* never to be seen */
            out[i] = 1e-3 * pow(schedule_sigma(s, 0), 2);
    }
    cosine_operator_destroy(op);
    free(modes);
    free(kept);
    free(best);
    return rc;
}
