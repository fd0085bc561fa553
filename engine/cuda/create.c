/* Making an executor: its memory, and a graph of every chunk that a run may consist of. */
#include "engine/base/error.h"
#include "engine/cuda/cuda_executor.h"
#include "engine/program.h"
#include "engine/state.h"

#include <errno.h>
#include <stdlib.h>

static struct device *device_of(const struct cuda_executor *e)
{
    return (struct device *)e->cuda;
}

void cuda_executor_destroy(struct executor *executor)
{
    struct cuda_executor *e = cuda_executor(executor);
    struct device *device = device_of(e);

    cuda_enter(e->cuda, NULL);
    for (int i = 0; i < e->n_chunks; i++)
        chunk_fini(&e->chunks[i]);
    marks_destroy(&e->marks);
    for (int i = 0; e->apart && i < e->plan->n_values; i++)
        cuda_memory_destroy(device, e->apart[i]);
    cuda_memory_destroy(device, e->memory.inbox);
    cuda_memory_destroy(device, e->memory.outbox);
    cuda_memory_destroy(device, e->memory.arena);
    cuda_memory_destroy(device, e->memory.staging);
    cuda_pinned_destroy(device, e->inboxes[0]);
    cuda_pinned_destroy(device, e->inboxes[1]);
    cuda_pinned_destroy(device, e->outbox);
    free(e->states);
    free(e->apart);
    free(e->staging_offsets);
    free(e->is_slot);
    free(e->chunks);
    free(e->labels);
    free(e->run);
    free(e);
}

static int allocate(struct cuda_executor *e, size_t bytes, char **out, struct error *err)
{
    void *memory = NULL;
    int rc = cuda_memory_create(device_of(e), bytes, &memory, err);

    *out = memory;
    e->memory_bytes += rc == 0 ? bytes : 0;
    return rc;
}

static int allocate_pinned(struct cuda_executor *e, size_t bytes, char **out, struct error *err)
{
    void *memory = NULL;
    int rc = cuda_pinned_create(device_of(e), bytes, &memory, err);

    *out = memory;
    e->memory_bytes += rc == 0 ? bytes : 0;
    return rc;
}

static int allocate_boxes(struct cuda_executor *e, struct error *err)
{
    int rc = allocate_pinned(e, e->plan->inbox_bytes, &e->inboxes[0], err);

    if (rc == 0)
        rc = allocate_pinned(e, e->plan->inbox_bytes, &e->inboxes[1], err);
    if (rc == 0)
        rc = allocate_pinned(e, e->plan->outbox_bytes, &e->outbox, err);
    if (rc == 0)
        rc = allocate(e, e->plan->inbox_bytes, &e->memory.inbox, err);
    if (rc == 0)
        rc = allocate(e, e->plan->outbox_bytes, &e->memory.outbox, err);
    return rc;
}

/* The arena, which has the scratch of kernels, too. */
static int allocate_arena(struct cuda_executor *e, struct error *err)
{
    const struct plan *plan = e->plan;
    size_t bytes = 0;

    for (int i = 0; i < plan->n_cuts; i++) {
        if (plan->cuts[i].arena_bytes > bytes)
            bytes = plan->cuts[i].arena_bytes;
    }
    return allocate(e, bytes, &e->memory.arena, err);
}

/* Room for the rows of the largest chunk, where one of them is staged. */
static int allocate_staging(struct cuda_executor *e, struct error *err)
{
    const struct plan *plan = e->plan;
    size_t bytes = 0;
    bool needed = false;

    for (int i = 0; i < e->n_chunks; i++)
        needed |= e->chunks[i].staged;
    e->staging_offsets = calloc((size_t)plan->n_values + 1, sizeof(*e->staging_offsets));
    if (!e->staging_offsets)
        return error_set(err, -ENOMEM, "out of memory for the rows of a plan");
    for (int i = 0; i < plan->n_values; i++) {
        const struct location *at = &plan->locations[i];
        size_t rows = (size_t)plan->cuts[0].size * at->count * dtype_size(at->dtype);

        e->staging_offsets[i] = bytes;
        if (at->memory == MEMORY_INBOX || at->memory == MEMORY_OUTBOX)
            bytes += (rows + CHUNK_ALIGNMENT - 1) / CHUNK_ALIGNMENT * CHUNK_ALIGNMENT;
    }
    e->memory.staging_offsets = e->staging_offsets;
    return needed ? allocate(e, bytes, &e->memory.staging, err) : 0;
}

