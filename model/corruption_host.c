#include "model/corruption_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"

struct corruption_matrices {
    const struct corruption *corruption;
    double level;
    int channels;
    double *a, *b;                          /* separable: [h,h] and [w,w], owned */
    double *row;                            /* separable: [2,w,channels] of scratch, owned */
    struct corruption_matrices *factors[2]; /* composed: owned */
    float *between;                         /* composed: [h,w,channels], owned */
};

/* The matrix of an axis, new. */
static double *axis_matrix(const struct corruption *c, int n, double level)
{
    double *out = malloc((size_t)n * (size_t)n * sizeof(*out));

    if (out)
        corruption_axis_matrix(c, n, level, out);
    return out;
}

static int create_factors(struct corruption_matrices *m, struct error *err)
{
    const struct corruption *c = m->corruption;
    int rc = 0;

    m->between = malloc(corruption_pixels(c) * (size_t)m->channels * sizeof(*m->between));
    if (!m->between)
        return error_set(err, -ENOMEM, "out of memory for \"%s\"", corruption_name(c));
    for (int i = 0; i < 2 && rc == 0; i++)
        rc = corruption_matrices_create(c->factors[i].corruption,
                                        corruption_factor_level(&c->factors[i], m->level),
                                        m->channels, &m->factors[i], err);
    return rc;
}

int corruption_matrices_create(const struct corruption *c, double level, int channels,
                               struct corruption_matrices **out, struct error *err)
{
    struct corruption_matrices *m = calloc(1, sizeof(*m));

    if (!m)
        return error_set(err, -ENOMEM, "out of memory for \"%s\"", corruption_name(c));
    m->corruption = c;
    m->level = level;
    m->channels = channels;
    if (corruption_kind(c) == CORRUPTION_SEPARABLE) {
        m->a = axis_matrix(c, c->h, level);
        m->b = axis_matrix(c, c->w, level);
        m->row = malloc(2 * (size_t)c->w * (size_t)channels * sizeof(*m->row));
        if (!m->a || !m->b || !m->row) {
            corruption_matrices_destroy(m);
            return error_set(err, -ENOMEM, "out of memory for \"%s\"", corruption_name(c));
        }
    }
    if (corruption_kind(c) == CORRUPTION_COMPOSED) {
        int rc = create_factors(m, err);

        if (rc < 0) {
            corruption_matrices_destroy(m);
            return rc;
        }
    }
    *out = m;
    return 0;
}

void corruption_matrices_destroy(struct corruption_matrices *m)
{
    if (!m)
        return;
    for (int i = 0; i < 2; i++)
        corruption_matrices_destroy(m->factors[i]);
    free(m->between);
    free(m->a);
    free(m->b);
    free(m->row);
    free(m);
}

/* y = A X B^T per channel, row by row. In between a row is kept channel by channel, so that both
 * loops that matter run over neighbours in memory. */
static void apply_separable(struct corruption_matrices *m, const float *x, double *y)
{
    size_t h = (size_t)m->corruption->h, w = (size_t)m->corruption->w;
    size_t channels = (size_t)m->channels, width = w * channels;
    double *mixed = m->row, *planar = m->row + width;

    for (size_t i = 0; i < h; i++) {
        memset(m->row, 0, 2 * width * sizeof(*m->row));
        for (size_t k = 0; k < h; k++) {
            double weight = m->a[i * h + k];

            if (weight == 0) /* most of a mild blur */
                continue;
            for (size_t e = 0; e < width; e++)
                mixed[e] += weight * x[k * width + e];
        }
        for (size_t ch = 0; ch < channels; ch++) {
            for (size_t k = 0; k < w; k++) {
                const double *b = m->b + k * w; /* B is symmetric: a row is a column */
                double pixel = mixed[k * channels + ch];

                for (size_t j = 0; j < w; j++)
                    planar[ch * w + j] += pixel * b[j];
            }
            for (size_t j = 0; j < w; j++)
                y[i * width + j * channels + ch] = planar[ch * w + j];
        }
    }
}

void corruption_matrices_apply(struct corruption_matrices *m, const float *x, double *y)
{
    const struct corruption *c = m->corruption;
    size_t channels = (size_t)m->channels, pixels = corruption_pixels(c);

    switch (corruption_kind(c)) {
    case CORRUPTION_SCALAR:
        for (size_t i = 0; i < pixels * channels; i++)
            y[i] = corruption_scalar(c, m->level) * (double)x[i];
        break;
    case CORRUPTION_DIAGONAL:
        for (size_t i = 0; i < pixels * channels; i++)
            y[i] = corruption_visible(c, m->level, (int)(i / channels)) * x[i];
        break;
    case CORRUPTION_SEPARABLE:
        apply_separable(m, x, y);
        break;
    case CORRUPTION_COMPOSED: /* between the two it is an image of floats, as on a device */
        corruption_matrices_apply(m->factors[0], x, y);
        for (size_t i = 0; i < pixels * channels; i++)
            m->between[i] = (float)y[i];
        corruption_matrices_apply(m->factors[1], m->between, y);
        break;
    }
}

int corruption_apply_host(const struct corruption *c, double level, int channels, const float *x,
                          float *y, struct error *err)
{
    size_t n = corruption_pixels(c) * (size_t)channels;
    double *exact = malloc(n * sizeof(*exact));
    struct corruption_matrices *m = NULL;
    int rc;

    if (!exact)
        return error_set(err, -ENOMEM, "out of memory to apply \"%s\"", corruption_name(c));
    rc = corruption_matrices_create(c, level, channels, &m, err);
    if (rc == 0) {
        corruption_matrices_apply(m, x, exact);
        for (size_t i = 0; i < n; i++)
            y[i] = (float)exact[i];
    }
    corruption_matrices_destroy(m);
    free(exact);
    return rc;
}
