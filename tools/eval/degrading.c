#include "tools/eval/degrading.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "model/corruption.h"

/* Of other streams than generators draw from. */
enum { STREAM_NOISE = 1 << 24, STREAM_DOTS };

struct degrader {
    struct degrading what;
    int side, channels;
    size_t n; /* values of a picture */
    uint64_t seed;
    float *row;     /* [side] weights of a blur; owned, and with it what follows */
    float *share;   /* [side] what of them lies within the picture */
    float *mask;    /* [side,side] */
    float *random;  /* [n], scratch */
    double *line;   /* [side], scratch; owned */
    double *values; /* [n], scratch; owned with it */
};

/* One of the list, which ends with a comma or with the text. */
static int parse(const char *text, size_t size, struct degrading *out, struct error *err)
{
    static const struct {
        const char *name;
        enum degradation kind;
        bool scattered;
        double most;
    } kinds[] = {{"blur:", DEGRADATION_BLUR, false, 1000},
                 {"noise:", DEGRADATION_NOISE, false, 10},
                 {"hole:", DEGRADATION_MASK, false, 0.99},
                 {"dots:", DEGRADATION_MASK, true, 0.99}};
    size_t n;
    char *end;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && size < sizeof(out->name); i++) {
        n = strlen(kinds[i].name);
        if (strncmp(text, kinds[i].name, n) != 0)
            continue;
        *out = (struct degrading){.kind = kinds[i].kind,
                                  .scattered = kinds[i].scattered,
                                  .amount = strtod(text + n, &end)};
        snprintf(out->name, sizeof(out->name), "%.*s", (int)size, text);
        if (end == text + n)
            break;
        if (*end == '+' && end + 1 < text + size)
            out->noise = strtod(end + 1, &end);
        if (end == text + size && out->amount > 0 && out->amount <= kinds[i].most &&
            out->noise >= 0 && out->noise <= 1)
            return 0;
    }
    return error_set(err, -EINVAL,
                     "\"%.*s\" is no degradation, but blur:PX, noise:STD, hole:PART and dots:PART "
                     "are, with +NOISE or without",
                     (int)size, text);
}

int degrading_list_parse(const char *text, struct degrading *out, struct error *err)
{
    int n = 0;

    for (;;) {
        size_t size = strcspn(text, ",");
        int rc;

        if (n == DEGRADING_LIST_MAX)
            return error_set(err, -EINVAL, "more than %d degradations", DEGRADING_LIST_MAX);
        rc = parse(text, size, &out[n++], err);
        if (rc < 0)
            return rc;
        if (!text[size])
            return n;
        text += size + 1;
    }
}

static void make_blur(struct degrader *d)
{
    corruption_blur_row(d->side, d->what.amount, d->side, d->row);
    for (int i = 0; i < d->side; i++) {
        d->share[i] = 0;
        for (int j = 0; j < d->side; j++)
            d->share[i] += d->row[abs(i - j)];
    }
}

static void make_mask(struct degrader *d)
{
    const struct philox_key key = philox_key(d->seed, 0, 0);
    int hidden = (int)lround(sqrt(d->what.amount) * d->side), from = (d->side - hidden) / 2;

    philox_uniforms(&key, STREAM_DOTS, (size_t)d->side * (size_t)d->side, d->random);
    for (int i = 0; i < d->side * d->side; i++) {
        int y = i / d->side - from, x = i % d->side - from;

        d->mask[i] = d->what.scattered ? (double)d->random[i] >= d->what.amount
                                       : !(y >= 0 && y < hidden && x >= 0 && x < hidden);
    }
}

int degrader_create(const struct degrading *what, int side, int channels, uint64_t seed,
                    struct degrader **out, struct error *err)
{
    struct degrader *d = calloc(1, sizeof(*d));
    size_t pixels = (size_t)side * (size_t)side, n = pixels * (size_t)channels;

