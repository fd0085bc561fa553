#include "tools/eval/extractor.h"
#include "engine/base/error.h"
#include "engine/base/pool.h"
#include "engine/base/watch.h"
#include "engine/device.h"
#include "engine/parameters.h"
#include "engine/executor.h"
#include "engine/plan.h"
#include "engine/program.h"
#include "model/digest.h"
#include "model/safetensors.h"
#include "model/weights.h"
#include "tools/eval/feature_network.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = EXTRACTOR_BATCH, SIDE_MAX = 1024 };

struct extractor {
    struct device *device; /* borrowed */
    struct pool *pool;     /* borrowed */
    const struct feature_network *network;
    enum feature_resize resize;
    int side, input_side; /* of the pictures and of what the network sees, px */
    int x;                /* value */
    int n_outputs, outputs[FEATURE_NETWORK_MAPS]; /* values: features, or maps ... */
    struct shape shapes[FEATURE_NETWORK_MAPS];    /* ... and theirs */
    struct parameters *parameters;
    struct plan *plan;
    struct executor *executor;
    float *input; /* [BATCH,input_side,input_side,3] */
    char weights[EXTRACTOR_WEIGHTS];
    bool published;
};

static int load_weights(struct extractor *e, const char *path, struct error *err)
{
    const size_t count = parameters_count(e->parameters);
    float *weights = malloc((count + 1) * sizeof(*weights));
    struct safetensors *file = NULL;
    int rc = weights ? safetensors_open(path, &file, err)
                     : error_set(err, -ENOMEM, "out of memory for the feature network");

    if (rc == 0) {
        rc = weights_take(file, "", e->parameters, weights, err);
        if (rc < 0)
            error_prefix(err, "weights \"%s\": ", path);
    }
    if (rc == 0) {
        const char *published = safetensors_metadata(file, "published");
        char text[DIGEST_TEXT];

        digest_of(weights, count * sizeof(*weights), text);
        snprintf(e->weights, sizeof(e->weights), "%.16s", text);
        e->published =
            e->network->published && published && strcmp(published, e->network->published) == 0;
        rc = parameters_load(e->parameters, weights, err);
    }
    safetensors_close(file);
    free(weights);
    return rc;
}

static void append_network(struct extractor *e, bool maps, struct program *p)
{
    e->n_outputs = maps ? e->network->n_maps : 1;
    if (maps)
        e->network->append_maps(p, e->x, e->outputs);
    else
        e->outputs[0] = e->network->append(p, e->x);
}

static int make_plan(struct extractor *e, bool maps, const char *weights, struct error *err)
{
    struct plan_options options = {.precision = PRECISION_FP32,
                                   .batch_max = BATCH,
                                   .outputs = e->outputs};
    struct program *p = NULL;
    int rc = program_create(&p, err);

    if (rc < 0)
        return rc;
    e->x = program_input(p, "x", shape_images(e->input_side, e->input_side, 3), VALUE_COMPUTE);
    append_network(e, maps, p);
    options.n_outputs = e->n_outputs;
    rc = program_check(p, err);
    for (int i = 0; rc == 0 && i < e->n_outputs; i++)
        e->shapes[i] = program_value(p, e->outputs[i])->shape;
    if (rc == 0)
        rc = parameters_create(e->device, p, &e->parameters, err);
    if (rc == 0)
        rc = plan_create(e->device, p, e->parameters, &options, &e->plan, err);
    if (rc == 0)
        rc = executor_create(e->plan, NULL, &e->executor, err);
    if (rc == 0)
        rc = load_weights(e, weights, err);
    program_destroy(p);
    return rc;
}

static int brought_to(const struct feature_network *network, int side)
{
    side = side < network->side_min ? network->side_min : side;
    return side > network->side_max ? network->side_max : side;
}

static int create(struct device *device, struct pool *pool, const struct extractor_options *options,
                  bool maps, struct extractor **out, struct error *err)
{
    const struct feature_network *network = options->network;
    const int side = options->side;
    char path[FEATURE_NETWORK_PATH];
    struct extractor *e;
    int rc;

    if (side < 1 || side > SIDE_MAX)
        return error_set(err, -EINVAL, "pictures of %d px, not 1 to %d", side, SIDE_MAX);
    e = calloc(1, sizeof(*e));
    if (!e)
        return error_set(err, -ENOMEM, "out of memory for the feature network");
    e->device = device;
    e->pool = pool;
    e->side = side;
    e->network = network;
    e->resize = options->resize == FEATURE_RESIZE_OWN ? network->resize : options->resize;
    e->input_side = brought_to(network, side);
    e->input = malloc((size_t)BATCH * (size_t)e->input_side * (size_t)e->input_side * 3 *
                      sizeof(*e->input));
    if (!e->input)
        rc = error_set(err, -ENOMEM, "out of memory for the feature network");
    else
        rc = options->weights ? 0 : feature_network_path(network, path, err);
    if (rc == 0)
        rc = make_plan(e, maps, options->weights ? options->weights : path, err);
    if (rc < 0) {
        extractor_destroy(e);
        return rc;
    }
    *out = e;
    return 0;
}

