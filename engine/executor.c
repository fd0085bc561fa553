/* What executors of all kinds have in common: finding values, converting numbers. */
#include "engine/executor.h"
#include "engine/base/error.h"
#include "engine/plan_steps.h"
#include "engine/program.h"
#include "engine/state.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static int check_state(const struct plan *plan, const struct state *state, struct error *err)
{
    for (int i = 0; i < plan->n_values; i++) {
        const struct value *v = program_value(plan->program, i);
        int found;

        if (plan->locations[i].memory != MEMORY_STATE)
            continue;
        found = state ? state_find(state, v->name) : -1;
        if (found < 0 || !shape_equal(state_shape(state, found), &v->shape))
            return error_set(err, -EINVAL, "no state \"%s\" of that shape", v->name);
    }
    return 0;
}

int executor_create(const struct plan *plan, struct state *state, struct executor **out,
                    struct error *err)
{
    int rc = check_state(plan, state, err);

    if (rc < 0)
        return rc;
    rc = plan->ops->executor->create(plan, state, out, err);
    if (rc < 0)
        return rc;
    (*out)->ops = plan->ops->executor;
    (*out)->plan = plan;
    (*out)->state = state;
    return 0;
}

void executor_destroy(struct executor *e)
{
    if (!e)
        return;
    executor_wait(e, NULL);
    e->ops->destroy(e);
}

static const struct location *location_of(const struct executor *e, int value)
{
    const struct location *at = &e->plan->locations[value];

    return at->sum >= 0 ? &e->plan->locations[at->sum] : at;
}

static size_t offset_of(const struct executor *e, const struct location *at, int i)
{
    return at->offset + (size_t)i * at->count * dtype_size(at->dtype);
}

void *executor_row(struct executor *e, int value, int i)
{
    const struct location *at = location_of(e, value);

    assert(at->memory == MEMORY_INBOX);
    return e->ops->row(e, offset_of(e, at, i), false);
}

size_t executor_row_size(const struct executor *e, int value)
{
    const struct location *at = location_of(e, value);

    return at->count * dtype_size(at->dtype);
}

int executor_start(struct executor *e, int n, int n_fetches, const struct fetch *fetches,
                   struct error *err)
{
    const struct plan *plan = e->plan;
    int rc;

    assert(!e->running);
    if (n < 0 || n > plan->batch_max || (plan->n_ordered && n % plan->cuts[0].size))
        return error_set(err, -EINVAL, "a plan for %d images in cuts of %d cannot run %d",
                         plan->batch_max, plan->cuts[0].size, n);
    rc = device_check_stop(plan->device, err);
    if (rc == 0)
        rc = e->ops->start(e, n, n_fetches, fetches, err);
    e->running = rc == 0;
    return rc;
}

int executor_wait(struct executor *e, struct error *err)
{
    if (!e->running)
        return 0;
    e->running = false;
    return e->ops->wait(e, err);
}

const void *executor_result(struct executor *e, int value, int i)
{
    const struct location *at = location_of(e, value);

    assert(at->memory == MEMORY_OUTBOX);
    return e->ops->result(e, offset_of(e, at, i));
}

/* Images [first, first + n) of a value in the inbox, or in the outbox. What is read may also be an
 * input: a gradient may be the very cotangent. */
static int check_range(const struct executor *e, bool written, int value, int first, int n,
                       struct error *err)
{
    const struct location *at;
    int n_max;

    if (value < 0 || value >= e->plan->n_values)
        return error_set(err, -EINVAL, "value %d is not of the plan's program", value);
    at = location_of(e, value);
    if (at->memory != MEMORY_INBOX && (written || at->memory != MEMORY_OUTBOX))
        return error_set(err, -EINVAL, "value %d is not an %s of the plan", value,
                         written ? "input" : "output");
    n_max = program_value(e->plan->program, value)->shape.batched ? e->plan->batch_max : 1;
    if (first < 0 || n < 0 || first > n_max - n)
        return error_set(err, -EINVAL, "images %d .. %d are not in the plan's batch", first,
                         first + n - 1);
    return 0;
}

int executor_write(struct executor *e, int value, int first, int n, const void *src,
                   struct error *err)
{
    int rc = check_range(e, true, value, first, n, err);
    const struct location *at;
    size_t count;

    if (rc < 0)
        return rc;
    at = location_of(e, value);
    count = (size_t)n * at->count;
    for (int inbox = 0; inbox < 2; inbox++) {
        void *dst = e->ops->row(e, offset_of(e, at, first), inbox);

        if (dtype_is_rounded(at->dtype))
            dtype_from_floats(at->dtype, dst, src, count);
        else
            memcpy(dst, src, count * dtype_size(at->dtype));
    }
    return 0;
}

int executor_run(struct executor *e, int n, struct error *err)
{
    int rc = executor_start(e, n, FETCH_ALL, NULL, err);

    return rc < 0 ? rc : executor_wait(e, err);
}

int executor_read(struct executor *e, int value, int first, int n, float *dst, struct error *err)
{
    int rc = check_range(e, false, value, first, n, err);
    const struct location *at;
    const void *src;
    size_t count;

    if (rc < 0)
        return rc;
    at = location_of(e, value);
    src = at->memory == MEMORY_OUTBOX ? e->ops->result(e, offset_of(e, at, first))
                                      : e->ops->row(e, offset_of(e, at, first), false);
    count = (size_t)n * at->count;
    if (at->dtype != DTYPE_U8)
        dtype_to_floats(at->dtype, src, dst, count);
    for (size_t i = 0; at->dtype == DTYPE_U8 && i < count; i++)
        dst[i] = ((const uint8_t *)src)[i];
    return 0;
}

int executor_reduce(struct executor *e, int value, struct communicator *c, struct error *err)
{
    assert(e->plan->locations[value].memory == MEMORY_STATE);
    return e->ops->reduce(e, value, c, err);
}

int executor_profile(struct executor *e, double *seconds, struct error *err)
{
    return e->ops->profile(e, seconds, err);
}

int executor_trace(struct executor *e, struct trace *trace, struct error *err)
{
    return e->ops->trace(e, trace, err);
}

size_t executor_memory_bytes(const struct executor *e)
{
    return e->ops->memory_bytes(e);
}

size_t executor_row_bytes(const struct executor *e)
{
    return e->plan->row_bytes;
}
