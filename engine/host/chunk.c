#include "engine/host/chunk.h"
#include "engine/base/clock.h"
#include "engine/base/trace.h"
#include "engine/host/wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Threads take chunks in their order, so whoever has the turn is running, and the others wait no
 * longer than they are ahead. */
struct order {
    int n;
    atomic_int *turns; /* [n] the chunk whose turn it is */
    struct waiters waiters;
};

int order_create(int n, struct order **out, struct error *err)
{
    struct order *order = calloc(1, sizeof(*order));

    if (!order)
        return error_set(err, -ENOMEM, "out of memory for the order of sums");
    waiters_init(&order->waiters);
    order->n = n;
    order->turns = calloc((size_t)n + 1, sizeof(*order->turns));
    if (!order->turns) {
        order_destroy(order);
        return error_set(err, -ENOMEM, "out of memory for the order of sums");
    }
    *out = order;
    return 0;
}

void order_destroy(struct order *order)
{
    if (!order)
        return;
    waiters_fini(&order->waiters);
    free(order->turns);
    free(order);
}

void order_restart(struct order *order)
{
    for (int i = 0; i < order->n; i++)
        atomic_store(&order->turns[i], 0);
}

static void *place(const struct span *span, const struct chunk_memory *memory, const void *arena,
                   int image)
{
    switch (span->memory) {
    case MEMORY_NONE:
        return NULL;
    case MEMORY_INBOX:
        return (char *)memory->inbox + span->offset + (size_t)image * span->stride;
    case MEMORY_OUTBOX:
        return memory->outbox + span->offset + (size_t)image * span->stride;
    case MEMORY_CONSTANT:
        return (void *)span->constant;
    case MEMORY_STATE:
        return memory->states[span->value];
    case MEMORY_ARENA:
        return (char *)arena + span->offset;
    }
    return NULL;
}

/* Where a step's operands are, for a chunk that begins with an image. */
struct operands {
    const void *in[OP_INPUTS_MAX];
    void *out[OP_OUTPUTS_MAX];
};

static void find_operands(const struct step *step, const struct chunk_memory *memory,
                          const void *arena, int image, struct operands *o)
{
    for (int i = 0; i < step->n_inputs; i++)
        o->in[i] = place(&step->inputs[i], memory, arena, image);
    for (int i = 0; i < step->n_outputs; i++)
        o->out[i] = place(&step->outputs[i], memory, arena, image);
}

static void record(const struct chunk_memory *memory, const struct chunk *chunk,
                   const struct step *step, int stage, int part, double begin,
                   struct worker *worker)
{
    trace_add(worker->track, memory->labels[step->op], begin, clock_seconds(),
              (const int[]){chunk->first, chunk->cut->size, stage, part});
}

int chunk_run_part(const struct chunk_memory *memory, const struct chunk *chunk,
                   const struct step *step, int stage, int part, const struct worker *owner,
                   struct worker *worker)
{
    double begin = memory->labels ? clock_seconds() : 0;
    struct operands o;
    struct kernel_args args = {
        .in = o.in,
        .out = o.out,
        .shared = (char *)owner->arena + step->shared_offset,
        .scratch = (char *)worker->arena + chunk->cut->scratch_offset,
    };
    int rc = device_check_stop(memory->device, &worker->error);

    if (rc < 0)
        return rc;
    find_operands(step, memory, owner->arena, chunk->first, &o);
    rc = step->kernel->ops->run(step->kernel, stage, part, &args, &worker->error);
    if (memory->labels)
        record(memory, chunk, step, stage, part, begin, worker);
    return rc;
}

int chunk_run_step(const struct chunk_memory *memory, const struct chunk *chunk,
                   const struct step *step, struct worker *worker)
{
    double begin = memory->labels ? clock_seconds() : 0;
    struct operands o;
    struct kernel_args args = {
        .in = o.in,
        .out = o.out,
        .shared = (char *)worker->arena + step->shared_offset,
        .scratch = (char *)worker->arena + chunk->cut->scratch_offset,
    };
    int rc = device_check_stop(memory->device, &worker->error);

    if (rc < 0)
        return rc;
    find_operands(step, memory, worker->arena, chunk->first, &o);
    if (step->cleared_bytes && chunk->first == 0)
        memset(o.out[0], 0, step->cleared_bytes);
    rc = kernel_run(step->kernel, &args, &worker->error);
    if (memory->labels)
        record(memory, chunk, step, -1, -1, begin, worker);
    return rc;
}

void chunk_run(const struct chunk_memory *memory, const struct chunk *chunk, int number,
               struct order *order, struct worker *worker)
{
    for (int i = 0; i < chunk->cut->n_steps; i++) {
        const struct step *step = &chunk->cut->steps[i];

        if (step->order >= 0)
            waiters_wait(&order->waiters, &order->turns[step->order], number);
        if (worker->code == 0)
            worker->code = chunk_run_step(memory, chunk, step, worker);
        if (step->order >= 0) {
            atomic_store(&order->turns[step->order], number + 1);
            waiters_wake(&order->waiters);
        }
    }
}
