#include "tools/eval/gist.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"

enum { FIELDS_AXIS = 4 };

/* Of grey pictures' colours only the rounding of their sums varies, by 1e-17: nothing to divide by. */
static const double BYTE_STEP = 1 / 255.0;

void gist_colours(const uint8_t *rgb, double out[GIST_COLOURS])
{
    double r = rgb[0] / 255.0, g = rgb[1] / 255.0, b = rgb[2] / 255.0;

    out[0] = 0.299 * r + 0.587 * g + 0.114 * b;
    out[1] = 0.564 * (b - out[0]);
    out[2] = 0.713 * (r - out[0]);
}

static int field_of(int side, int y, int x)
{
    return y * FIELDS_AXIS / side * FIELDS_AXIS + x * FIELDS_AXIS / side;
}

/* Means of fields of one colour [side,side], in out [GIST_FIELDS]. */
static void field_means(int side, const double *image, double *out)
{
    int count[GIST_FIELDS] = {0};

    memset(out, 0, GIST_FIELDS * sizeof(*out));
    for (int i = 0; i < side * side; i++) {
        int field = field_of(side, i / side, i % side);

        out[field] += image[i];
        count[field]++;
    }
    for (int field = 0; field < GIST_FIELDS; field++)
        out[field] /= count[field];
}

/* The size of differences to the neighbour in a direction, by field. At the border there is none, and
 * it is as in the pixel before. */
static void field_edges(int side, const double *image, int dy, int dx, double *out)
{
    int count[GIST_FIELDS] = {0};

    memset(out, 0, GIST_FIELDS * sizeof(*out));
    for (int y = 0; y + dy < side; y++) {
        for (int x = dx < 0 ? 1 : 0; x < side && x + dx < side; x++) {
            int field = field_of(side, y, x);

            out[field] += fabs(image[(y + dy) * side + x + dx] - image[y * side + x]);
            count[field]++;
        }
    }
    for (int field = 0; field < GIST_FIELDS; field++)
        out[field] = count[field] ? out[field] / count[field] : 0;
}

/* Means of pairs along both axes, in place; an odd row or column at the end is dropped. */
static int halve(int side, double *image)
{
    int half = side / 2;

    for (int y = 0; y < half; y++) {
        for (int x = 0; x < half; x++) {
            const double *from = image + 2 * y * side + 2 * x;

            image[y * half + x] = (from[0] + from[1] + from[side] + from[side + 1]) / 4;
        }
    }
    return half;
}

/* One colour, which is overwritten; returns where the next one's features go. */
static double *describe(int side, double *image, double *out)
{
    static const int directions[GIST_DIRECTIONS][2] = {{0, 1}, {1, 0}, {1, 1}, {1, -1}};

    field_means(side, image, out);
    out += GIST_FIELDS;
    for (int scale = 0; scale < GIST_SCALES; scale++) {
        for (int d = 0; d < GIST_DIRECTIONS; d++, out += GIST_FIELDS)
            field_edges(side, image, directions[d][0], directions[d][1], out);
        side = halve(side, image);
    }
    return out;
}

int gist_compute(int n, int side, const uint8_t *pixels, double *out, struct error *err)
{
    size_t count = (size_t)side * (size_t)side;
    double *image = malloc(GIST_COLOURS * count * sizeof(*image));

    if (!image)
        return error_set(err, -ENOMEM, "out of memory for the gist of a picture");
    for (int i = 0; i < n; i++) {
        for (size_t p = 0; p < count; p++) {
            double colours[GIST_COLOURS];

            gist_colours(pixels + ((size_t)i * count + p) * 3, colours);
            for (size_t c = 0; c < GIST_COLOURS; c++)
                image[c * count + p] = colours[c];
        }
        for (size_t c = 0; c < GIST_COLOURS; c++)
            out = describe(side, image + c * count, out);
    }
    free(image);
    return 0;
}

void gist_scale(int n, double *features, const double mean[GIST_FEATURES],
                const double deviation[GIST_FEATURES])
{
    for (size_t i = 0; i < (size_t)n * GIST_FEATURES; i++) {
        size_t k = i % GIST_FEATURES;

        features[i] = (features[i] - mean[k]) / deviation[k];
    }
}

void gist_standardise(int n, double *reference, double mean[GIST_FEATURES],
                      double deviation[GIST_FEATURES])
{
    for (size_t k = 0; k < GIST_FEATURES; k++) {
        double sum = 0, square = 0;

        for (int i = 0; i < n; i++)
            sum += reference[(size_t)i * GIST_FEATURES + k];
        mean[k] = sum / n;
        for (int i = 0; i < n; i++)
            square += pow(reference[(size_t)i * GIST_FEATURES + k] - mean[k], 2);
        deviation[k] = fmax(sqrt(square / n), BYTE_STEP);
    }
    gist_scale(n, reference, mean, deviation);
}
