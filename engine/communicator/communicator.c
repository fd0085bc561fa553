#include "engine/communicator/communicator.h"
#include "engine/base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int single_sum(struct communicator *c, float *values, size_t n, struct error *err)
{
    return 0;
}

static int single_exchange(struct communicator *c, void *memory, size_t bytes, struct error *err)
{
    return 0;
}

static void single_close(struct communicator *c)
{
    free(c);
}

static const struct communicator_ops single_ops = {
    .name = "single",
    .sum = single_sum,
    .gather = single_exchange,
    .broadcast = single_exchange,
    .close = single_close,
};

int communicator_open_single(struct communicator **out, struct error *err)
{
    struct communicator *c = calloc(1, sizeof(*c));

    if (!c)
        return error_set(err, -ENOMEM, "out of memory for a rank");
    c->ops = &single_ops;
    c->n_ranks = 1;
    *out = c;
    return 0;
}

void communicator_close(struct communicator *c)
{
    if (c)
        c->ops->close(c);
}

/* Once a message is lost, ranks no longer mean the same by the next. */
static int note(struct communicator *c, int rc)
{
    c->broken |= rc < 0;
    return rc;
}

int communicator_sum(struct communicator *c, float *values, size_t n, struct error *err)
{
    return note(c, c->ops->sum(c, values, n, err));
}

int communicator_gather(struct communicator *c, void *parts, size_t bytes, struct error *err)
{
    return note(c, c->ops->gather(c, parts, bytes, err));
}

int communicator_broadcast(struct communicator *c, void *memory, size_t bytes, struct error *err)
{
    return note(c, c->ops->broadcast(c, memory, bytes, err));
}

/* How a rank did. */
struct outcome {
    int code;
    struct error error;
};

/* The first that went wrong, or that of rank 0. */
static const struct outcome *first_failure(const struct outcome *outcomes, int n)
{
    for (int i = 0; i < n; i++) {
        if (outcomes[i].code < 0)
            return &outcomes[i];
    }
    return outcomes;
}

static bool all_alike(const struct outcome *outcomes, int n)
{
    for (int i = 1; i < n; i++) {
        if (outcomes[i].code != outcomes[0].code ||
            strcmp(outcomes[i].error.text, outcomes[0].error.text) != 0)
            return false;
    }
    return true;
}

int communicator_agree(struct communicator *c, int rc, struct error *err)
{
    const struct outcome *failed;
    struct outcome *outcomes;
    int code;

    if (c->broken || c->n_ranks == 1)
        return rc;
    outcomes = calloc((size_t)c->n_ranks, sizeof(*outcomes));
    if (!outcomes) { /* the others wait for what will not come */
        c->broken = true;
        return error_set(err, -EIO, "out of memory to hear of the other ranks");
    }
    outcomes[c->rank].code = rc;
    if (rc < 0 && err)
        outcomes[c->rank].error = *err;
    code = communicator_gather(c, outcomes, sizeof(*outcomes), err);
    failed = first_failure(outcomes, c->n_ranks);
    if (code == 0 && failed->code < 0) {
        code = error_set(err, failed->code, "%s", failed->error.text);
        if (!all_alike(outcomes, c->n_ranks))
            error_prefix(err, "rank %d: ", (int)(failed - outcomes));
    }
    free(outcomes);
    return code;
}
