#include "tools/sample/forward.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
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
        float x = images->x[i] + sigma * images->eta[i];

        out[i] = (uint8_t)lrintf(255 * fminf(fmaxf(x, 0), 1));
    }
    return 0;
}

int forward_write(const struct checkpoint *c, const char *picture, int n, uint64_t seed,
                  const char *out, int columns, struct error *err)
{
    const struct formulation *f = &c->formulation;
    int side = f->architecture.image_size, rc = 0;
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
    rc = dataset_read_file(picture, &options, pixels, err);
    for (size_t i = 0; i < images.count && rc == 0; i++)
        images.x0[i] = (float)pixels[i] / 255;
    for (int i = 0; i < n && rc == 0; i++) {
        struct philox_key key = philox_key(seed, 0, (uint32_t)i);

        rc = corrupt(f, (double)i / (n - 1), &key, &images, pixels + (size_t)i * images.count, err);
    }
    if (rc == 0)
        rc = sheet_write(out, n, side, 3, pixels, columns, err);

out:
    free(pixels);
    free(images.x0);
    return rc;
}
