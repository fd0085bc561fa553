#include "tools/eval/feature_resize.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/pictures/resize.h"
#include "engine/base/error.h"

static const char *const names[] = {
    [FEATURE_RESIZE_BYTES] = "bytes",
    [FEATURE_RESIZE_BILINEAR] = "bilinear",
    [FEATURE_RESIZE_TENSORFLOW] = "tensorflow",
    [FEATURE_RESIZE_BICUBIC] = "bicubic",
};

enum { N_NAMES = sizeof(names) / sizeof(names[0]), CUBIC_SUPPORT = 2 };

const char *feature_resize_name(enum feature_resize r)
{
    return names[r];
}

int feature_resize_parse(const char *name, enum feature_resize *out, struct error *err)
{
    for (int i = FEATURE_RESIZE_BYTES; i < N_NAMES; i++) {
        if (strcmp(names[i], name) == 0) {
            *out = (enum feature_resize)i;
            return 0;
        }
    }
    return error_set(err, -EINVAL,
                     "pictures cannot be resized by \"%s\", but by bytes, bilinear, tensorflow and "
                     "bicubic",
                     name);
}

bool feature_resize_is_of_fid(const char *name)
{
    return strcmp(name, names[FEATURE_RESIZE_BILINEAR]) == 0 ||
           strcmp(name, names[FEATURE_RESIZE_TENSORFLOW]) == 0;
}

bool feature_resize_is_of_clean_fid(const char *name)
{
    return strcmp(name, names[FEATURE_RESIZE_BICUBIC]) == 0;
}

static int no_memory(int to, struct error *err)
{
    return error_set(err, -ENOMEM, "out of memory for a picture of %d px", to);
}

/* A place between two pixels of a row or column. */
struct between {
    int low, high;
    float high_weight;
};

static struct between place_between(int i, float scale, float corner, int from)
{
    float place = scale * ((float)i + corner) - corner;
    struct between b;

    if (place < 0)
        place = 0;
    b.low = (int)place;
    if (b.low > from - 1)
        b.low = from - 1;
    b.high = b.low < from - 1 ? b.low + 1 : b.low;
    b.high_weight = place - (float)b.low;
    return b;
}

/* corner: how far the first pixel's centre is from the picture's corner, in pixels of either. */
static int resize_bilinear(const uint8_t *src, int from, int to, float corner, float *dst,
                           struct error *err)
{
    const float scale = (float)from / (float)to;
    struct between *places = malloc((size_t)to * sizeof(*places));

    if (!places)
        return no_memory(to, err);
    for (int i = 0; i < to; i++)
        places[i] = place_between(i, scale, corner, from);
    for (int y = 0; y < to; y++) {
        const uint8_t *above = src + (size_t)places[y].low * (size_t)from * 3;
        const uint8_t *below = src + (size_t)places[y].high * (size_t)from * 3;
        const float down = places[y].high_weight, up = 1 - down;

        for (int x = 0; x < to; x++) {
            const struct between *b = &places[x];
            const float right = b->high_weight, left = 1 - right;

            for (int c = 0; c < 3; c++)
                *dst++ = up * (left * above[3 * b->low + c] + right * above[3 * b->high + c]) +
                         down * (left * below[3 * b->low + c] + right * below[3 * b->high + c]);
        }
    }
    free(places);
    return 0;
}

/* Keys' kernel with a = -1/2. */
static double cubic(double x)
{
    x = fabs(x);
    if (x < 1)
        return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/* The weights [to,n] of n pixels, those of first[i] and after it, in pixel i; those beyond are 0. */
struct taps {
    int n, *first;
    double *weights;
};

static void taps_fini(struct taps *t)
{
    free(t->first);
    free(t->weights);
}

static int taps_init(struct taps *t, int from, int to, struct error *err)
{
    const double scale = (double)from / to, width = scale > 1 ? scale : 1;
    const double support = CUBIC_SUPPORT * width;

    t->n = 2 * (int)ceil(support) + 1;
    t->first = malloc((size_t)to * sizeof(*t->first));
    t->weights = calloc((size_t)to * (size_t)t->n, sizeof(*t->weights));
    if (!t->first || !t->weights)
        return no_memory(to, err);
    for (int i = 0; i < to; i++) {
        const double centre = (i + 0.5) * scale;
        const int first = (int)fmax(centre - support + 0.5, 0);
        const int end = (int)fmin(centre + support + 0.5, from);
        double *weights = t->weights + (size_t)i * (size_t)t->n, sum = 0;

        t->first[i] = first;
        for (int k = 0; k < end - first; k++)
            sum += weights[k] = cubic((first + k + 0.5 - centre) / width);
        for (int k = 0; k < end - first; k++)
            weights[k] /= sum;
    }
    return 0;
}

/* Along a row first, then along a column, with numbers of float32 between, as Pillow has it. */
static int resize_bicubic(const uint8_t *src, int from, int to, float *dst, struct error *err)
{
    const size_t row = 3 * (size_t)to;
    float *rows = malloc((size_t)from * row * sizeof(*rows)); /* [from,to,3] */
    struct taps t = {0};
    int rc = rows ? taps_init(&t, from, to, err) : no_memory(to, err);

    for (int y = 0; y < from && rc == 0; y++) {
        for (size_t i = 0; i < row; i++) {
            const double *weights = t.weights + i / 3 * (size_t)t.n;
            const int first = t.first[i / 3];
            double sum = 0;

            for (int k = 0; k < t.n && first + k < from; k++)
                sum +=
                    weights[k] * src[3 * ((size_t)y * (size_t)from + (size_t)(first + k)) + i % 3];
            rows[(size_t)y * row + i] = (float)sum;
        }
    }
    for (int y = 0; y < to && rc == 0; y++) {
        for (size_t i = 0; i < row; i++) {
            const double *weights = t.weights + (size_t)y * (size_t)t.n;
            double sum = 0;

            for (int k = 0; k < t.n && t.first[y] + k < from; k++)
                sum += weights[k] * (double)rows[(size_t)(t.first[y] + k) * row + i];
            dst[(size_t)y * row + i] = fminf(fmaxf((float)sum, 0), 255);
        }
    }
    taps_fini(&t);
    free(rows);
    return rc;
}

static int resize_bytes(const uint8_t *src, int from, int to, float *dst, struct error *err)
{
    const size_t count = 3 * (size_t)to * (size_t)to;
    uint8_t *bytes = malloc(count);
    int rc = bytes ? resize_square(src, from, from, 3, 0, to, bytes, err) : no_memory(to, err);

    for (size_t i = 0; i < count && rc == 0; i++)
        dst[i] = (float)bytes[i];
    free(bytes);
    return rc;
}

int feature_resize_run(enum feature_resize r, const uint8_t *src, int from, int to, float *dst,
                       struct error *err)
{
    switch (r) {
    case FEATURE_RESIZE_BILINEAR:
        return resize_bilinear(src, from, to, 0.5f, dst, err);
    case FEATURE_RESIZE_TENSORFLOW:
        return resize_bilinear(src, from, to, 0, dst, err);
    case FEATURE_RESIZE_BICUBIC:
        return resize_bicubic(src, from, to, dst, err);
    default:
        return resize_bytes(src, from, to, dst, err);
    }
}
