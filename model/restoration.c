#include "model/restoration.h"

#include "engine/base/choice.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "model/corruption.h"
#include "model/formulation.h"
#include "model/generator.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SEARCH_STEPS = 4096, HALVINGS = 40 };

/* A blur of less is none: its neighbours weigh less than 10^-10. */
static const double std_sharp_px = 0.15;

static const char *const names[DEGRADATIONS] =
    {[DEGRADATION_BLUR] = "blur", [DEGRADATION_NOISE] = "noise", [DEGRADATION_MASK] = "mask"};

struct restoration {
    const struct formulation *formulation;
    struct restoration_options o; /* its pictures are not to be read */
    struct restoration_choice chosen;
    struct generator_restoration lead;
    struct sampler_row *rows; /* [nfe], owned */
    size_t n;                 /* values of a picture */
    bool from_prior;          /* at x_1 */
    float *y;                 /* owned, and with it what follows */
    float *mask;              /* of the lead */
    float *mean, *start;      /* C_t y, and with noise */
    float *eta;               /* scratch */
    float sigma;              /* of that noise */
};

const char *degradation_name(enum degradation d)
{
    return names[d];
}

int degradation_parse(const char *name, enum degradation *out, struct error *err)
{
    int i = choice_parse("degradation", name, DEGRADATIONS, names, err);

    if (i < 0)
        return i;
    *out = (enum degradation)i;
    return 0;
}

static bool is_blur(const struct corruption *c)
{
    const char *name = corruption_name(c);

    return strcmp(name, "blur") == 0 || strcmp(name, "blur-dct") == 0;
}

/* Whether C_t is a I, and a. */
static bool is_scalar_at(const struct formulation *f, double t, double *a)
{
    double level = schedule_level(&f->schedule, t);
    float first = 1;

    switch (corruption_kind(f->corruption)) {
    case CORRUPTION_SCALAR:
        corruption_operator(f->corruption, level, &first, NULL);
        *a = (double)first;
        return first > 0;
    case CORRUPTION_DIAGONAL:
        *a = 1;
        return level >= corruption_clean_level(f->corruption);
    case CORRUPTION_COMPOSED:
        *a = 1;
        return level >= 1;
    default: /* levels of blocks are logarithms, but 0 is none of them as well */
        *a = 1;
        return level <= (is_blur(f->corruption) ? std_sharp_px : 0);
    }
}

/* How strong a corruption is at t where it is alike: grows with t. Negative: it is not. */
static double strength_at(const struct formulation *f, enum degradation d, double t)
{
    double a;

    if (d == DEGRADATION_BLUR)
        return schedule_level(&f->schedule, t);
    return is_scalar_at(f, t, &a) ? schedule_sigma(&f->schedule, t) / a : -1;
}

double restoration_std_max(const struct formulation *f, enum degradation d)
{
    double most = 0;

    if (d == DEGRADATION_MASK || (d == DEGRADATION_BLUR && !is_blur(f->corruption)))
        return -1;
    for (int i = 0; i <= SEARCH_STEPS; i++)
        most = fmax(most, strength_at(f, d, (double)i / SEARCH_STEPS));
    return most;
}

int restoration_time(const struct formulation *f, enum degradation d, double std, double *out,
                     struct error *err)
{
    double most = restoration_std_max(f, d), low = 0, high = -1, t, middle;

    *out = 1;
    if (most < 0)
        return 0;
    if (std > most)
        return error_set(err, -EDOM, "this model undoes a %s with a std of up to %.4g, not %.4g",
                         names[d], most, std);
    for (int i = 0; i <= SEARCH_STEPS && high < 0; i++) {
        t = (double)i / SEARCH_STEPS;
        if (strength_at(f, d, t) >= std)
            high = t;
        else
            low = t;
    }
    for (int i = 0; i < HALVINGS && high > 0; i++) {
        middle = 0.5 * (low + high);
        *(strength_at(f, d, middle) >= std ? &high : &low) = middle;
    }
    *out = high;
    return 0;
}

/* Multiplies a picture by A 1 of a zero-padded blur. 0 or -ENOMEM. */
static int darken_edges(int side, int channels, double std, float *picture)
{
    float *row = malloc(2 * (size_t)side * sizeof(*row)), *edge;

    if (!row)
        return -ENOMEM;
    edge = row + side;
    corruption_blur_row(side, std, side, row);
    for (int i = 0; i < side; i++) {
        edge[i] = 0;
        for (int j = 0; j < side; j++)
            edge[i] += row[abs(i - j)];
    }
    for (int i = 0; i < side * side * channels; i++)
        picture[i] *= edge[i / channels / side] * edge[i / channels % side];
    free(row);
    return 0;
}

