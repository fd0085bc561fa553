#include "tools/network.h"
#include "engine/base/error.h"
#include "engine/device.h"
#include "engine/parameters.h"
#include "engine/program.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "model/ncsnpp.h"
#include "model/weights.h"
#include "tools/architecture_file.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int formulate(struct formulation *f, struct error *err)
{
    static const double levels[] = {0.01, 18};
    int side = f->architecture.image_size, rc;
    json_t *json = json_pack("{s:s, s:i}", "name", "blur", "half_size", 32);

    if (!json)
        return error_set(err, -ENOMEM, "out of memory for a network");
    f->output = OUTPUT_RESIDUAL;
    f->time_embed =
        f->architecture.embedding_type == EMBEDDING_FOURIER ? TIME_FOURIER_T : TIME_POSITIONAL_999T;
    f->prior.side = side;
    f->prior.channels = f->architecture.num_channels;
    rc = corruption_create(json, side, side, &f->corruption, err);
    json_decref(json);
    return rc < 0 ? rc : schedule_noise_then_levels(0.01, 0.1, 0.2, 2, levels, &f->schedule, err);
}

static int fill_weights(struct checkpoint *c, const struct parameters *parameters, const char *path,
                        struct error *err)
{
    c->n_weights = parameters_count(parameters);
    c->weights = malloc(c->n_weights * sizeof(*c->weights));
    if (!c->weights)
        return error_set(err, -ENOMEM, "out of memory for the weights of a network");
    if (path)
        return weights_read(path, "", parameters, c->weights, err);
    ncsnpp_init(&c->formulation.architecture, parameters, 0, c->weights);
    return 0;
}

/* A program says which weights there are, and in which order. */
int network_initialise(struct checkpoint *c, const char *path, struct error *err)
{
    const struct architecture *a = &c->formulation.architecture;
    struct shape images = shape_images(a->image_size, a->image_size, a->num_channels);
    struct device *device = NULL;
    struct parameters *parameters = NULL;
    struct program *p = NULL;
    int phi, rc;

    rc = device_open("reference", 1, NULL, &device, err);
    if (rc == 0)
        rc = program_create(&p, err);
    if (rc == 0)
        rc = ncsnpp_append(p, a, program_input(p, "x", images, VALUE_EXACT),
                           program_input(p, "time_cond", shape_vectors(1), VALUE_EXACT), -1, -1, -1,
                           NULL, &phi, err);
    if (rc == 0)
        rc = parameters_create(device, p, &parameters, err);
    if (rc == 0)
        rc = fill_weights(c, parameters, path, err);
    parameters_destroy(parameters);
    program_destroy(p);
    device_close(device);
    return rc;
}

static bool is_architecture(const char *path)
{
    size_t n = strlen(path);

    return n > 5 && strcmp(path + n - 5, ".json") == 0;
}

int network_load(const char *path, const char *weights, struct checkpoint **out, struct error *err)
{
    struct checkpoint *c;
    int rc;

    if (!is_architecture(path)) {
        if (weights)
            return error_set(err, -EINVAL, "the checkpoint \"%s\" has weights of its own", path);
        return checkpoint_load(path, out, err);
    }
    c = calloc(1, sizeof(*c));
    if (!c)
        return error_set(err, -ENOMEM, "out of memory for a network");
    rc = architecture_file_read(path, &c->formulation.architecture, err);
    if (rc == 0)
        rc = formulate(&c->formulation, err);
    if (rc == 0)
        rc = network_initialise(c, weights, err);
    if (rc < 0) {
        checkpoint_destroy(c);
        return rc;
    }
    *out = c;
    return 0;
}
