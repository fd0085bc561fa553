#include "tools/eval/gaussian_engine.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/base/watch.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "model/evaluation.h"
#include "model/fit/cosine_operator.h"
#include "tools/eval/gaussian_case.h"
#include "tools/network.h"

enum { BATCH = 32 };

/* Not 0, so that what is done with it matters. */
static const float mean = 0.5f;

/* Seeds of x_0, of the noise of x_1, and of the sampler's. */
enum { SEED_DATA = 1, SEED_START, SEED_STEPS };

struct gaussian_engine {
    const struct gaussian_case *given;
    struct checkpoint *checkpoint;
    struct evaluation *evaluation;
    float *dct;                      /* [side,side] D */
    float *image, *noise, *x, *half; /* [side,side] */
    double *variances;               /* [side,side] found */
    double *foretold;                /* the same */
};

/* G of model/wiener.h: E[c0 ct] / (E[ct^2] + sigma^2), where ct = M c0. */
static int fill_gain(const struct gaussian_case *c, struct wiener *w, struct error *err)
{
    size_t count = (size_t)c->side * (size_t)c->side;
    const struct schedule *s = &c->formulation.schedule;
    double *m = malloc(count * count * sizeof(*m));
    struct cosine_operator *op = NULL;
    int rc = m ? cosine_operator_create(c->formulation.corruption, c->side, &op, err)
               : error_set(err, -ENOMEM, "out of memory for a linear estimate");

    for (int time = 0; rc == 0 && time < WIENER_TIMES; time++) {
        double t = (double)time / (WIENER_TIMES - 1), sigma = schedule_sigma(s, t);

        cosine_operator_matrix(op, schedule_level(s, t), m);
        for (size_t i = 0; i < count; i++) {
            double square = sigma * sigma;

            for (size_t j = 0; j < count; j++)
                square += m[i * count + j] * m[i * count + j] * c->spectrum[j];
            w->gain[(size_t)time * count + i] = (float)(m[i * count + i] * c->spectrum[i] / square);
        }
        w->scale[2 * time] = w->scale[2 * time + 1] = 1;
    }
    cosine_operator_destroy(op);
    free(m);
    return rc;
}

static int make_estimate(const struct gaussian_case *c, struct wiener *w, struct error *err)
{
    size_t count = (size_t)c->side * (size_t)c->side;

    w->side = c->side;
    w->channels = 1;
    w->mean = malloc(count * sizeof(*w->mean));
    w->colors = malloc(sizeof(*w->colors));
    w->gain = malloc(WIENER_TIMES * count * sizeof(*w->gain));
    w->scale = malloc(2 * (size_t)WIENER_TIMES * sizeof(*w->scale));
    if (!w->mean || !w->colors || !w->gain || !w->scale)
        return error_set(err, -ENOMEM, "out of memory for a linear estimate");
    for (size_t i = 0; i < count; i++)
        w->mean[i] = mean;
    w->colors[0] = 1;
    return fill_gain(c, w, err);
}

/* The smallest network of that side, all 0, with the corruption and schedule of the case, which it
 * borrows. */
static int make_checkpoint(const struct gaussian_case *c, struct checkpoint **out,
                           struct error *err)
{
    struct checkpoint *checkpoint = calloc(1, sizeof(*checkpoint));
    struct formulation *f;
    int rc;

    if (!checkpoint)
        return error_set(err, -ENOMEM, "out of memory for a network");
    *out = checkpoint;
    f = &checkpoint->formulation;
    f->architecture = (struct architecture){.image_size = c->side,
                                            .num_channels = 1,
                                            .nf = 4,
                                            .n_levels = 1,
                                            .ch_mult = {1},
                                            .num_res_blocks = 1,
                                            .embedding_type = EMBEDDING_POSITIONAL};
    f->time_embed = TIME_POSITIONAL_999T;
    f->output = OUTPUT_WIENER;
    f->corruption = c->formulation.corruption;
    f->schedule = c->formulation.schedule;
    f->prior = (struct prior){.side = c->side, .channels = 1};
    rc = make_estimate(c, &f->wiener, err);
    if (rc == 0)
        rc = network_initialise(checkpoint, NULL, err);
    if (rc == 0)
        memset(checkpoint->weights, 0, checkpoint->n_weights * sizeof(*checkpoint->weights));
    return rc;
}

