#include "tools/inspect/side.h"
#include "engine/base/error.h"
#include "engine/executor.h"
#include "engine/parameters.h"
#include "engine/plan.h"
#include "engine/program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct side {
    struct side_network network; /* kept and weights: until side_create() ends */
    struct device *device;
    enum precision precision;
    struct parameters *parameters;
    struct plan *keeping, *serving;
    struct executor *keeper, *server;
};

/* "cuda:0:bf16": a precision is what stands after the last colon, if it is the name of one. */
static int parse_name(const char *name, char device[DEVICE_NAME_BYTES], enum precision *precision,
                      struct error *err)
{
    const char *colon = strrchr(name, ':');

    *precision = PRECISION_AUTO;
    snprintf(device, DEVICE_NAME_BYTES, "%s", name);
    if (colon && colon - name < DEVICE_NAME_BYTES &&
        precision_parse(colon + 1, precision, NULL) == 0)
        device[colon - name] = '\0';
    return device_name_check(device, err);
}

int side_check_name(const char *name, struct error *err)
{
    char device[DEVICE_NAME_BYTES];
    enum precision precision;

    return parse_name(name, device, &precision, err);
}

static int open_device(struct side *s, const char *name, int n_threads, const char *choices,
                       struct error *err)
{
    char device[DEVICE_NAME_BYTES];
    enum precision precision;
    int rc = parse_name(name, device, &precision, err);

    if (rc == 0)
        rc = device_open(device, n_threads, choices, &s->device, err);
    if (rc == 0)
        rc = device_base(s->device)->ops->precision(s->device, precision, &s->precision, err);
    return rc;
}

static int make_plans(struct side *s, struct error *err)
{
    const struct side_network *n = &s->network;
    struct plan_options options = {.precision = s->precision,
                                   .batch_max = n->n_images,
                                   .n_outputs = n->n_kept,
                                   .outputs = n->kept};
    int rc = plan_create(s->device, n->program, s->parameters, &options, &s->keeping, err);

    options.n_outputs = 1;
    options.outputs = &n->phi;
    if (rc == 0)
        rc = plan_create(s->device, n->program, s->parameters, &options, &s->serving, err);
    if (rc == 0)
        rc = executor_create(s->keeping, NULL, &s->keeper, err);
    if (rc == 0)
        rc = executor_create(s->serving, NULL, &s->server, err);
    return rc;
}

int side_create(const char *name, int n_threads, const char *choices,
                const struct side_network *network, struct side **out, struct error *err)
{
    struct side *s = calloc(1, sizeof(*s));
    int rc;

    if (!s)
        return error_set(err, -ENOMEM, "out of memory for \"%s\"", name);
    s->network = *network;
    rc = open_device(s, name, n_threads, choices, err);
    if (rc == 0)
        rc = parameters_create(s->device, network->program, &s->parameters, err);
    if (rc == 0)
        rc = make_plans(s, err);
    if (rc == 0)
        rc = parameters_load(s->parameters, network->weights, err);
    if (rc < 0) {
        error_prefix(err, "\"%s\": ", name);
        side_destroy(s);
        return rc;
    }
    *out = s;
    return 0;
}

void side_destroy(struct side *s)
{
    if (!s)
        return;
    executor_destroy(s->keeper);
    executor_destroy(s->server);
    plan_destroy(s->keeping);
    plan_destroy(s->serving);
    parameters_destroy(s->parameters);
    device_close(s->device);
    free(s);
}

void side_describe(const struct side *s, char *text, size_t size)
{
    snprintf(text, size, "%s %s", device_base(s->device)->ops->name, precision_name(s->precision));
}

enum precision side_precision(const struct side *s)
{
    return s->precision;
}

struct passes side_passes(const struct side *s)
{
    return plan_passes(s->keeping);
}

static int run(const struct side *s, struct executor *e, const float *images, const float *times,
               struct error *err)
{
    int n = s->network.n_images, rc = executor_write(e, s->network.x, 0, n, images, err);

    if (rc == 0)
        rc = executor_write(e, s->network.time_cond, 0, n, times, err);
    return rc < 0 ? rc : executor_run(e, n, err);
}

int side_run(struct side *s, const float *images, const float *times, struct error *err)
{
    int rc = run(s, s->keeper, images, times, err);

    return rc < 0 ? rc : run(s, s->server, images, times, err);
}

int side_read(struct side *s, int value, float *dst, struct error *err)
{
    return executor_read(s->keeper, value, 0, s->network.n_images, dst, err);
}

int side_check(struct side *s, bool *same, struct error *err)
{
    int n = s->network.n_images, phi = s->network.phi, rc = -ENOMEM;
    size_t count = (size_t)n * shape_count(&program_value(s->network.program, phi)->shape);
    float *kept = malloc(count * sizeof(*kept)), *served = malloc(count * sizeof(*served));

    if (kept && served)
        rc = executor_read(s->keeper, phi, 0, n, kept, err);
    else
        error_set(err, rc, "out of memory for %d images", n);
    if (rc == 0)
        rc = executor_read(s->server, phi, 0, n, served, err);
    if (rc == 0)
        *same = memcmp(kept, served, count * sizeof(*kept)) == 0;
    free(kept);
    free(served);
    return rc;
}
