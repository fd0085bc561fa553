#include "model/fit/cosine_operator.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "model/corruption.h"

struct cosine_operator {
    const struct corruption *corruption;
    int n;             /* side */
    double *dct;       /* [n,n] D */
    float *factors[2]; /* of the corruption */
    double *axes[2];   /* separable: D A D^T and D B D^T [n,n] */
    double *half;      /* [n,n] scratch */
    double *pixels;    /* [n,n] scratch */
};

/* In double: the rounding of a float would couple modes that have nothing to do with each other. */
static void make_dct(int n, double *out)
{
    const double pi = 3.14159265358979323846;

    for (int k = 0; k < n; k++) {
        for (int i = 0; i < n; i++)
            out[k * n + i] = sqrt((k ? 2.0 : 1.0) / n) * cos(pi * k * (2 * i + 1) / (2 * n));
    }
}

int cosine_operator_create(const struct corruption *c, int side, struct cosine_operator **out,
                           struct error *err)
{
    size_t pixels = (size_t)side * (size_t)side, sizes[2];
    struct cosine_operator *o;
    int rc = 0;

    if (corruption_kind(c) == CORRUPTION_COMPOSED)
        return error_set(err, -ENOTSUP, "the modes of a \"%s\" are not known", corruption_name(c));
    o = calloc(1, sizeof(*o));

    if (!o)
        return error_set(err, -ENOMEM, "out of memory for the modes of a corruption");
    o->corruption = c;
    o->n = side;
    corruption_operator_sizes(c, sizes);
    for (int i = 0; i < 2; i++) {
        o->factors[i] = calloc(sizes[i] + 1, sizeof(*o->factors[i]));
        o->axes[i] = calloc(pixels, sizeof(*o->axes[i]));
        if (!o->factors[i] || !o->axes[i])
            rc = -ENOMEM;
    }
    o->dct = calloc(pixels, sizeof(*o->dct));
    o->half = calloc(pixels, sizeof(*o->half));
    o->pixels = calloc(pixels, sizeof(*o->pixels));
    if (rc < 0 || !o->dct || !o->half || !o->pixels) {
        cosine_operator_destroy(o);
        return error_set(err, -ENOMEM, "out of memory for the modes of a corruption");
    }
    make_dct(side, o->dct);
    *out = o;
    return 0;
}

void cosine_operator_destroy(struct cosine_operator *o)
{
    if (!o)
        return;
    for (int i = 0; i < 2; i++) {
        free(o->factors[i]);
        free(o->axes[i]);
    }
    free(o->dct);
    free(o->half);
    free(o->pixels);
    free(o);
}

/* out = D a D^T. */
static void transform(struct cosine_operator *o, const double *a, double *out)
{
    int n = o->n;

    memset(o->half, 0, (size_t)n * (size_t)n * sizeof(*o->half));
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < n; k++) {
            for (int j = 0; j < n; j++)
                o->half[i * n + j] += o->dct[i * n + k] * a[k * n + j];
        }
    }
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            double sum = 0;

            for (int k = 0; k < n; k++)
                sum += o->half[i * n + k] * o->dct[j * n + k];
            out[i * n + j] = sum;
        }
    }
}

/* Reads the operator: its factors, and of a separable one the two axes. */
static void read_level(struct cosine_operator *o, double level)
{
    int n = o->n;

    corruption_operator(o->corruption, level, o->factors[0], o->factors[1]);
    if (corruption_kind(o->corruption) != CORRUPTION_SEPARABLE)
        return;
    for (int axis = 0; axis < 2; axis++) {
        for (int i = 0; i < n * n; i++)
            o->pixels[i] = (double)o->factors[axis][i];
        transform(o, o->pixels, o->axes[axis]);
    }
}

static void matrix_of_scalar(const struct cosine_operator *o, double *out)
{
    size_t n = (size_t)o->n * (size_t)o->n;

    memset(out, 0, n * n * sizeof(*out));
    for (size_t i = 0; i < n; i++)
        out[i * n + i] = (double)o->factors[0][0];
}

static void matrix_of_axes(const struct cosine_operator *o, double *out)
{
    int n = o->n;

    for (int i = 0; i < n * n; i++) {
        for (int j = 0; j < n * n; j++)
            out[(size_t)i * (size_t)(n * n) + (size_t)j] =
                o->axes[0][i / n * n + j / n] * o->axes[1][i % n * n + j % n];
    }
}

/* M is symmetric: row i is what becomes of mode i. */
static void matrix_of_pixels(struct cosine_operator *o, double *out)
{
    int n = o->n;

    for (int i = 0; i < n * n; i++) {
        for (int p = 0; p < n * n; p++)
            o->pixels[p] =
                (double)o->factors[0][p] * o->dct[i / n * n + p / n] * o->dct[i % n * n + p % n];
        transform(o, o->pixels, out + (size_t)i * (size_t)(n * n));
    }
}

void cosine_operator_matrix(struct cosine_operator *o, double level, double *out)
{
    read_level(o, level);
    switch (corruption_kind(o->corruption)) {
    case CORRUPTION_SCALAR:
        matrix_of_scalar(o, out);
        break;
    case CORRUPTION_DIAGONAL:
        matrix_of_pixels(o, out);
        break;
    case CORRUPTION_SEPARABLE:
        matrix_of_axes(o, out);
        break;
    case CORRUPTION_COMPOSED:
        break;
    }
}

static double kept_of_pixels(const struct cosine_operator *o, int i, int j)
{
    int n = o->n;
    double sum = 0;

    for (int y = 0; y < n; y++) {
        for (int x = 0; x < n; x++) {
            double wave = o->dct[i * n + y] * o->dct[j * n + x];

            sum += (double)o->factors[0][y * n + x] * wave * wave;
        }
    }
    return sum;
}

void cosine_operator_kept(struct cosine_operator *o, double level, int n, const int *modes,
                          double *out)
{
    read_level(o, level);
    for (int k = 0; k < n; k++) {
        int i = modes[2 * k], j = modes[2 * k + 1];

        switch (corruption_kind(o->corruption)) {
        case CORRUPTION_SCALAR:
            out[k] = (double)o->factors[0][0];
            break;
        case CORRUPTION_DIAGONAL:
            out[k] = kept_of_pixels(o, i, j);
            break;
        case CORRUPTION_SEPARABLE:
            out[k] = o->axes[0][i * o->n + i] * o->axes[1][j * o->n + j];
            break;
        case CORRUPTION_COMPOSED:
            break;
        }
    }
}
