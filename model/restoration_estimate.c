/* The likeliest std under a simple law of pictures: the coefficients of their cosine transform are
 * independent, of mean 0 and of the variance
 *     v = A g(f)^2 f^-SLOPE + s^2
 * with the frequency f, g = exp(-std^2 f^2 / 2) what a blur leaves, s the noise. Of the two unknowns A
 * and std (s of noise; of a blur s is what 8 bits round off) all pairs of two grids are tried, and around
 * the best a finer pair of grids.
 */
#include "model/restoration.h"

#include "engine/base/error.h"
#include "model/wiener.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

static const double pi = 3.14159265358979323846;

/* With which the std of blurred (1 and 2 px) and noisy (0.05 and 0.1) faces of 32 px were found best.
 * The lowest waves follow no such law. */
static const double SLOPE = 4.5, LOWEST = 0.5;

/* What is rounded to 8 bits, and little more. */
static const double ROUNDING = 0.5 / 255;

static const double BLUR_MIN = 0.15, BLUR_MAX = 20, NOISE_MIN = 0.005, NOISE_MAX = 1;

enum { GRID = 48, POWERS = 48 };

/* What is known of the picture: one frequency and power per mode. */
struct modes {
    int n;
    double *memory;                 /* owned, of all: */
    double *square, *prior, *power; /* f^2, f^-SLOPE, coefficient^2 */
};

static void transform(int n, const float *d, const double *x, double *half, double *out)
{
    for (int k = 0; k < n; k++)
        for (int j = 0; j < n; j++) {
            half[k * n + j] = 0;
            for (int i = 0; i < n; i++)
                half[k * n + j] += (double)d[k * n + i] * x[i * n + j];
        }
    for (int k = 0; k < n; k++)
        for (int l = 0; l < n; l++) {
            out[k * n + l] = 0;
            for (int j = 0; j < n; j++)
                out[k * n + l] += half[k * n + j] * (double)d[l * n + j];
        }
}

/* A direction of colour of a picture, orthonormal to the others; [side,side] of double. */
static void mix_colors(int channels, const double *weights, const float *picture, size_t pixels,
                       double *out)
{
    for (size_t i = 0; i < pixels; i++) {
        out[i] = 0;
        for (int c = 0; c < channels; c++)
            out[i] += weights[c] * (double)picture[i * (size_t)channels + (size_t)c];
    }
}

/* A blur is looked for in the grey of a picture, noise in its colours, of which pictures have little
 * that is fine. 0 or -ENOMEM. */
static int modes_find(bool blur, int side, int channels, const float *picture, struct modes *out)
{
    static const double grey[] = {1. / 3, 1. / 3, 1. / 3}, one[] = {1};
    static const double colors[2][3] = {{0.70710678, -0.70710678, 0},
                                        {0.40824829, 0.40824829, -0.81649658}};
    int n_mixed = channels == 3 && !blur ? 2 : 1;
    size_t pixels = (size_t)side * (size_t)side;
    double *x = calloc(6 * pixels, sizeof(*x)), *c = x ? x + 2 * pixels : NULL, f2;
    float *d = malloc(pixels * sizeof(*d));

    if (!x || !d) {
        free(x);
        free(d);
        return -ENOMEM;
    }
    *out = (struct modes){0, x, x + 3 * pixels, x + 4 * pixels, x + 5 * pixels};
    wiener_dct_matrix(side, d);
    for (int k = 0; k < n_mixed; k++) {
        mix_colors(channels, channels != 3 ? one : blur ? grey : colors[k], picture, pixels, x);
        transform(side, d, x, x + pixels, c);
        out->n = 0;
        for (int i = 0; i < side * side; i++) {
            int row = i / side, column = i % side;

            f2 = pow(pi / side, 2) * (row * row + column * column);
            if (f2 < LOWEST * LOWEST)
                continue;
            out->square[out->n] = f2;
            out->prior[out->n] = pow(f2, -0.5 * SLOPE);
            out->power[out->n++] += c[i] * c[i] / n_mixed;
        }
    }
    free(d);
    return 0;
}

/* -2 log likelihood, but for a constant. */
static double unlikeliness(const struct modes *m, double amount, double blur, double noise)
{
    double sum = 0, v;

    for (int i = 0; i < m->n; i++) {
        v = amount * m->prior[i] * exp(-blur * blur * m->square[i]) + noise * noise;
        sum += log(v) + m->power[i] / v;
    }
    return sum;
}

int restoration_estimate(enum degradation d, int side, int channels, const float *picture,
                         double *out, struct error *err)
{
    bool blur = d == DEGRADATION_BLUR;
    double low = log(blur ? BLUR_MIN : NOISE_MIN), high = log(blur ? BLUR_MAX : NOISE_MAX);
    double least = log(1e-7), most = log(10), best = INFINITY, u, a, cost, found = low,
           amount = least;
    struct modes m;

    if (modes_find(blur, side, channels, picture, &m) < 0)
        return error_set(err, -ENOMEM, "out of memory to look at a picture");
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i <= GRID; i++)
            for (int j = 0; j <= POWERS; j++) {
                u = low + (high - low) * i / GRID;
                a = least + (most - least) * j / POWERS;
                cost = unlikeliness(&m, exp(a), blur ? exp(u) : 0, blur ? ROUNDING : exp(u));
                if (cost < best) {
                    best = cost;
                    found = u;
                    amount = a;
                }
            }
        u = (high - low) / GRID;
        low = found - u;
        high = found + u;
        a = (most - least) / POWERS;
        least = amount - a;
        most = amount + a;
    }
    free(m.memory);
    *out = exp(found);
    return 0;
}
