#include "tools/train/grid.h"
#include "engine/base/error.h"
#include "engine/base/watch.h"
#include "model/checkpoint.h"
#include "model/generator.h"
#include "tools/generate.h"
#include "tools/pictures/sheet.h"

#include <errno.h>
#include <stdlib.h>

enum { COLUMNS = 8, IMAGES = COLUMNS * COLUMNS, LANES = 16 };

bool grid_is_due(uint64_t step, int every)
{
    static const uint64_t early[] = {100, 500};

    if (every == 0)
        return false;
    for (int i = 0; i < 2; i++) {
        if (step == early[i] && step < (uint64_t)every)
            return true;
    }
    return step % (uint64_t)every == 0;
}

int grid_draw(struct device *device, const struct checkpoint *model, enum precision precision,
              const char *path, const struct watch *watch, struct error *err)
{
    struct generator_options options = {.precision = precision, .lanes = LANES};
    int side = model->formulation.architecture.image_size, rc;
    struct sampling_choice choice;
    struct generator *g = NULL;
    int labels[IMAGES], n_labels = model->formulation.architecture.n_labels;
    uint8_t *pixels = NULL;

    for (int i = 0; i < IMAGES; i++) /* one label after the other */
        labels[i] = n_labels > 0 ? 1 + i % n_labels : 0;
    rc = sampling_choose(&model->formulation.sampling, NULL, 0, SAMPLER_NFE_MAX, &choice, err);
    if (rc < 0)
        return rc;
    options.nfe_max = choice.nfe;
    rc = generator_create(device, model, &options, &g, err);
    if (rc == 0) {
        pixels = malloc((size_t)IMAGES * (size_t)side * (size_t)side * 3);
        if (!pixels)
            rc = error_set(err, -ENOMEM, "out of memory for a grid of images");
    }
    if (rc == 0) {
        const struct generate_task task = {.n = IMAGES,
                                           .sampler = choice.sampler,
                                           .nfe = choice.nfe,
                                           .labels = labels};

        rc = generate_images(g, &task, watch, pixels, NULL, err);
    }
    if (rc == 0)
        rc = sheet_write(path, IMAGES, side, 3, pixels, COLUMNS, err);
    free(pixels);
    generator_destroy(g);
    return rc;
}
