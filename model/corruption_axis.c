#include "model/corruption_parts.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

/* exp(-k^2 / 2 std^2); written so that a std of 0 or a tiny one gives 1 at k = 0 and 0 elsewhere
 * instead of 0/0. */
static double gaussian(int k, double std)
{
    double z = k == 0 ? 0 : k / std;

    return exp(-0.5 * z * z);
}

/* Z of the kernel: the sum of its weights before they are normalised. */
static double gaussian_sum(double std, int half_size)
{
    double sum = 1;

    for (int k = 1; k <= half_size; k++)
        sum += 2 * gaussian(k, std);
    return sum;
}

void corruption_blur_row(int n, double std, int half_size, float *out)
{
    double sum = gaussian_sum(std, half_size);

    for (int k = 0; k < n; k++)
        out[k] = k <= half_size ? (float)(gaussian(k, std) / sum) : 0;
}

/* What a blur with mirrors at the ends leaves of the wave k of a cosine transform. */
static double kept_wave(int n, int k, double std)
{
    double frequency = pi * k / n;

    return exp(-0.5 * std * std * frequency * frequency);
}

/* The weight of distance d, 0 <= d <= n, of D^T diag(kept) D = r[|i - j|] + r[i + j + 1]: the product of
 * two cosines is half the sum of two. A wave of n half-periods is nothing at the pixels, and there is
 * as much of it as makes r[n] 0, which is where a pixel and its mirror image meet. */
static double mirrored_weight(int n, int d, double std)
{
    double sum = 1, last = 1;

    if (std == 0)
        return d == 0;
    for (int k = 1; k < n; k++) {
        double kept = kept_wave(n, k, std);

        sum += 2 * kept * cos(pi * k * d / n);
        last += 2 * kept * (k % 2 ? -1 : 1);
    }
    return (sum - last * ((n - d) % 2 ? -1 : 1)) / (2 * n);
}

/* An axis ready to be read. */
struct axis {
    const struct corruption *c;
    int n;
    double level;
    double weights[CORRUPTION_SIDE_MAX]; /* of distance, but for pixelate, where they are: */
    int size;                            /* px of a block */
    double rest;                         /* how far it is to blocks twice as large */
};

static void axis_begin(struct axis *axis, const struct corruption *c, int n, double level)
{
    double most = fmin(fmax(level, 0), c->halvings);
    double sum = c->id == CORRUPTION_BLUR ? gaussian_sum(level, c->half_size) : 0;

    axis->c = c;
    axis->n = n;
    axis->level = level;
    axis->size = 1 << (int)floor(most);
    axis->rest = most - floor(most);
    for (int k = 0; k < n; k++) {
        if (c->id == CORRUPTION_BLUR)
            axis->weights[k] = k <= c->half_size ? gaussian(k, level) / sum : 0;
        else if (c->id == CORRUPTION_BLUR_DCT)
            axis->weights[k] = mirrored_weight(n, k, level);
    }
}

/* An entry of the line between two matrices of a list. */
static double listed_entry(const struct corruption *c, double level, int i, int j)
{
    double place = fmin(fmax(level, 0), c->n_matrices - 1);
    int k = place < c->n_matrices - 1 ? (int)place : c->n_matrices - 2;
    const float *entry =
        c->matrices + ((size_t)k * (size_t)c->h + (size_t)i) * (size_t)c->h + (size_t)j;

    return (1 - (place - k)) * (double)entry[0] +
           (place - k) * (double)entry[(size_t)c->h * (size_t)c->h];
}

static double axis_entry(const struct axis *axis, int i, int j)
{
    int distance = abs(i - j), n = axis->n, mirror = i + j + 1, size = axis->size;
    double rest = axis->rest;

    if (axis->c->id == CORRUPTION_MATRICES)
        return listed_entry(axis->c, axis->level, i, j);
    if (axis->c->id == CORRUPTION_BLUR)
        return axis->weights[distance];
    if (axis->c->id == CORRUPTION_PIXELATE)
        return (i / size == j / size ? (1 - rest) / size : 0) +
               (i / size / 2 == j / size / 2 ? rest / (2 * size) : 0);
    if (mirror == n)
        return axis->weights[distance];
    return axis->weights[distance] + axis->weights[mirror < n ? mirror : 2 * n - mirror];
}

void corruption_axis_matrix(const struct corruption *c, int n, double level, double *out)
{
    struct axis axis;

    axis_begin(&axis, c, n, level);
    for (int i = 0; i < n * n; i++)
        out[i] = axis_entry(&axis, i / n, i % n);
}

void corruption_axis_floats(const struct corruption *c, int n, double level, float *out)
{
    struct axis axis;

    axis_begin(&axis, c, n, level);
    for (int i = 0; i < n * n; i++)
        out[i] = (float)axis_entry(&axis, i / n, i % n);
}

void corruption_axis_row(const struct corruption *c, int n, double level, float *out)
{
    struct axis axis;

    axis_begin(&axis, c, n, level);
    for (int d = 0; d < n; d++)
        out[d] = (float)axis.weights[d];
}

void corruption_haar(const struct corruption *c, int n, float *matrix, float *rank)
{
    int row = 0;

    memset(matrix, 0, (size_t)n * (size_t)n * sizeof(*matrix));
    for (int scale = 1; scale <= c->halvings + 1; scale++) {
        bool mean = scale > c->halvings;
        int size = 1 << (mean ? c->halvings : scale);

        for (int first = 0; first < n; first += size, row++) {
            for (int i = 0; i < size; i++)
                matrix[row * n + first + i] = (float)((mean || i < size / 2 ? 1 : -1) / sqrt(size));
            rank[row] = (float)(c->halvings + 1 - scale);
        }
    }
}