/* Pixels that are not known become the mean of those that are, or grey. */
static void fill_mask(const struct restoration *r, int channels, float *picture)
{
    for (int c = 0; c < channels; c++) {
        double sum = 0, known = 0;

        for (size_t i = (size_t)c; i < r->n; i += (size_t)channels) {
            sum += (double)r->mask[i / (size_t)channels] * (double)picture[i];
            known += (double)r->mask[i / (size_t)channels];
        }
        for (size_t i = (size_t)c; i < r->n; i += (size_t)channels)
            if (r->mask[i / (size_t)channels] == 0)
                picture[i] = known > 0 ? (float)(sum / known) : 0.5f;
    }
}

/* mean: what the picture is by now, to be made C_t of it, where t has more blur than there is. */
static int blur_further(const struct restoration *r, double level, float *mean, struct error *err)
{
    const struct corruption *c = r->formulation->corruption;
    int channels = r->formulation->architecture.num_channels, rc;
    double more = sqrt(fmax(level * level - r->o.std * r->o.std, 0));
    float *blurred = malloc(3 * r->n * sizeof(*blurred));
    float *ones, *shade;

    if (!blurred)
        return error_set(err, -ENOMEM, "out of memory to blur a picture");
    ones = blurred + r->n;
    shade = blurred + 2 * r->n;
    for (size_t i = 0; i < r->n; i++)
        ones[i] = 1;
    rc = corruption_apply_host(c, more, channels, mean, blurred, err);
    if (rc == 0)
        rc = corruption_apply_host(c, more, channels, ones, shade, err);
    for (size_t i = 0; i < r->n && rc == 0; i++)
        mean[i] = blurred[i] / shade[i];
    if (rc == 0)
        rc = corruption_apply_host(c, level, channels, ones, shade, err);
    for (size_t i = 0; i < r->n && rc == 0; i++)
        mean[i] *= shade[i];
    free(blurred);
    return rc;
}

/* mean and sigma of x_t. */
static int make_start(struct restoration *r, const float *picture, struct error *err)
{
    const struct formulation *f = r->formulation;
    double t = r->chosen.time, level = schedule_level(&f->schedule, t), a = 0, left;
    int channels = f->architecture.num_channels;

    memcpy(r->mean, picture, r->n * sizeof(*r->mean));
    if (t == 0)
        return 0;
    left = schedule_sigma(&f->schedule, t);
    if (r->o.degradation == DEGRADATION_NOISE && is_scalar_at(f, t, &a))
        left = sqrt(fmax(left * left - a * a * r->o.std * r->o.std, 0));
    r->sigma = (float)left;
    if (r->o.degradation == DEGRADATION_BLUR && is_blur(f->corruption))
        return blur_further(r, level, r->mean, err);
    if (r->o.degradation == DEGRADATION_MASK)
        fill_mask(r, channels, r->mean);
    memcpy(r->start, r->mean, r->n * sizeof(*r->mean));
    return corruption_apply_host(f->corruption, level, channels, r->start, r->mean, err);
}

static int make_lead(struct restoration *r, const struct restoration_options *o, struct error *err)
{
    const struct architecture *a = &r->formulation->architecture;
    size_t pixels = r->n / (size_t)a->num_channels;

    memcpy(r->y, o->picture, r->n * sizeof(*r->y));
    if (o->degradation == DEGRADATION_MASK)
        memcpy(r->mask, o->mask, pixels * sizeof(*r->mask));
    if (o->degradation == DEGRADATION_BLUR &&
        darken_edges(a->image_size, a->num_channels, o->std, r->y) < 0)
        return error_set(err, -ENOMEM, "out of memory to restore a picture");
    r->lead = (struct generator_restoration){
        .y = r->y,
        .mask = o->degradation == DEGRADATION_MASK ? r->mask : NULL,
        .blur = o->degradation == DEGRADATION_BLUR ? o->std : 0,
        .weight = (float)r->chosen.consistency,
    };
    return 0;
}

/* Where it starts, and the rows from there on. */
static int choose(struct restoration *r, const struct restoration_options *o, struct error *err)
{
    static const struct sampler_row stay = {.t = 1e-3, .x_scale = 1};
    int rc = 0;

    r->chosen.consistency =
        o->consistency >= 0 ? o->consistency : o->degradation != DEGRADATION_NOISE;
    r->chosen.time = o->time;
    if (o->time < 0)
        rc = restoration_time(r->formulation, o->degradation, o->std, &r->chosen.time, err);
    if (rc < 0)
        return rc;
    r->from_prior = r->chosen.time >= 1;
    r->chosen.nfe = r->chosen.time == 0 ? 1 : o->nfe;
    r->rows = calloc((size_t)r->chosen.nfe, sizeof(*r->rows));
    if (!r->rows)
        return error_set(err, -ENOMEM, "out of memory for %d evaluations", r->chosen.nfe);
    if (r->chosen.time > 0)
        return sampler_table_from(o->sampler, r->formulation, r->chosen.time, o->nfe, r->rows, err);
    r->rows[0] = stay;
    r->chosen.consistency = 0;
    return 0;
}