int extractor_create(struct device *device, struct pool *pool,
                     const struct extractor_options *options, struct extractor **out,
                     struct error *err)
{
    return create(device, pool, options, false, out, err);
}

int extractor_create_maps(struct device *device, struct pool *pool,
                          const struct extractor_options *options, struct extractor **out,
                          struct error *err)
{
    return create(device, pool, options, true, out, err);
}

const struct shape *extractor_map_shape(const struct extractor *e, int map)
{
    return &e->shapes[map];
}

void extractor_destroy(struct extractor *e)
{
    if (!e)
        return;
    executor_destroy(e->executor);
    plan_destroy(e->plan);
    parameters_destroy(e->parameters);
    free(e->input);
    free(e);
}

int extractor_side(const struct extractor *e)
{
    return e->side;
}

const struct feature_network *extractor_network(const struct extractor *e)
{
    return e->network;
}

enum feature_resize extractor_resize(const struct extractor *e)
{
    return e->resize;
}

const char *extractor_weights(const struct extractor *e)
{
    return e->weights;
}

bool extractor_is_published(const struct extractor *e)
{
    return e->published;
}

/* A batch on its way into the network, a picture per task. */
struct preparation {
    struct extractor *e;
    const uint8_t *pixels;
    int rcs[BATCH];
};

static void prepare_picture(void *arg, int i, int worker)
{
    struct preparation *job = arg;
    struct extractor *e = job->e;
    const struct feature_range *range = feature_network_range(e->network, e->resize);
    const bool blue_first = e->network->blue_first;
    size_t count = (size_t)e->input_side * (size_t)e->input_side;
    const uint8_t *rgb = job->pixels + (size_t)i * (size_t)e->side * (size_t)e->side * 3;
    float *x = e->input + (size_t)i * count * 3;

    job->rcs[i] = feature_resize_run(e->resize, rgb, e->side, e->input_side, x, NULL);
    if (job->rcs[i] < 0)
        return;
    for (float *pixel = x; pixel < x + 3 * count; pixel += 3) {
        const float red = (pixel[0] - range->mean[0]) * range->scale;
        const float blue = (pixel[2] - range->mean[2]) * range->scale;

        pixel[0] = blue_first ? blue : red;
        pixel[1] = (pixel[1] - range->mean[1]) * range->scale;
        pixel[2] = blue_first ? red : blue;
    }
}

/* Puts at most BATCH pictures through the network. */
static int run(struct extractor *e, int n, const uint8_t *pixels, struct error *err)
{
    struct preparation job = {.e = e, .pixels = pixels};
    int rc = 0;

    pool_run(e->pool, n, prepare_picture, &job);
    for (int i = 0; i < n && rc == 0; i++)
        rc = job.rcs[i];
    if (rc < 0)
        return error_set(err, rc, "out of memory resizing pictures");
    rc = executor_write(e->executor, e->x, 0, n, e->input, err);
    return rc < 0 ? rc : executor_run(e->executor, n, err);
}

int extractor_compute_maps(struct extractor *e, int n, const uint8_t *pixels, float *const *out,
                           struct error *err)
{
    int rc = run(e, n, pixels, err);

    for (int i = 0; i < e->n_outputs && rc == 0; i++)
        rc = executor_read(e->executor, e->outputs[i], 0, n, out[i], err);
    return rc;
}

int extractor_compute(struct extractor *e, int n, const uint8_t *pixels, const struct watch *watch,
                      float *out, struct error *err)
{
    size_t image_bytes = (size_t)e->side * (size_t)e->side * 3;

    for (int first = 0; first < n; first += BATCH) {
        int count = n - first < BATCH ? n - first : BATCH, rc;

        if (watch_stop(watch))
            return error_set(err, -ECANCELED, "stopped with the features of %d of %d pictures",
                             first, n);
        rc = run(e, count, pixels + (size_t)first * image_bytes, err);
        if (rc == 0)
            rc = executor_read(e->executor, e->outputs[0], 0, count,
                               out + (size_t)first * (size_t)e->network->n_features, err);
        if (rc < 0)
            return rc;
        watch_progress(watch, "features of pictures", first + count, n);
    }
    return 0;
}
