/* The executor of GPUs. A run is one copy of the inbox to the device, a graph for each chunk, and copies
 * of what is fetched, in one stream; the other inbox is filled meanwhile.
 *
 * A chunk for which there is no cut of just its size takes the next larger one. Its rows that have no
 * image are what they were before, but for their slot: they load nothing, and what they make is stored
 * nowhere. (One slot for all of them would be written by all at a time.)
 */
#include "engine/executor.h"
#include "engine/base/error.h"
#include "engine/communicator/communicator.h"
#include "engine/cuda/cuda_executor.h"
#include "engine/cuda/nccl.h"

#include <errno.h>
#include <stdlib.h>

enum { BYTE_NONE = 0xFF }; /* of SLOT_NONE, all four */

/* Of the chunks that begin with an image, the one for all that are left, or the largest of those that
 * fit; NULL: images [first, batch_max) are fewer than n. */
static const struct cut *choose_cut(const struct plan *plan, int first, int n)
{
    const struct cut *chosen = NULL;

    for (int i = 0; i < plan->n_cuts; i++) { /* large ones first */
        const struct cut *cut = &plan->cuts[i];

        if (first + cut->size > plan->batch_max)
            continue;
        if (!chosen || first + cut->size >= n)
            chosen = cut;
    }
    return chosen;
}

/* The number of the chunk, which is added where it was not there. */
static int find_chunk(struct cuda_executor *e, const struct cut *cut, int first)
{
    for (int i = 0; i < e->n_chunks; i++) {
        if (e->chunks[i].cut == cut && e->chunks[i].first == first)
            return i;
    }
    e->chunks[e->n_chunks] = chunk_at(e->plan, cut, first);
    return e->n_chunks++;
}

void cuda_executor_list(struct cuda_executor *e, int n)
{
    e->n_run = 0;
    for (int first = 0; first < n;) {
        const struct cut *cut = choose_cut(e->plan, first, n);

        e->run[e->n_run++] = find_chunk(e, cut, first);
        first += cut->size;
    }
}

/* Tells rows [n, end) that they have no image. */
static int clear_slots(struct cuda_executor *e, int n, int end, struct error *err)
{
    const struct plan *plan = e->plan;
    size_t first = (size_t)n * sizeof(uint32_t), bytes = (size_t)(end - n) * sizeof(uint32_t);
    int rc = 0;

    for (int i = 0; i < plan->n_values && end > n && rc == 0; i++) {
        if (e->is_slot[i] && plan->locations[i].memory == MEMORY_INBOX)
            rc = cuda_check(cudaMemsetAsync(e->memory.inbox + plan->locations[i].offset + first,
                                            BYTE_NONE, bytes, e->cuda->stream),
                            "clear slots", err);
    }
    return rc;
}

int cuda_executor_send(struct cuda_executor *e, const char *inbox, int n, int end,
                       struct error *err)
{
    int rc = 0;

    if (e->plan->inbox_bytes > 0)
        rc = cuda_check(cudaMemcpyAsync(e->memory.inbox, inbox, e->plan->inbox_bytes,
                                        cudaMemcpyHostToDevice, e->cuda->stream),
                        "send the inbox to the GPU", err);
    return rc < 0 ? rc : clear_slots(e, n, end, err);
}

static void *cuda_row(struct executor *executor, size_t offset, bool other)
{
    struct cuda_executor *e = cuda_executor(executor);

    return e->inboxes[other ? !e->filling : e->filling] + offset;
}

static const void *cuda_result(struct executor *executor, size_t offset)
{
    return cuda_executor(executor)->outbox + offset;
}

/* Brings bytes of the outbox back. */
static int fetch_bytes(struct cuda_executor *e, size_t offset, size_t bytes, struct error *err)
{
    if (bytes == 0)
        return 0;
    return cuda_check(cudaMemcpyAsync(e->outbox + offset, e->memory.outbox + offset, bytes,
                                      cudaMemcpyDeviceToHost, e->cuda->stream),
                      "bring results from the GPU", err);
}