/* Memory of its own for each value of the arena, as large as the largest cut needs it. */
static int allocate_apart(struct cuda_executor *e, struct error *err)
{
    const struct plan *plan = e->plan;
    int rc = 0;

    e->apart = calloc((size_t)plan->n_values + 1, sizeof(*e->apart));
    if (!e->apart)
        return error_set(err, -ENOMEM, "out of memory for the values of a plan");
    for (int i = 0; i < plan->n_values && rc == 0; i++) {
        const struct location *at = &plan->locations[i];
        bool batched = program_value(plan->program, i)->shape.batched;
        size_t n = batched ? (size_t)plan->cuts[0].size : 1;
        char *memory;

        if (at->memory != MEMORY_ARENA)
            continue;
        rc = allocate(e, n * at->count * dtype_size(at->dtype), &memory, err);
        e->apart[i] = memory;
    }
    e->memory.apart = e->apart;
    return rc;
}

static int find_states(struct cuda_executor *e, struct state *state, struct error *err)
{
    const struct plan *plan = e->plan;

    e->states = calloc((size_t)plan->n_values + 1, sizeof(*e->states));
    e->is_slot = calloc((size_t)plan->n_values + 1, sizeof(*e->is_slot));
    if (!e->states || !e->is_slot)
        return error_set(err, -ENOMEM, "out of memory for the state of a plan");
    for (int i = 0; i < plan->n_values; i++) {
        if (plan->locations[i].memory == MEMORY_STATE)
            e->states[i] =
                state_memory(state, state_find(state, program_value(plan->program, i)->name));
    }
    for (int i = 0; i < program_n_ops(plan->program); i++) {
        const struct op *op = program_op(plan->program, i);

        if (op->kind == OP_LOAD || op->kind == OP_STORE)
            e->is_slot[op->inputs[1]] = true;
    }
    e->memory.states = e->states;
    return 0;
}

/* All chunks that runs of any number of images consist of. */
static int list_chunks(struct cuda_executor *e, struct error *err)
{
    const struct plan *plan = e->plan;
    int step = plan->n_ordered ? plan->cuts[0].size : 1;

    e->chunks = calloc((size_t)plan->batch_max * (size_t)plan->n_cuts, sizeof(*e->chunks));
    e->run = calloc((size_t)plan->batch_max, sizeof(*e->run));
    if (!e->chunks || !e->run)
        return error_set(err, -ENOMEM, "out of memory for the chunks of a plan");
    for (int n = step; n <= plan->batch_max; n += step)
        cuda_executor_list(e, n);
    return 0;
}

/* Bytes of the largest state that the plan writes, but for the slots of images, of which there are none. */
static size_t largest_state(const struct cuda_executor *e)
{
    const struct plan *plan = e->plan;
    size_t largest = 0;

    for (int i = 0; i < plan->n_values; i++) {
        size_t bytes = plan->locations[i].count * sizeof(float);

        if (plan->locations[i].memory == MEMORY_STATE &&
            !program_value(plan->program, i)->shape.batched && bytes > largest)
            largest = bytes;
    }
    return largest;
}

/* Runs every kernel once, on rows of zeros and without an effect. */
static int rehearse(struct cuda_executor *e, struct error *err)
{
    void *instead = NULL;
    int rc;

    rc = cuda_executor_send(e, e->inboxes[0], 0, e->plan->batch_max, err);
    if (rc == 0)
        rc = cuda_memory_create(device_of(e), largest_state(e), &instead, err);
    for (int i = 0; i < e->n_chunks && rc == 0; i++) {
        if (e->chunks[i].first == 0)
            rc = chunk_rehearse(&e->chunks[i], &e->memory, instead, e->cuda->stream, err);
    }
    if (rc == 0)
        rc = cuda_check(cudaStreamSynchronize(e->cuda->stream), "run a plan for the first time",
                        err);
    cuda_memory_destroy(device_of(e), instead);
    return rc;
}

int cuda_executor_create(const struct plan *plan, struct state *state, struct executor **out,
                         struct error *err)
{
    struct cuda_executor *e = calloc(1, sizeof(*e));
    int rc;

    if (!e)
        return error_set(err, -ENOMEM, "out of memory for an executor");
    e->plan = plan;
    e->memory.plan = plan;
    e->cuda = (struct cuda_device *)plan->device;
    rc = allocate_boxes(e, err);
    if (rc == 0)
        rc = allocate_arena(e, err);
    if (rc == 0 && CUDA_SIMULATED)
        rc = allocate_apart(e, err);
    if (rc == 0)
        rc = find_states(e, state, err);
    if (rc == 0)
        rc = list_chunks(e, err);
    if (rc == 0)
        rc = allocate_staging(e, err);
    if (rc == 0)
        rc = rehearse(e, err);
    for (int i = 0; i < e->n_chunks && rc == 0; i++)
        rc = chunk_capture(&e->chunks[i], &e->memory, e->cuda->stream, err);
    if (rc < 0) {
        cuda_executor_destroy(&e->executor);
        return rc;
    }
    *out = &e->executor;
    return 0;
}