int gaussian_engine_create(struct device *device, const struct gaussian_case *c,
                           struct gaussian_engine **out, struct error *err)
{
    const struct evaluation_options options = {.precision = PRECISION_FP32,
                                               .batch_max = BATCH,
                                               .n_slots = BATCH};
    size_t count = (size_t)c->side * (size_t)c->side;
    struct gaussian_engine *e = calloc(1, sizeof(*e));
    int rc;

    if (!e)
        return error_set(err, -ENOMEM, "out of memory for Gaussian images");
    e->given = c;
    e->dct = malloc(count * sizeof(*e->dct));
    e->image = malloc(count * sizeof(*e->image));
    e->noise = malloc(count * sizeof(*e->noise));
    e->x = malloc(count * sizeof(*e->x));
    e->half = malloc(count * sizeof(*e->half));
    e->variances = malloc(count * sizeof(*e->variances));
    e->foretold = malloc(count * sizeof(*e->foretold));
    if (!e->dct || !e->image || !e->noise || !e->x || !e->half || !e->variances || !e->foretold)
        rc = error_set(err, -ENOMEM, "out of memory for Gaussian images");
    else
        rc = make_checkpoint(c, &e->checkpoint, err);
    if (rc == 0)
        rc = evaluation_create(device, e->checkpoint, &options, &e->evaluation, err);
    if (rc < 0) {
        gaussian_engine_destroy(e);
        return rc;
    }
    wiener_dct_matrix(c->side, e->dct);
    *out = e;
    return 0;
}

void gaussian_engine_destroy(struct gaussian_engine *e)
{
    if (!e)
        return;
    evaluation_destroy(e->evaluation);
    if (e->checkpoint) { /* borrowed */
        e->checkpoint->formulation.corruption = NULL;
        e->checkpoint->formulation.schedule = (struct schedule){0};
    }
    checkpoint_destroy(e->checkpoint);
    free(e->dct);
    free(e->image);
    free(e->noise);
    free(e->x);
    free(e->half);
    free(e->variances);
    free(e->foretold);
    free(e);
}

/* image = D^T c D, or c = D image D^T. */
static void transform(struct gaussian_engine *e, const float *src, bool back, float *dst)
{
    int n = e->given->side;

    for (int pass = 0; pass < 2; pass++) {
        const float *from = pass ? e->half : src;
        float *to = pass ? dst : e->half;

        for (int i = 0; i < n; i++) {
            for (int j = 0; j < n; j++) { /* every pass changes rows and columns */
                double sum = 0;

                for (int k = 0; k < n; k++)
                    sum += (double)(back ? e->dct[k * n + j] : e->dct[j * n + k]) *
                           (double)from[i * n + k];
                to[j * n + i] = (float)sum;
            }
        }
    }
}

/* x_1 of an image, into its slot. */
static int start_image(struct gaussian_engine *e, int image, int slot, struct error *err)
{
    const struct formulation *f = &e->checkpoint->formulation;
    struct philox_key data = philox_key(SEED_DATA, (uint32_t)image, 0);
    struct philox_key start = philox_key(SEED_START, (uint32_t)image, 0);
    int count = e->given->side * e->given->side, rc;
    float sigma = (float)schedule_sigma(&f->schedule, 1);

    philox_normals(&data, PHILOX_STREAM_ETA, (size_t)count, e->noise);
    for (int i = 0; i < count; i++)
        e->noise[i] *= (float)sqrt(e->given->spectrum[i]);
    transform(e, e->noise, true, e->image);
    for (int i = 0; i < count; i++)
        e->image[i] += mean;
    rc = corruption_apply_host(f->corruption, schedule_level(&f->schedule, 1), 1, e->image, e->x,
                               err);
    if (rc < 0)
        return rc;
    philox_normals(&start, PHILOX_STREAM_ETA, (size_t)count, e->noise);
    for (int i = 0; i < count; i++)
        e->x[i] += sigma * e->noise[i];
    rc = evaluation_put(e->evaluation, "x", slot, e->x, err);
    return rc < 0 ? rc : evaluation_clear(e->evaluation, slot, err);
}

