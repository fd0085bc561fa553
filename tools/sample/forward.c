#include "tools/sample/forward.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "model/evaluation.h"
#include "tools/pictures/dataset.h"
#include "tools/pictures/sheet.h"

/* One image, [side,side,3] each. */
struct images {
    size_t count;
    float *x0, *x, *eta;
};

static int corrupt(const struct formulation *f, double t, const struct philox_key *key,
                   struct images *images, uint8_t *out, struct error *err)
{
    float sigma = (float)schedule_sigma(&f->schedule, t);
    int rc = corruption_apply_host(f->corruption, schedule_level(&f->schedule, t), 3, images->x0,
                                   images->x, err);

    if (rc < 0)
        return rc;
    philox_normals(key, PHILOX_STREAM_ETA, images->count, images->eta);
    for (size_t i = 0; i < images->count; i++) {
        images->x[i] += sigma * images->eta[i];
        out[i] = (uint8_t)lrintf(255 * fminf(fmaxf(images->x[i], 0), 1));
    }
    return 0;
}

/* What the network makes of the image that is there. */
static int predict(struct evaluation *e, double t, const struct images *images, uint8_t *out,
                   struct error *err)
{
    const struct sampler_row row = {.t = t, .from = t, .middle = t, .to = t};
    const struct philox_key key = philox_key(0, 0, 0);
    const bool x_wanted = false, h_wanted = true;
    int rc = evaluation_put(e, "x", 0, images->x, err);

    if (rc == 0)
        rc = evaluation_clear(e, 0, err);
    if (rc < 0)
        return rc;
    evaluation_write(e, 0, 0, &row, &(struct evaluation_noise){.key = &key}, NULL);
    rc = evaluation_run(e, 1, &x_wanted, &h_wanted, err);
    if (rc == 0)
        rc = evaluation_wait(e, err);
    if (rc == 0)
        memcpy(out, evaluation_predicted(e, 0), images->count);
    return rc;
}

/* Fills the picture of every time, and behind them those that are expected. */
static int draw(const struct checkpoint *c, const struct forward_options *o, struct images *images,
                uint8_t *pixels, struct error *err)
{
    const struct evaluation_options options = {.precision = o->precision,
                                               .batch_max = 1,
                                               .n_slots = 1};
    struct evaluation *e = NULL;
    int rc = o->device ? evaluation_create(o->device, c, &options, &e, err) : 0;

    for (int i = 0; i < o->n && rc == 0; i++) {
        struct philox_key key = philox_key(o->seed, 0, (uint32_t)i);
        uint8_t *out = pixels + (size_t)i * images->count;
        double t = (double)i / (o->n - 1);

        rc = corrupt(&c->formulation, t, &key, images, out, err);
        if (rc == 0 && e)
            rc = predict(e, t, images, out + (size_t)o->n * images->count, err);
    }
    evaluation_destroy(e);
    return rc;
}

int forward_write(const struct checkpoint *c, const struct forward_options *o, struct error *err)
{
    const struct formulation *f = &c->formulation;
    int side = f->architecture.image_size, n = o->device ? 2 * o->n : o->n, rc = 0;
    const struct dataset_options options = {.side = side};
    struct images images = {.count = (size_t)side * (size_t)side * 3};
    uint8_t *pixels;

    if (f->architecture.num_channels != 3)
        return error_set(err, -EINVAL, "a picture has 3 colours, the model's images %d",
                         f->architecture.num_channels);
    pixels = malloc((size_t)n * images.count);
    images.x0 = malloc(3 * images.count * sizeof(*images.x0));
    if (!pixels || !images.x0) {
        rc = error_set(err, -ENOMEM, "out of memory for %d images", n);
        goto out;
    }
    images.x = images.x0 + images.count;
    images.eta = images.x + images.count;
    rc = dataset_read_file(o->picture, &options, pixels, err);
    for (size_t i = 0; i < images.count && rc == 0; i++)
        images.x0[i] = (float)pixels[i] / 255;
    if (rc == 0)
        rc = draw(c, o, &images, pixels, err);
    if (rc == 0)
        rc = sheet_write(o->out, n, side, 3, pixels, o->device ? o->n : o->columns, err);

out:
    free(pixels);
    free(images.x0);
    return rc;
}