    if (d) {
        d->row = malloc((2 * (size_t)side + pixels + n) * sizeof(*d->row));
        d->line = malloc(((size_t)side + n) * sizeof(*d->line));
    }
    if (!d || !d->row || !d->line) {
        degrader_destroy(d);
        return error_set(err, -ENOMEM, "out of memory to degrade pictures");
    }
    d->what = *what;
    d->side = side;
    d->channels = channels;
    d->n = n;
    d->seed = seed;
    d->share = d->row + side;
    d->mask = d->row + 2 * side;
    d->random = d->mask + pixels;
    d->values = d->line + side;
    for (size_t i = 0; i < pixels; i++)
        d->mask[i] = 1;
    if (what->kind == DEGRADATION_BLUR)
        make_blur(d);
    else if (what->kind == DEGRADATION_MASK)
        make_mask(d);
    *out = d;
    return 0;
}

void degrader_destroy(struct degrader *d)
{
    if (!d)
        return;
    free(d->row);
    free(d->line);
    free(d);
}

/* Blurs the lines of one direction, whose pixels are step values apart. */
static void blur_lines(const struct degrader *d, int step, int step_of_lines, double *x)
{
    for (int k = 0; k < d->side; k++) {
        for (int c = 0; c < d->channels; c++) {
            double *line = x + k * step_of_lines + c;

            for (int i = 0; i < d->side; i++) {
                double sum = 0;

                for (int j = 0; j < d->side; j++)
                    sum += (double)d->row[abs(i - j)] * line[j * step];
                d->line[i] = sum / (double)d->share[i];
            }
            for (int i = 0; i < d->side; i++)
                line[i * step] = d->line[i];
        }
    }
}

void degrader_apply(struct degrader *d, const double *x, double *y)
{
    if (y != x)
        memcpy(y, x, d->n * sizeof(*y));
    if (d->what.kind == DEGRADATION_BLUR) {
        blur_lines(d, d->channels, d->side * d->channels, y);
        blur_lines(d, d->side * d->channels, d->channels, y);
    }
    if (d->what.kind == DEGRADATION_MASK)
        for (size_t i = 0; i < d->n; i++)
            y[i] *= (double)d->mask[i / (size_t)d->channels];
}

/* What a viewer would see behind the mask: the mean of the rest. */
static void fill(const struct degrader *d, double *y)
{
    for (int c = 0; c < d->channels; c++) {
        double sum = 0, known = 0;

        for (size_t i = (size_t)c; i < d->n; i += (size_t)d->channels) {
            sum += y[i];
            known += (double)d->mask[i / (size_t)d->channels];
        }
        for (size_t i = (size_t)c; i < d->n; i += (size_t)d->channels)
            if (d->mask[i / (size_t)d->channels] == 0)
                y[i] = known > 0 ? sum / known : 0.5;
    }
}

static double noise_of(const struct degrading *what)
{
    return what->kind == DEGRADATION_NOISE ? hypot(what->amount, what->noise) : what->noise;
}

void degrader_degrade(struct degrader *d, int i, const uint8_t *picture, uint8_t *out)
{
    const struct philox_key key = philox_key(d->seed, (uint32_t)i, 0);

    for (size_t k = 0; k < d->n; k++)
        d->values[k] = picture[k] / 255.0;
    degrader_apply(d, d->values, d->values);
    if (d->what.kind == DEGRADATION_MASK)
        fill(d, d->values);
    if (noise_of(&d->what) > 0) {
        philox_normals(&key, STREAM_NOISE, d->n, d->random);
        for (size_t k = 0; k < d->n; k++)
            d->values[k] += noise_of(&d->what) * (double)d->random[k];
    }
    for (size_t k = 0; k < d->n; k++)
        out[k] = (uint8_t)lround(255 * fmin(fmax(d->values[k], 0), 1));
}

const struct degrading *degrader_of(const struct degrader *d)
{
    return &d->what;
}

const float *degrader_mask(const struct degrader *d)
{
    return d->mask;
}

double degrader_noise(const struct degrader *d)
{
    return hypot(noise_of(&d->what), 1 / (sqrt(12) * 255));
}
