#include "tools/eval/perceptual.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "engine/base/error.h"
#include "engine/base/pool.h"
#include "engine/base/watch.h"
#include "engine/tensor.h"
#include "tools/eval/extractor.h"
#include "tools/eval/feature_network.h"

enum { PAIRS = EXTRACTOR_BATCH / 2 };

/* Lengths that are no more than rounding. */
static const double least = 1e-10;

struct perceptual {
    struct extractor *extractor;
    struct pool *pool; /* borrowed */
    int side, n_maps;
    float *maps[FEATURE_NETWORK_MAPS]; /* [2 PAIRS,h,w,c] */
    uint8_t *pixels;                   /* [2 PAIRS,side,side,3], of each pair one after the other */
};

int perceptual_create(struct device *device, struct pool *pool, const char *weights, int side,
                      struct perceptual **out, struct error *err)
{
    const struct extractor_options options = {.network = &feature_network_default,
                                              .weights = weights,
                                              .side = side};
    struct perceptual *p = calloc(1, sizeof(*p));
    int rc = p ? extractor_create_maps(device, pool, &options, &p->extractor, err)
               : error_set(err, -ENOMEM, "out of memory to compare pictures");

    if (rc < 0) {
        perceptual_destroy(p);
        return rc;
    }
    p->pool = pool;
    p->side = side;
    p->n_maps = options.network->n_maps;
    p->pixels = malloc(2 * (size_t)PAIRS * (size_t)side * (size_t)side * 3);
    for (int i = 0; i < p->n_maps; i++) {
        p->maps[i] = malloc(2 * (size_t)PAIRS * shape_count(extractor_map_shape(p->extractor, i)) *
                            sizeof(*p->maps[i]));
        if (!p->maps[i] || !p->pixels) {
            perceptual_destroy(p);
            return error_set(err, -ENOMEM, "out of memory to compare pictures");
        }
    }
    *out = p;
    return 0;
}

void perceptual_destroy(struct perceptual *p)
{
    if (!p)
        return;
    extractor_destroy(p->extractor);
    for (int i = 0; i < p->n_maps; i++)
        free(p->maps[i]);
    free(p->pixels);
    free(p);
}

/* |a / |a| - b / |b||^2 */
static double at_a_place(const float *a, const float *b, size_t channels)
{
    double aa = 0, bb = 0, sum = 0;

    for (size_t c = 0; c < channels; c++) {
        aa += (double)a[c] * (double)a[c];
        bb += (double)b[c] * (double)b[c];
    }
    aa = 1 / (sqrt(aa) + least);
    bb = 1 / (sqrt(bb) + least);
    for (size_t c = 0; c < channels; c++) {
        double difference = aa * (double)a[c] - bb * (double)b[c];

        sum += difference * difference;
    }
    return sum;
}

struct comparing {
    struct perceptual *p;
    double *out;
};

static void compare_pair(void *arg, int i, int worker)
{
    const struct comparing *job = arg;
    const struct perceptual *p = job->p;

    job->out[i] = 0;
    for (int m = 0; m < p->n_maps; m++) {
        const struct shape *shape = extractor_map_shape(p->extractor, m);
        size_t count = shape_count(shape), channels = (size_t)shape->dims[shape->n_dims - 1];
        const float *a = p->maps[m] + 2 * (size_t)i * count, *b = a + count;
        double sum = 0;

        for (size_t at = 0; at < count; at += channels)
            sum += at_a_place(a + at, b + at, channels);
        job->out[i] += sum * (double)channels / (double)count;
    }
}

int perceptual_compare(struct perceptual *p, int n, const uint8_t *a, const uint8_t *b,
                       const struct watch *watch, double *out, struct error *err)
{
    const size_t bytes = (size_t)p->side * (size_t)p->side * 3;

    for (int first = 0; first < n; first += PAIRS) {
        int count = n - first < PAIRS ? n - first : PAIRS, rc;
        struct comparing job = {p, out + first};

        if (watch_stop(watch))
            return error_set(err, -ECANCELED, "stopped with %d of %d pictures compared", first, n);
        for (size_t i = 0; i < (size_t)count * bytes; i++) {
            size_t pair = i / bytes, at = i % bytes;

            p->pixels[2 * pair * bytes + at] = a[(size_t)first * bytes + i];
            p->pixels[(2 * pair + 1) * bytes + at] = b[(size_t)first * bytes + i];
        }
        rc = extractor_compute_maps(p->extractor, 2 * count, p->pixels, p->maps, err);
        if (rc < 0)
            return rc;
        pool_run(p->pool, count, compare_pair, &job);
        watch_progress(watch, "comparing pictures", first + count, n);
    }
    return 0;
}
