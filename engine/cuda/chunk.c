#include "engine/cuda/chunk.h"
#include "engine/cuda/cuda_device.h"
#include "engine/cuda/joined.h"
#include "engine/program.h"

enum { VECTOR_BYTES = 16 };

/* Whether a value is images in one of the boxes. */
static bool is_boxed(const struct plan *plan, int value, enum memory box)
{
    return plan->locations[value].memory == box &&
           program_value(plan->program, value)->shape.batched;
}

static size_t row_bytes(const struct plan *plan, int value)
{
    return plan->locations[value].count * dtype_size(plan->locations[value].dtype);
}

struct chunk chunk_at(const struct plan *plan, const struct cut *cut, int first)
{
    struct chunk chunk = {.cut = cut, .first = first};

    for (int i = 0; i < plan->n_values; i++) {
        if (is_boxed(plan, i, MEMORY_INBOX) || is_boxed(plan, i, MEMORY_OUTBOX))
            chunk.staged |= (size_t)first * row_bytes(plan, i) % VECTOR_BYTES != 0;
    }
    return chunk;
}

static void *place(const struct span *span, const struct chunk_memory *memory,
                   const struct chunk *chunk)
{
    bool boxed = span->memory == MEMORY_INBOX || span->memory == MEMORY_OUTBOX;
    int first = chunk->first;

    if (chunk->staged && boxed && span->stride > 0)
        return memory->staging + memory->staging_offsets[span->value];
    switch (span->memory) {
    case MEMORY_NONE:
        return NULL;
    case MEMORY_INBOX:
        return memory->inbox + span->offset + (size_t)first * span->stride;
    case MEMORY_OUTBOX:
        return memory->outbox + span->offset + (size_t)first * span->stride;
    case MEMORY_CONSTANT:
        return (void *)span->constant;
    case MEMORY_STATE:
        return memory->states[span->value];
    case MEMORY_ARENA:
        return memory->apart ? memory->apart[span->value] : memory->arena + span->offset;
    }
    return NULL;
}

/* state: where what is written into state goes; NULL: into the state. */
static void place_step(const struct chunk *chunk, const struct step *step,
                       const struct chunk_memory *memory, void *state, cudaStream_t stream,
                       struct placed_step *out)
{
    out->kernel = step->kernel;
    for (int i = 0; i < step->n_inputs; i++)
        out->in[i] = place(&step->inputs[i], memory, chunk);
    for (int i = 0; i < step->n_outputs; i++)
        out->out[i] = state && step->outputs[i].memory == MEMORY_STATE
                          ? state
                          : place(&step->outputs[i], memory, chunk);
    out->args = (struct kernel_args){
        .in = out->in,
        .out = out->out,
        .scratch = memory->arena + chunk->cut->scratch_offset,
        .queue = stream,
    };
}

/* A step with those that are joined to it; *n: how many it is. */
static int enqueue_joined(const struct chunk *chunk, int first, const struct chunk_memory *memory,
                          void *state, cudaStream_t stream, int *n, struct error *err)
{
    const struct step *step = &chunk->cut->steps[first];
    struct placed_step placed[JOINED_MAX];
    int rc = 0;

    for (*n = 0; *n == 0 || (first + *n < chunk->cut->n_steps && step[*n].joined); ++*n)
        place_step(chunk, &step[*n], memory, state, stream, &placed[*n]);
    if (*n > 1)
        return joined_enqueue(placed, *n, stream, err);
    if (step->cleared_bytes && chunk->first == 0)
        rc = cuda_check(cudaMemsetAsync(placed[0].out[0], 0, step->cleared_bytes, stream),
                        "clear a sum", err);
    return rc < 0 ? rc : step->kernel->ops->run(step->kernel, 0, 0, &placed[0].args, err);
}

/* Copies the rows of a staged chunk from the inbox, or to the outbox. */
static int stage(const struct chunk *chunk, const struct chunk_memory *memory, enum memory box,
                 cudaStream_t stream, struct error *err)
{
    const struct plan *plan = memory->plan;
    bool in = box == MEMORY_INBOX;
    int rc = 0;

    for (int i = 0; i < plan->n_values && chunk->staged && rc == 0; i++) {
        size_t bytes = row_bytes(plan, i);
        char *staged = memory->staging + memory->staging_offsets[i];
        char *rows = (in ? memory->inbox : memory->outbox) + plan->locations[i].offset +
                     (size_t)chunk->first * bytes;

        if (is_boxed(plan, i, box))
            rc = cuda_check(cudaMemcpyAsync(in ? staged : rows, in ? rows : staged,
                                            (size_t)chunk->cut->size * bytes,
                                            cudaMemcpyDeviceToDevice, stream),
                            "copy rows", err);
    }
    return rc;
}

static int mark(const cudaEvent_t *marks, int i, cudaStream_t stream, struct error *err)
{
    return marks ? cuda_check(cudaEventRecord(marks[i], stream), "take the time", err) : 0;
}

int chunk_enqueue(const struct chunk *chunk, const struct chunk_memory *memory, cudaStream_t stream,
                  const cudaEvent_t *marks, struct error *err)
{
    int n = chunk->cut->n_steps, n_joined;
    int rc = stage(chunk, memory, MEMORY_INBOX, stream, err);

    if (rc == 0)
        rc = mark(marks, 0, stream, err);
    for (int i = 0; i < n && rc == 0; i += n_joined) {
        rc = enqueue_joined(chunk, i, memory, NULL, stream, &n_joined, err);
        for (int j = 0; j < n_joined && rc == 0; j++) /* the first has all the time */
            rc = mark(marks, i + j + 1, stream, err);
    }
    return rc < 0 ? rc : stage(chunk, memory, MEMORY_OUTBOX, stream, err);
}

int chunk_rehearse(const struct chunk *chunk, const struct chunk_memory *memory, void *instead,
                   cudaStream_t stream, struct error *err)
{
    int n, rc = 0;

    for (int i = 0; i < chunk->cut->n_steps && rc == 0; i += n)
        rc = enqueue_joined(chunk, i, memory, instead, stream, &n, err);
    return rc;
}

int chunk_capture(struct chunk *chunk, const struct chunk_memory *memory, cudaStream_t stream,
                  struct error *err)
{
    cudaGraph_t graph = NULL;
    int rc = cuda_check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
                        "capture a plan", err);
    cudaError_t ended;

    if (rc < 0)
        return rc;
    rc = chunk_enqueue(chunk, memory, stream, NULL, err);
    ended = cudaStreamEndCapture(stream, &graph); /* also where a step failed */
    if (rc == 0)
        rc = cuda_check(ended, "capture a plan", err);
    if (rc == 0)
        rc = cuda_check(cudaGraphInstantiate(&chunk->graph, graph, 0), "make a graph of a plan",
                        err);
    if (rc == 0)
        rc = cuda_check(cudaGraphUpload(chunk->graph, stream), "send a graph to the GPU", err);
    if (graph)
        cudaGraphDestroy(graph);
    return rc;
}

void chunk_fini(struct chunk *chunk)
{
    if (chunk->graph)
        cudaGraphExecDestroy(chunk->graph);
    chunk->graph = NULL;
}