static int fetch_one(struct cuda_executor *e, const struct fetch *fetch, struct error *err)
{
    const struct location *at = &e->plan->locations[fetch->value];
    size_t bytes;

    if (at->sum >= 0)
        at = &e->plan->locations[at->sum];
    bytes = at->count * dtype_size(at->dtype);
    return fetch_bytes(e, at->offset + (size_t)fetch->first * bytes, (size_t)fetch->n * bytes, err);
}

static int fetch_all(struct cuda_executor *e, int n_fetches, const struct fetch *fetches,
                     struct error *err)
{
    int rc = n_fetches == FETCH_ALL ? fetch_bytes(e, 0, e->plan->outbox_bytes, err) : 0;

    for (int i = 0; i < n_fetches && rc == 0; i++)
        rc = fetch_one(e, &fetches[i], err);
    return rc;
}

/* Enqueues the chunks of a run that was listed: graphs, or step by step where each is timed. */
static int enqueue_run(struct cuda_executor *e, struct error *err)
{
    const cudaEvent_t *marks = e->marks.events;
    int rc = 0;

    for (int i = 0; i < e->n_run && rc == 0; i++) {
        struct chunk *chunk = &e->chunks[e->run[i]];

        if (!e->track) {
            rc = cuda_check(cudaGraphLaunch(chunk->graph, e->cuda->stream), "start a plan", err);
            continue;
        }
        rc = chunk_enqueue(chunk, &e->memory, e->cuda->stream, marks, err);
        marks += chunk->cut->n_steps + 1;
    }
    return rc;
}

static int cuda_start(struct executor *executor, int n, int n_fetches, const struct fetch *fetches,
                      struct error *err)
{
    struct cuda_executor *e = cuda_executor(executor);
    const struct plan *plan = e->plan;
    const char *inbox = e->inboxes[e->filling];
    int end = 0, rc = cuda_enter(e->cuda, err);

    e->filling = !e->filling;
    cuda_executor_list(e, n);
    if (e->n_run > 0) {
        const struct chunk *last = &e->chunks[e->run[e->n_run - 1]];

        end = last->first + last->cut->size;
    }
    if (rc == 0)
        rc = cuda_executor_send(e, inbox, n, end, err);
    if (rc == 0 && n == 0 && plan->outbox_bytes > plan->sums_offset)
        rc = cuda_check(cudaMemsetAsync(e->memory.outbox + plan->sums_offset, 0,
                                        plan->outbox_bytes - plan->sums_offset, e->cuda->stream),
                        "clear sums", err);
    if (rc == 0)
        rc = enqueue_run(e, err);
    return rc < 0 ? rc : fetch_all(e, n_fetches, fetches, err);
}

static int cuda_wait(struct executor *executor, struct error *err)
{
    struct cuda_executor *e = cuda_executor(executor);
    int rc = cuda_enter(e->cuda, err);

    if (rc == 0)
        rc = cuda_check(cudaStreamSynchronize(e->cuda->stream), "run a plan", err);
    return rc == 0 && e->track ? cuda_executor_trace_run(e, err) : rc;
}

static int cuda_reduce(struct executor *executor, int value, struct communicator *c,
                       struct error *err)
{
    struct cuda_executor *e = cuda_executor(executor);
    struct cuda_device *cuda = e->cuda;
    int rc;

    if (c->n_ranks == 1)
        return 0;
    rc = cuda_enter(cuda, err);
    if (rc == 0 && !cuda->nccl) {
        rc = nccl_create(c, &cuda->nccl, err);
        if (rc < 0)
            return rc; /* on all ranks */
    }
    if (rc == 0)
        rc = nccl_sum(cuda->nccl, e->states[value], e->plan->locations[value].count, cuda->stream,
                      err);
    c->broken |= rc < 0; /* others may sum, and wait for this one */
    return rc;
}

static size_t cuda_memory_bytes(const struct executor *executor)
{
    return ((const struct cuda_executor *)executor)->memory_bytes;
}

const struct executor_ops cuda_executor_ops = {
    .create = cuda_executor_create,
    .destroy = cuda_executor_destroy,
    .row = cuda_row,
    .result = cuda_result,
    .start = cuda_start,
    .wait = cuda_wait,
    .profile = cuda_executor_profile,
    .reduce = cuda_reduce,
    .trace = cuda_executor_trace,
    .memory_bytes = cuda_memory_bytes,
};
