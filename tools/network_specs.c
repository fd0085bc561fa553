#include "tools/network_specs.h"
#include "engine/base/error.h"
#include "engine/joining.h"
#include "engine/gradient.h"
#include "engine/parameters.h"
#include "engine/plan.h"
#include "engine/program.h"
#include "model/architecture.h"
#include "model/ncsnpp.h"

#include <errno.h>
#include <stdlib.h>

struct network_specs {
    struct device_base device; /* has kernels that cannot be run */
    struct program *program;
    struct parameters *parameters;
    struct plan *plan;
};

struct outline {
    struct kernel kernel; /* first: device.h */
    struct kernel_spec spec;
};

static void outline_destroy(struct kernel *kernel)
{
    free(kernel);
}

static const struct kernel_ops outline_ops = {.destroy = outline_destroy};

static int take_precision(struct device *device, enum precision wanted, enum precision *out,
                          struct error *err)
{
    *out = wanted;
    return 0;
}

static int outline_create(struct device *device, const struct kernel_spec *spec,
                          struct kernel **out, struct error *err)
{
    struct outline *outline = calloc(1, sizeof(*outline));

    if (!outline)
        return error_set(err, -ENOMEM, "out of memory for the steps of a plan");
    kernel_init(&outline->kernel, &outline_ops);
    outline->spec = *spec;
    *out = &outline->kernel;
    return 0;
}

static bool outlines_join(const struct kernel *before, const struct kernel *kernel,
                          const struct step_link *link)
{
    return specs_join(&((const struct outline *)before)->spec,
                      &((const struct outline *)kernel)->spec, link);
}

static int no_memory(struct device *device, size_t bytes, void **out, struct error *err)
{
    *out = NULL;
    return 0;
}

static void free_no_memory(struct device *device, void *memory)
{
}

static const struct device_ops device_ops = {
    .name = "outline",
    .precision = take_precision,
    .kernel_create = outline_create,
    .joins = outlines_join,
    .memory_create = no_memory,
    .memory_destroy = free_no_memory,
};

/* Appends the gradients of a loss whose derivative by phi is an input. */
static int append_gradients(struct program *p, int phi, int **out, int *n, struct error *err)
{
    int n_values = program_n_values(p), rc;
    int *wrt = malloc((size_t)n_values * sizeof(*wrt));
    int *gradients = malloc((size_t)n_values * sizeof(*gradients));
    int n_wrt = 0, n_outputs = 0;
    struct shape shape = program_value(p, phi)->shape;

    if (!wrt || !gradients) {
        rc = error_set(err, -ENOMEM, "out of memory for the gradients of a network");
        goto out;
    }
    for (int i = 0; i < n_values; i++) {
        if (program_value(p, i)->role == VALUE_PARAMETER)
            wrt[n_wrt++] = i;
    }
    rc = gradient_append(p, phi, program_input(p, "dphi", shape, VALUE_EXACT), n_wrt, wrt,
                         gradients, err);
    for (int i = 0; rc == 0 && i < n_wrt; i++) {
        if (gradients[i] >= 0) /* frequencies of an embedding have none */
            gradients[n_outputs++] = gradients[i];
    }

out:
    free(wrt);
    if (rc < 0) {
        free(gradients);
        return rc;
    }
    *out = gradients;
    *n = n_outputs;
    return 0;
}

/* The program, and its plan. */
static int make_plan(struct network_specs *specs, const struct architecture *a, bool training,
                     struct plan_options options, struct error *err)
{
    struct program *p = specs->program;
    struct device *device = (struct device *)&specs->device;
    struct shape images = shape_images(a->image_size, a->image_size, a->num_channels);
    int x = program_input(p, "x", images, VALUE_EXACT);
    int time_cond = program_input(p, "time_cond", shape_vectors(1), VALUE_EXACT);
    int key =
        training && a->dropout > 0 ? program_input(p, "key", shape_vectors(4), VALUE_KEY) : -1;
    int *gradients = NULL, phi;
    int rc = ncsnpp_append(p, a, x, time_cond, -1, -1, key, NULL, &phi, err);

    options.n_outputs = 1;
    options.outputs = &phi;
    if (rc == 0 && training) {
        rc = append_gradients(p, phi, &gradients, &options.n_outputs, err);
        options.outputs = gradients;
    }
    if (rc == 0)
        rc = parameters_create(device, p, &specs->parameters, err);
    if (rc == 0)
        rc = plan_create(device, p, specs->parameters, &options, &specs->plan, err);
    free(gradients);
    return rc;
}

int network_specs_create(const struct architecture *a, bool training, int n,
                         enum precision precision, struct network_specs **out, struct error *err)
{
    struct plan_options options = {.precision = precision, .batch_max = n, .size = n};
    struct network_specs *specs = calloc(1, sizeof(*specs));
    int rc;

    if (!specs)
        return error_set(err, -ENOMEM, "out of memory for the plan of a network");
    specs->device.ops = &device_ops;
    rc = program_create(&specs->program, err);
    if (rc == 0)
        rc = make_plan(specs, a, training, options, err);
    if (rc < 0) {
        network_specs_destroy(specs);
        return rc;
    }
    *out = specs;
    return 0;
}

void network_specs_destroy(struct network_specs *specs)
{
    if (!specs)
        return;
    plan_destroy(specs->plan);
    parameters_destroy(specs->parameters);
    program_destroy(specs->program);
    free(specs);
}

const struct plan *network_specs_plan(const struct network_specs *specs)
{
    return specs->plan;
}