int restoration_create(const struct formulation *f, const struct restoration_options *options,
                       struct restoration **out, struct error *err)
{
    size_t side = (size_t)f->architecture.image_size, channels;
    struct restoration *r = calloc(1, sizeof(*r));
    int rc;

    if (!r)
        return error_set(err, -ENOMEM, "out of memory to restore a picture");
    channels = (size_t)f->architecture.num_channels;
    r->formulation = f;
    r->o = *options;
    r->n = side * side * channels;
    r->y = calloc(5 * r->n, sizeof(*r->y));
    if (!r->y) {
        restoration_destroy(r);
        return error_set(err, -ENOMEM, "out of memory to restore a picture");
    }
    r->mask = r->y + r->n;
    r->mean = r->y + 2 * r->n;
    r->start = r->y + 3 * r->n;
    r->eta = r->y + 4 * r->n;
    rc = choose(r, options, err);
    if (rc == 0)
        rc = make_lead(r, options, err);
    if (rc == 0 && !r->from_prior)
        rc = make_start(r, options->picture, err);
    r->o.picture = r->o.mask = NULL;
    if (rc < 0) {
        restoration_destroy(r);
        return rc;
    }
    *out = r;
    return 0;
}

void restoration_destroy(struct restoration *r)
{
    if (!r)
        return;
    free(r->rows);
    free(r->y);
    free(r);
}

void restoration_chosen(const struct restoration *r, struct restoration_choice *out)
{
    *out = r->chosen;
}

void restoration_lead(struct restoration *r, struct generator_task *task)
{
    struct philox_key key = philox_key(task->seed, 0, 0);

    task->rows = r->rows;
    task->nfe = r->chosen.nfe;
    if (r->lead.weight > 0)
        task->restoration = &r->lead;
    if (r->from_prior)
        return;
    philox_normals(&key, PHILOX_STREAM_START, r->n, r->eta);
    for (size_t i = 0; i < r->n; i++)
        r->start[i] = r->mean[i] + r->sigma * r->eta[i];
    task->start = r->start;
}

/* Blurs along one direction, zero-padded: pixels of a line are step values apart. */
static void blur_lines(int side, int channels, const float *row, int step, int step_of_lines,
                       float *x, float *line)
{
    for (int k = 0; k < side; k++) {
        for (int c = 0; c < channels; c++) {
            float *first = x + k * step_of_lines + c;

            for (int i = 0; i < side; i++)
                line[i] = first[i * step];
            for (int i = 0; i < side; i++) {
                float sum = 0;

                for (int j = 0; j < side; j++)
                    sum += row[abs(i - j)] * line[j];
                first[i * step] = sum;
            }
        }
    }
}

int restoration_finish(const struct restoration *r, uint8_t *pixels)
{
    const struct architecture *a = &r->formulation->architecture;
    int side = a->image_size, channels = a->num_channels;
    float *x, *difference, *row, *line;

    if (r->lead.blur == 0 || r->lead.weight == 0)
        return 0;
    x = malloc((2 * r->n + 2 * (size_t)side) * sizeof(*x));
    if (!x)
        return -ENOMEM;
    difference = x + r->n;
    row = x + 2 * r->n;
    line = row + side;
    corruption_blur_row(side, r->lead.blur, side, row);
    for (size_t i = 0; i < r->n; i++)
        x[i] = (float)pixels[i] / 255;
    for (int step = 0; step < RESTORATION_STEPS; step++) {
        memcpy(difference, x, r->n * sizeof(*x));
        blur_lines(side, channels, row, channels, side * channels, difference, line);
        blur_lines(side, channels, row, side * channels, channels, difference, line);
        for (size_t i = 0; i < r->n; i++)
            difference[i] = r->y[i] - difference[i];
        blur_lines(side, channels, row, channels, side * channels, difference, line);
        blur_lines(side, channels, row, side * channels, channels, difference, line);
        for (size_t i = 0; i < r->n; i++)
            x[i] += r->lead.weight * difference[i];
    }
    for (size_t i = 0; i < r->n; i++)
        pixels[i] = (uint8_t)lrintf(255 * fminf(fmaxf(x[i], 0), 1));
    free(x);
    return 0;
}