/* Adds the squares of an image's modes. */
static int read_image(struct gaussian_engine *e, int slot, struct error *err)
{
    int count = e->given->side * e->given->side;
    int rc = evaluation_get(e->evaluation, "x", slot, e->x, err);

    for (int i = 0; rc == 0 && i < count; i++)
        e->x[i] -= mean;
    if (rc < 0)
        return rc;
    transform(e, e->x, false, e->image);
    for (int i = 0; i < count; i++)
        e->variances[i] += (double)e->image[i] * (double)e->image[i];
    return 0;
}

/* Draws images [first, first + n), n <= BATCH. */
static int draw_batch(struct gaussian_engine *e, int first, int n, int n_rows,
                      const struct sampler_row *rows, struct error *err)
{
    static const bool nothing[BATCH];
    int rc = 0;

    for (int i = 0; i < n && rc == 0; i++)
        rc = start_image(e, first + i, i, err);
    for (int k = 0; k < n_rows && rc == 0; k++) {
        for (int i = 0; i < n; i++) {
            struct philox_key key =
                philox_key(SEED_STEPS, (uint32_t)(first + i), (uint32_t)rows[k].step);
            const struct evaluation_noise noise = {.key = &key};

            evaluation_write(e->evaluation, i, i, &rows[k], &noise, NULL);
        }
        rc = evaluation_run(e->evaluation, n, nothing, nothing, err);
        if (rc == 0)
            rc = evaluation_wait(e->evaluation, err);
    }
    for (int i = 0; i < n && rc == 0; i++)
        rc = read_image(e, i, err);
    return rc;
}

/* A mode's variance from n images has the standard error sqrt(2 / n) times itself; those of a band
 * are taken to be independent. */
static void compare(const struct gaussian_engine *e, int n, struct gaussian_engine_result *out)
{
    double found[GAUSSIAN_BANDS_MAX] = {0}, right[GAUSSIAN_BANDS_MAX] = {0};
    double error[GAUSSIAN_BANDS_MAX] = {0};
    int side = e->given->side;

    *out = (struct gaussian_engine_result){.worst = 0};
    for (int i = 0; i < side * side; i++) {
        int band = gaussian_band(i / side, i % side);

        found[band] += e->variances[i] / n;
        right[band] += e->foretold[i];
        error[band] += 2 * e->foretold[i] * e->foretold[i] / n;
    }
    for (int band = 0; band < gaussian_n_bands(side); band++) {
        double worst = fabs(found[band] - right[band]) / sqrt(error[band]);

        out->bands[band] = found[band] / right[band];
        out->worst = worst <= out->worst ? out->worst : worst; /* what is no number stays */
    }
}

int gaussian_engine_run(struct gaussian_engine *e, struct gaussian *g, int n, int n_rows,
                        const struct sampler_row *rows, const struct watch *watch,
                        struct gaussian_engine_result *out, struct error *err)
{
    size_t count = (size_t)e->given->side * (size_t)e->given->side;
    struct gaussian_result ignored;
    int rc = gaussian_run(g, n_rows, rows, &e->checkpoint->formulation.wiener, watch, &ignored,
                          e->foretold, err);

    memset(e->variances, 0, count * sizeof(*e->variances));
    for (int i = 0; i < n && rc == 0; i += BATCH) {
        if (watch_stop(watch))
            return error_set(err, -ECANCELED, "stopped with %d of %d images", i, n);
        rc = draw_batch(e, i, n - i < BATCH ? n - i : BATCH, n_rows, rows, err);
    }
    if (rc == 0)
        compare(e, n, out);
    return rc;
}
