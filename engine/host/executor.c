/* The executor of devices that are this processor. The images of a run go in chunks as large as give all
 * threads the same, one on a thread at a time, in that thread's arena; images that are left, fewer
 * than threads, are run by all threads together, one after the other. Runs with sums over their
 * images have chunks of one size, which add to the sums in their order.
 */
#include "engine/executor.h"
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/communicator/communicator.h"
#include "engine/host/chunk.h"
#include "engine/host/host_device.h"
#include "engine/base/pool.h"
#include "engine/base/trace.h"
#include "engine/host/team.h"
#include "engine/plan_labels.h"
#include "engine/program.h"
#include "engine/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct host_executor {
    struct executor executor; /* first: engine/executor.h */
    const struct plan *plan;
    struct host_device *host;
    char *inboxes[2];
    int filling; /* the inbox that the caller fills */
    struct chunk_memory memory;
    void **states;                     /* what memory.states reads */
    const struct trace_label **labels; /* what memory.labels reads */
    int n_threads;
    struct worker *workers; /* [n_threads] */
    struct team *team;      /* for chunks of the last cut; NULL: they are never shared */
    struct order *order;
    struct chunk *chunks; /* [batch_max] */
    int n_chunks;         /* of the run in progress */
    int shared_first;     /* the first image that all threads run together ... */
    int shared_end;       /* ... and the end of these */
    size_t memory_bytes;
};

static void host_destroy(struct executor *executor)
{
    struct host_executor *e = (struct host_executor *)executor;

    for (int i = 0; e->workers && i < e->n_threads; i++)
        free(e->workers[i].arena);
    free(e->inboxes[0]);
    free(e->inboxes[1]);
    free(e->memory.outbox);
    team_destroy(e->team);
    order_destroy(e->order);
    free(e->states);
    free(e->labels);
    free(e->workers);
    free(e->chunks);
    free(e);
}

/* Zeroed memory. */
static int allocate(struct host_executor *e, size_t bytes, void **out, struct error *err)
{
    int rc = host_memory_create(e->plan->device, bytes, out, err);

    if (rc < 0)
        return rc;
    memset(*out, 0, bytes);
    e->memory_bytes += bytes;
    return 0;
}

static int allocate_boxes(struct host_executor *e, struct error *err)
{
    void *outbox = NULL;
    int rc = 0;

    for (int i = 0; i < 2 && rc == 0; i++) {
        void *inbox = NULL;

        rc = allocate(e, e->plan->inbox_bytes, &inbox, err);
        e->inboxes[i] = inbox;
    }
    if (rc == 0)
        rc = allocate(e, e->plan->outbox_bytes, &outbox, err);
    e->memory.outbox = outbox;
    return rc;
}

static int allocate_arenas(struct host_executor *e, struct error *err)
{
    size_t bytes = 0;
    int rc = 0;

    e->workers = calloc((size_t)e->n_threads, sizeof(*e->workers));
    e->chunks = calloc((size_t)e->plan->batch_max, sizeof(*e->chunks));
    if (!e->workers || !e->chunks)
        return error_set(err, -ENOMEM, "out of memory for the threads of a plan");
    for (int i = 0; i < e->plan->n_cuts; i++) {
        if (e->plan->cuts[i].arena_bytes > bytes)
            bytes = e->plan->cuts[i].arena_bytes;
    }
    for (int i = 0; i < e->n_threads && rc == 0; i++)
        rc = allocate(e, bytes, &e->workers[i].arena, err);
    return rc;
}

static int find_states(struct host_executor *e, struct state *state, struct error *err)
{
    e->states = calloc((size_t)e->plan->n_values + 1, sizeof(*e->states));
    if (!e->states)
        return error_set(err, -ENOMEM, "out of memory for the state of a plan");
    for (int i = 0; i < e->plan->n_values; i++) {
        if (e->plan->locations[i].memory == MEMORY_STATE)
            e->states[i] =
                state_memory(state, state_find(state, program_value(e->plan->program, i)->name));
    }
    e->memory.states = e->states;
    return 0;
}

static int host_create(const struct plan *plan, struct state *state, struct executor **out,
                       struct error *err)
{
    struct host_executor *e = calloc(1, sizeof(*e));
    int rc;

    if (!e)
        return error_set(err, -ENOMEM, "out of memory for an executor");
    e->plan = plan;
    e->host = (struct host_device *)plan->device;
    e->memory.device = plan->device;
    e->n_threads = host_device_threads(e->host);
    rc = allocate_boxes(e, err);
    if (rc == 0)
        rc = allocate_arenas(e, err);
    if (rc == 0)
        rc = find_states(e, state, err);
    if (rc == 0)
        rc = order_create(plan->n_ordered, &e->order, err);
    if (rc == 0 && e->n_threads > 1 && plan->n_ordered == 0)
        rc = team_create(&plan->cuts[plan->n_cuts - 1], e->n_threads, &e->team, err);
    if (rc < 0) {
        host_destroy(&e->executor);
        return rc;
    }
    *out = &e->executor;
    return 0;
}

