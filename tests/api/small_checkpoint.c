#include "tests/api/small_checkpoint.h"

#include "engine/base/error.h"
#include "engine/device.h"
#include "engine/parameters.h"
#include "engine/program.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "model/ncsnpp.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int make_weights(struct checkpoint *c, uint64_t seed, struct error *err)
{
    const struct architecture *a = &c->formulation.architecture;
    struct parameters *parameters = NULL;
    struct program *p = NULL;
    struct device *device = NULL;
    int x, time_cond, phi, rc;

    rc = device_open("reference", 1, NULL, &device, err);
    if (rc == 0)
        rc = program_create(&p, err);
    if (rc == 0) {
        x = program_input(p, "x", shape_images(a->image_size, a->image_size, a->num_channels),
                          VALUE_EXACT);
        time_cond = program_input(p, "time_cond", shape_vectors(1), VALUE_EXACT);
        rc = ncsnpp_append(p, a, x, time_cond, -1, -1, -1, NULL, &phi, err);
    }
    if (rc == 0)
        rc = parameters_create(device, p, &parameters, err);
    if (rc == 0) {
        c->n_weights = parameters_count(parameters);
        c->weights = malloc(c->n_weights * sizeof(float));
        if (!c->weights)
            rc = error_set(err, -ENOMEM, "out of memory");
    }
    if (rc == 0) {
        ncsnpp_init(a, parameters, seed, c->weights);
        /* The initial weights of some layers are tiny: larger ones make images that differ. */
        for (size_t i = 0; i < c->n_weights; i++)
            c->weights[i] = c->weights[i] * 1.5f + 1e-3f * (float)(i % 7);
    }
    parameters_destroy(parameters);
    program_destroy(p);
    device_close(device);
    return rc;
}

static int make(struct checkpoint *c, const char *corruption, int side, int nf, uint64_t seed,
                struct error *err)
{
    static const double blur_levels[4] = {0, 1, 2, 4};
    struct formulation *f = &c->formulation;
    char text[256];
    json_t *json;
    int rc;

    snprintf(text, sizeof(text),
             "{\"image_size\": %d, \"nf\": %d, \"ch_mult\": [1, 2], \"num_res_blocks\": 1, "
             "\"attn_resolutions\": [%d]}",
             side, nf, side / 2);
    rc = architecture_parse(text, &f->architecture, err);
    if (rc < 0)
        return rc;
    json = strcmp(corruption, "blur") != 0
               ? json_pack("{s:s}", "name", corruption)
               : json_pack("{s:s, s:i}", "name", "blur", "half_size", side);
    rc = corruption_create(json, side, side, &f->corruption, err);
    json_decref(json);
    if (rc == 0)
        rc = strcmp(corruption, "blur") != 0
                 ? schedule_noise_then_levels(0.01, 10, 1, 0, NULL, &f->schedule, err)
                 : schedule_noise_then_levels(0.01, 0.1, 0.25, 4, blur_levels, &f->schedule, err);
    f->output = OUTPUT_RESIDUAL;
    f->time_embed = TIME_FOURIER_T;
    f->prior.side = side;
    f->prior.channels = f->architecture.num_channels;
    return rc < 0 ? rc : make_weights(c, seed, err);
}

int small_checkpoint_write(const char *path, const char *corruption, int side, int nf,
                           uint64_t seed, struct error *err)
{
    struct checkpoint *c = calloc(1, sizeof(*c));
    int rc;

    if (!c)
        return error_set(err, -ENOMEM, "out of memory");
    rc = make(c, corruption, side, nf, seed, err);
    if (rc == 0)
        rc = checkpoint_save(path, c, 0, err);
    checkpoint_destroy(c);
    return rc;
}
