/* A generator proves, before it is used, that an image does not depend on its company. */
#include "engine/base/error.h"
#include "model/generator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGES = 3 };

static size_t image_bytes(const struct generator *g)
{
    size_t side = (size_t)generator_side(g);

    return side * side * (size_t)generator_channels(g);
}

/* Runs tasks [first, last) together until all are done; images[i] receives the pixels of task i. */
static int run_tasks(struct generator *g, const struct generator_task *tasks, int first, int last,
                     uint8_t *images, struct error *err)
{
    struct generator_image *done = malloc((size_t)generator_lanes(g) * sizeof(*done));
    int rc = done ? 0 : error_set(err, -ENOMEM, "out of memory for a self-test");

    for (int i = first; rc == 0 && i < last; i++)
        rc = generator_submit(g, &tasks[i], err);
    while (rc == 0 && generator_busy(g) > 0) {
        int n;

        rc = generator_tick(g, done, &n, err);
        for (int i = 0; rc == 0 && i < n; i++) {
            memcpy(images + done[i].id * image_bytes(g), done[i].pixels, image_bytes(g));
            if (!done[i].finite)
                rc = error_set(err, -EDOM, "an image has numbers that are not finite");
        }
    }
    for (int i = first; rc < 0 && i < last; i++)
        generator_cancel(g, tasks[i].id);
    free(done);
    return rc;
}

int generator_self_test(struct generator *g, struct error *err)
{
    struct generator_task tasks[IMAGES] = {
        {.id = 0, .seed = 1, .sampler = SAMPLER_SDE_2M, .nfe = 3},
        {.id = 1, .seed = 2, .sampler = SAMPLER_MOMENTUM, .nfe = 2},
        {.id = 2, .seed = 1, .sampler = SAMPLER_PF_HEUN, .nfe = 3},
    };
    int n = generator_lanes(g) < IMAGES ? generator_lanes(g) : IMAGES, rc = 0;
    size_t bytes = image_bytes(g);
    uint8_t *alone = malloc(2 * IMAGES * bytes), *together;

    if (!alone)
        return error_set(err, -ENOMEM, "out of memory for a self-test");
    together = alone + IMAGES * bytes;
    for (int i = 0; i < IMAGES; i++) {
        if (tasks[i].nfe > generator_nfe_max(g))
            tasks[i].nfe = generator_nfe_max(g);
    }
    for (int i = 0; rc == 0 && i < n; i++)
        rc = run_tasks(g, tasks, i, i + 1, alone, err);
    if (rc == 0)
        rc = run_tasks(g, tasks, 0, n, together, err);
    if (rc == 0 && memcmp(alone, together, (size_t)n * bytes) != 0)
        rc = error_set(err, -EIO,
                       "an image generated alone differs from the same image in a "
                       "batch");
    free(alone);
    return rc;
}