static void *host_row(struct executor *executor, size_t offset, bool other)
{
    struct host_executor *e = (struct host_executor *)executor;

    return e->inboxes[other ? !e->filling : e->filling] + offset;
}

static const void *host_result(struct executor *executor, size_t offset)
{
    return ((struct host_executor *)executor)->memory.outbox + offset;
}

/* Lists the chunks of images [0, n); returns the first image that is left over. */
static int list_chunks(struct host_executor *e, int n)
{
    int first = 0;

    e->n_chunks = 0;
    for (int i = 0; i < e->plan->n_cuts; i++) {
        const struct cut *cut = &e->plan->cuts[i];
        int n_chunks = (n - first) / cut->size;

        if (e->team)
            n_chunks -= n_chunks % e->n_threads;
        for (int j = 0; j < n_chunks; j++, first += cut->size)
            e->chunks[e->n_chunks++] = (struct chunk){cut, first};
    }
    return first;
}

static void chunk_task(void *arg, int number, int worker)
{
    struct host_executor *e = arg;

    if (e->host->enter_thread)
        e->host->enter_thread();
    chunk_run(&e->memory, &e->chunks[number], number, e->order, &e->workers[worker]);
}

static void member_task(void *arg, int index, int worker)
{
    struct host_executor *e = arg;

    if (e->host->enter_thread)
        e->host->enter_thread();
    team_join(e->team, worker, &e->workers[worker]);
}

static int host_start(struct executor *executor, int n, int n_fetches, const struct fetch *fetches,
                      struct error *err)
{
    struct host_executor *e = (struct host_executor *)executor;

    e->memory.inbox = e->inboxes[e->filling];
    e->filling = !e->filling;
    for (int i = 0; i < e->n_threads; i++)
        e->workers[i].code = 0;
    order_restart(e->order);
    if (n == 0) /* else the first chunk clears them, each when it comes to it */
        memset(e->memory.outbox + e->plan->sums_offset, 0,
               e->plan->outbox_bytes - e->plan->sums_offset);
    e->shared_first = list_chunks(e, n);
    e->shared_end = n;
    pool_begin(e->host->pool, e->n_chunks, chunk_task, e);
    return 0;
}

static int host_wait(struct executor *executor, struct error *err)
{
    struct host_executor *e = (struct host_executor *)executor;

    pool_end(e->host->pool);
    for (int i = e->shared_first; i < e->shared_end; i++) {
        const struct chunk chunk = {&e->plan->cuts[e->plan->n_cuts - 1], i};

        team_begin(e->team, &e->memory, &chunk, &e->workers[0]);
        pool_run(e->host->pool, e->n_threads, member_task, e);
    }
    e->shared_end = e->shared_first;
    for (int i = 0; i < e->n_threads; i++) {
        if (e->workers[i].code < 0)
            return error_set(err, e->workers[i].code, "%s", e->workers[i].error.text);
    }
    return 0;
}

static int host_profile(struct executor *executor, double *seconds, struct error *err)
{
    struct host_executor *e = (struct host_executor *)executor;
    const struct chunk chunk = {&e->plan->cuts[0], 0};
    struct worker *worker = &e->workers[0];

    if (e->host->enter_thread)
        e->host->enter_thread();
    e->memory.inbox = e->inboxes[e->filling];
    worker->code = 0;
    for (int i = 0; i < chunk.cut->n_steps && worker->code == 0; i++) {
        double start = clock_seconds();

        worker->code = chunk_run_step(&e->memory, &chunk, &chunk.cut->steps[i], worker);
        seconds[i] = clock_seconds() - start;
    }
    return worker->code < 0 ? error_set(err, worker->code, "%s", worker->error.text) : 0;
}

static int host_reduce(struct executor *executor, int value, struct communicator *c,
                       struct error *err)
{
    struct host_executor *e = (struct host_executor *)executor;

    return communicator_sum(c, e->states[value], e->plan->locations[value].count, err);
}

static int host_trace(struct executor *executor, struct trace *trace, struct error *err)
{
    struct host_executor *e = (struct host_executor *)executor;
    const struct trace_label **labels = NULL;
    int rc = trace ? plan_label_ops(e->plan, trace, &labels, err) : 0;

    for (int i = 0; trace && i < e->n_threads && rc == 0; i++) {
        char name[64];

        snprintf(name, sizeof(name), "%s thread %d", e->host->base.ops->name, i);
        rc = trace_find_track(trace, name, &e->workers[i].track, err);
    }
    if (rc < 0) {
        free(labels);
        return rc;
    }
    free(e->labels);
    e->labels = labels;
    e->memory.labels = labels;
    return 0;
}

static size_t host_memory_bytes(const struct executor *executor)
{
    return ((const struct host_executor *)executor)->memory_bytes;
}

const struct executor_ops host_executor_ops = {
    .create = host_create,
    .destroy = host_destroy,
    .row = host_row,
    .result = host_result,
    .start = host_start,
    .wait = host_wait,
    .profile = host_profile,
    .reduce = host_reduce,
    .trace = host_trace,
    .memory_bytes = host_memory_bytes,
};
