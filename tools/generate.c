#include "tools/generate.h"
#include "engine/base/error.h"
#include "engine/base/watch.h"
#include "model/generator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int generate_images(struct generator *g, int n, uint64_t first_seed, enum sampler sampler, int nfe,
                    const struct watch *watch, uint8_t *pixels, struct error *err)
{
    int side = generator_side(g), n_submitted = 0, n_done = 0, rc = 0;
    size_t image_bytes = (size_t)side * (size_t)side * (size_t)generator_channels(g);
    struct generator_image *images = calloc((size_t)generator_lanes(g), sizeof(*images));

    if (!images)
        return error_set(err, -ENOMEM, "out of memory for %d lanes", generator_lanes(g));
    while (n_done < n) {
        int n_images;

        if (watch_stop(watch)) {
            rc = error_set(err, -ECANCELED, "stopped with %d of %d images done", n_done, n);
            break;
        }
        while (n_submitted < n && generator_busy(g) < generator_lanes(g)) {
            struct generator_task task = {.id = (uint64_t)n_submitted,
                                          .seed = first_seed + (uint64_t)n_submitted,
                                          .sampler = sampler,
                                          .nfe = nfe};

            rc = generator_submit(g, &task, err);
            if (rc < 0)
                goto out;
            n_submitted++;
        }
        rc = generator_tick(g, images, &n_images, err);
        if (rc < 0)
            break;
        for (int i = 0; i < n_images; i++) {
            if (!images[i].finite) {
                rc = error_set(err, -EDOM, "the image of seed %llu has numbers that are not finite",
                               (unsigned long long)images[i].seed);
                goto out;
            }
            memcpy(pixels + images[i].id * image_bytes, images[i].pixels, image_bytes);
        }
        n_done += n_images;
        watch_progress(watch, "drawing images", n_done, n);
    }

out:
    free(images);
    return rc;
}
