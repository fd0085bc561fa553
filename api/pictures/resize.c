#include "api/pictures/resize.h"
#include "engine/base/error.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* The samples that make one output pixel: weights of inputs first .. first + n - 1. */
struct tap {
    int first, n;
    float *weights;
};

static void taps_destroy(struct tap *taps)
{
    if (taps)
        free(taps[0].weights);
    free(taps);
}

/* One row of weights per output pixel; the storage belongs to the first. */
static struct tap *taps_create(int n_in, int n_out)
{
    double scale = (double)n_in / n_out, support = scale > 1 ? scale : 1;
    int width = 2 * (int)ceil(support) + 2;
    struct tap *taps = calloc((size_t)n_out, sizeof(*taps));
    float *storage = calloc((size_t)n_out * (size_t)width, sizeof(*storage));

    if (!taps || !storage) {
        free(taps);
        free(storage);
        return NULL;
    }
    for (int i = 0; i < n_out; i++) {
        struct tap *tap = &taps[i];
        double centre = (i + 0.5) * scale, sum = 0;
        int last = (int)ceil(centre + support);

        tap->weights = storage + (size_t)i * (size_t)width;
        tap->first = (int)floor(centre - support);
        if (tap->first < 0)
            tap->first = 0;
        if (last > n_in)
            last = n_in;
        tap->n = last - tap->first;
        for (int j = 0; j < tap->n; j++) {
            double weight = 1 - fabs(tap->first + j + 0.5 - centre) / support;

            tap->weights[j] = weight > 0 ? (float)weight : 0;
            sum += tap->weights[j];
        }
        for (int j = 0; j < tap->n; j++)
            tap->weights[j] = (float)(tap->weights[j] / sum);
    }
    return taps;
}

int resize_square(const uint8_t *src, int w, int h, int channels, int crop, int side, uint8_t *dst,
                  struct error *err)
{
    int square = w < h ? w : h, left, top;
    size_t row = (size_t)side * (size_t)channels;
    struct tap *taps;
    float *rows; /* [square, side, channels]: resized along the width */

    if (crop > 0 && crop < square)
        square = crop;
    left = (w - square) / 2;
    top = (h - square) / 2;

    taps = taps_create(square, side);
    rows = malloc((size_t)square * row * sizeof(*rows));
    if (!taps || !rows) {
        taps_destroy(taps);
        free(rows);
        return error_set(err, -ENOMEM, "out of memory resizing a picture of %dx%d", w, h);
    }
    for (int y = 0; y < square; y++) {
        const uint8_t *line =
            src + ((size_t)(top + y) * (size_t)w + (size_t)left) * (size_t)channels;

        for (int x = 0; x < side; x++) {
            for (int c = 0; c < channels; c++) {
                float sum = 0;

                for (int j = 0; j < taps[x].n; j++)
                    sum += taps[x].weights[j] * line[(taps[x].first + j) * channels + c];
                rows[(size_t)y * row + (size_t)(x * channels + c)] = sum;
            }
        }
    }
    for (int y = 0; y < side; y++) {
        for (size_t i = 0; i < row; i++) {
            float sum = 0;

            for (int j = 0; j < taps[y].n; j++)
                sum += taps[y].weights[j] * rows[(size_t)(taps[y].first + j) * row + i];
            dst[(size_t)y * row + i] = (uint8_t)fminf(fmaxf(sum + 0.5f, 0), 255);
        }
    }
    taps_destroy(taps);
    free(rows);
    return 0;
}
