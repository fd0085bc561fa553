#include "tools/eval/appearance.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "model/wiener.h"
#include "tools/eval/gist.h"

/* What is fainter is as good as nothing: half a step of a pixel's byte. */
static const double power_min = 1e-6;

/* Sums over pictures of the modes of a colour and of their squares. */
struct sums {
    int side;
    size_t count;   /* side^2 */
    float *dct;     /* [side,side] */
    double *image;  /* [count] */
    double *half;   /* [count] */
    double *first;  /* [GIST_COLOURS,count] */
    double *second; /* the same */
};

/* image = D image D^T. */
static void transform(struct sums *s)
{
    int n = s->side;

    for (int pass = 0; pass < 2; pass++) {
        const double *from = pass ? s->half : s->image;
        double *to = pass ? s->image : s->half;

        for (int i = 0; i < n; i++) { /* every pass changes rows and columns */
            for (int k = 0; k < n; k++) {
                double sum = 0;

                for (int j = 0; j < n; j++)
                    sum += (double)s->dct[k * n + j] * from[i * n + j];
                to[k * n + i] = sum;
            }
        }
    }
}

static void add_picture(struct sums *s, const uint8_t *pixels)
{
    for (size_t c = 0; c < GIST_COLOURS; c++) {
        for (size_t p = 0; p < s->count; p++) {
            double colours[GIST_COLOURS];

            gist_colours(pixels + 3 * p, colours);
            s->image[p] = colours[c];
        }
        transform(s);
        for (size_t p = 0; p < s->count; p++) {
            s->first[c * s->count + p] += s->image[p];
            s->second[c * s->count + p] += s->image[p] * s->image[p];
        }
    }
}

static void summarise(const struct sums *s, int n, struct appearance *out)
{
    for (size_t c = 0; c < GIST_COLOURS; c++) {
        double *bands = c == 0 ? out->luma : out->chroma;

        for (size_t p = 0; p < s->count; p++) {
            int band = gaussian_band((int)p / s->side, (int)p % s->side);
            double mean = s->first[c * s->count + p] / n;

            bands[band] += fmax(s->second[c * s->count + p] / n - mean * mean, 0);
        }
    }
}

int appearance_of_pixels(int n, int side, const uint8_t *pixels, struct appearance *out,
                         struct error *err)
{
    struct sums s = {.side = side, .count = (size_t)side * (size_t)side};
    size_t numbers = (size_t)n * s.count * 3, clipped = 0;
    int rc = 0;

    s.dct = malloc(s.count * sizeof(*s.dct));
    s.image = malloc(s.count * sizeof(*s.image));
    s.half = malloc(s.count * sizeof(*s.half));
    s.first = calloc(GIST_COLOURS * s.count, sizeof(*s.first));
    s.second = calloc(GIST_COLOURS * s.count, sizeof(*s.second));
    if (!s.dct || !s.image || !s.half || !s.first || !s.second) {
        rc = error_set(err, -ENOMEM, "out of memory for the power of pictures");
        goto done;
    }
    wiener_dct_matrix(side, s.dct);
    for (int i = 0; i < n; i++)
        add_picture(&s, pixels + (size_t)i * s.count * 3);
    for (size_t i = 0; i < numbers; i++)
        clipped += pixels[i] == 0 || pixels[i] == 255;
    *out = (struct appearance){.n_bands = gaussian_n_bands(side),
                               .clipped = (double)clipped / (double)numbers};
    summarise(&s, n, out);

done:
    free(s.dct);
    free(s.image);
    free(s.half);
    free(s.first);
    free(s.second);
    return rc;
}

double appearance_difference(const struct appearance *a, const struct appearance *reference)
{
    double sum = 0;

    for (int band = 0; band < a->n_bands; band++) {
        sum += pow(log((a->luma[band] + power_min) / (reference->luma[band] + power_min)), 2);
        sum += pow(log((a->chroma[band] + power_min) / (reference->chroma[band] + power_min)), 2);
    }
    return sqrt(sum / (2 * a->n_bands));
}
