#include "tests/planned.h"
#include "engine/base/error.h"
#include "engine/executor.h"
#include "engine/parameters.h"
#include "engine/state.h"

#include <errno.h>
#include <stdlib.h>

int planned_create_beside(struct device *device, const struct program *p,
                          struct parameters *parameters, const struct plan_options *options,
                          struct planned *other, struct planned **out, struct error *err)
{
    struct planned *planned = calloc(1, sizeof(*planned));
    int rc;

    if (!planned)
        return error_set(err, -ENOMEM, "out of memory");
    planned->borrowed = other;
    planned->state = other ? other->state : NULL;
    rc = plan_create(device, p, parameters, options, &planned->plan, err);
    if (rc == 0 && !other)
        rc = state_create(device, PLANNED_SLOTS, &planned->state, err);
    if (rc == 0)
        rc = state_declare(planned->state, p, err);
    if (rc == 0)
        rc = executor_create(planned->plan, planned->state, &planned->executor, err);
    if (rc < 0) {
        planned_destroy(planned);
        return rc;
    }
    *out = planned;
    return 0;
}

int planned_create(struct device *device, const struct program *p, struct parameters *parameters,
                   const struct plan_options *options, struct planned **out, struct error *err)
{
    return planned_create_beside(device, p, parameters, options, NULL, out, err);
}

void planned_destroy(struct planned *planned)
{
    if (!planned)
        return;
    executor_destroy(planned->executor);
    if (!planned->borrowed)
        state_destroy(planned->state);
    plan_destroy(planned->plan);
    free(planned);
}

int planned_write(struct planned *planned, int value, int first, int n, const void *src,
                  struct error *err)
{
    return executor_write(planned->executor, value, first, n, src, err);
}

int planned_run(struct planned *planned, int n, struct error *err)
{
    return executor_run(planned->executor, n, err);
}

int planned_read(struct planned *planned, int value, int first, int n, float *dst,
                 struct error *err)
{
    return executor_read(planned->executor, value, first, n, dst, err);
}

float *planned_take_weights(struct parameters *parameters)
{
    float *weights = malloc(parameters_count(parameters) * sizeof(*weights) + 1);
    void *kept;

    if (weights && (parameters_keep(parameters, &kept, NULL) < 0 ||
                    parameters_read(parameters, weights, NULL) < 0)) {
        free(weights);
        weights = NULL;
    }
    return weights;
}

int planned_put_weights(struct parameters *parameters, float *weights)
{
    int rc = parameters_load(parameters, weights, NULL);

    free(weights);
    return rc;
}
