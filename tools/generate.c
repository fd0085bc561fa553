#include "tools/generate.h"
#include "engine/base/error.h"
#include "engine/base/watch.h"
#include "model/generator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int fill_lanes(struct generator *g, const struct generate_task *task, int *n_submitted,
                      struct error *err)
{
    while (*n_submitted < task->n && generator_busy(g) < generator_lanes(g)) {
        struct generator_task image = {.id = (uint64_t)*n_submitted,
                                       .seed = task->first_seed + (uint64_t)*n_submitted,
                                       .sampler = task->sampler,
                                       .nfe = task->nfe};
        int rc, label = task->labels ? task->labels[*n_submitted] : 0;

        image.label = label;
        image.guided = task->guided && label > 0;
        image.guidance = task->guidance;
        rc = generator_submit(g, &image, err);
        if (rc < 0)
            return rc;
        ++*n_submitted;
    }
    return 0;
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = ((const struct generator_image *)a)->id;
    uint64_t y = ((const struct generator_image *)b)->id;

    return (x > y) - (x < y);
}

int generate_each(struct generator *g, const struct generate_task *task, const struct watch *watch,
                  int (*take)(void *arg, int i, const uint8_t *pixels, struct error *err),
                  void *arg, struct error *err)
{
    struct generator_image *images = calloc((size_t)generator_lanes(g), sizeof(*images));
    int n_submitted = 0, n_done = 0, n_images, rc = 0;

    if (!images)
        return error_set(err, -ENOMEM, "out of memory for %d lanes", generator_lanes(g));
    while (n_done < task->n && rc == 0) {
        if (watch_stop(watch)) {
            rc = error_set(err, -ECANCELED, "stopped with %d of %d images done", n_done, task->n);
            break;
        }
        rc = fill_lanes(g, task, &n_submitted, err);
        if (rc == 0)
            rc = generator_tick(g, images, &n_images, err);
        if (rc < 0)
            break;
        /* All take as many ticks: those that were begun first are done first. */
        qsort(images, (size_t)n_images, sizeof(*images), compare_ids);
        for (int i = 0; i < n_images && rc == 0; i++) {
            if (!images[i].finite)
                rc = error_set(err, -EDOM, "the image of seed %llu has numbers that are not finite",
                               (unsigned long long)images[i].seed);
            else
                rc = take(arg, (int)images[i].id, images[i].pixels, err);
            n_done += rc == 0;
        }
        watch_progress(watch, "drawing images", n_done, task->n);
    }
    free(images);
    return rc;
}

/* Images one after the other. */
struct row_of_images {
    size_t image_bytes;
    int n;
    uint8_t *pixels;
};

static int append(void *arg, int i, const uint8_t *pixels, struct error *err)
{
    struct row_of_images *row = arg;

    memcpy(row->pixels + (size_t)i * row->image_bytes, pixels, row->image_bytes);
    row->n++;
    return 0;
}

int generate_images(struct generator *g, const struct generate_task *task,
                    const struct watch *watch, uint8_t *pixels, int *n_done, struct error *err)
{
    size_t side = (size_t)generator_side(g);
    struct row_of_images row = {.image_bytes = side * side * (size_t)generator_channels(g),
                                .pixels = pixels};
    int rc = generate_each(g, task, watch, append, &row, err);

    if (n_done)
        *n_done = row.n;
    return rc;
}
