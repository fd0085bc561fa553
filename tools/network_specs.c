#include "tools/network_specs.h"
#include "engine/base/error.h"
#include "engine/gradient.h"
#include "engine/plan.h"
#include "engine/program.h"
#include "model/architecture.h"
#include "model/ncsnpp.h"

#include <errno.h>
#include <stdlib.h>

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

static int specs_of(struct program *p, const struct architecture *a, bool training, int n,
                    enum dtype compute, struct kernel_spec **out, int *n_specs, struct error *err)
{
    struct shape images = shape_images(a->image_size, a->image_size, a->num_channels);
    int x = program_input(p, "x", images, VALUE_EXACT);
    int time_cond = program_input(p, "time_cond", shape_vectors(1), VALUE_EXACT);
    int key =
        training && a->dropout > 0 ? program_input(p, "key", shape_vectors(4), VALUE_KEY) : -1;
    int *gradients = NULL, phi;
    struct plan_options options = {.batch_max = n, .n_outputs = 1, .outputs = &phi};
    int rc = ncsnpp_append(p, a, x, time_cond, -1, -1, key, NULL, &phi, err);

    if (rc == 0 && training) {
        rc = append_gradients(p, phi, &gradients, &options.n_outputs, err);
        options.outputs = gradients;
    }
    if (rc == 0)
        rc = plan_specs(p, &options, n, compute, out, n_specs, err);
    free(gradients);
    return rc;
}

int network_specs(const struct architecture *a, bool training, int n, enum dtype compute,
                  struct kernel_spec **out, int *n_specs, struct error *err)
{
    struct program *p;
    int rc = program_create(&p, err);

    if (rc < 0)
        return rc;
    rc = specs_of(p, a, training, n, compute, out, n_specs, err);
    program_destroy(p);
    return rc;
}
