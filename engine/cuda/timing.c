/* When the steps of a run are run: step by step, with an event between them, since a graph does not
 * tell. */
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/trace.h"
#include "engine/cuda/cuda_executor.h"
#include "engine/plan_labels.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void marks_destroy(struct marks *marks)
{
    for (int i = 0; i < marks->n; i++)
        cudaEventDestroy(marks->events[i]);
    free(marks->events);
    *marks = (struct marks){0};
}

int marks_create(struct marks *marks, int n, struct error *err)
{
    int rc = 0;

    *marks = (struct marks){.events = calloc((size_t)n + 1, sizeof(*marks->events))};
    if (!marks->events)
        return error_set(err, -ENOMEM, "out of memory for the times of a plan");
    while (marks->n < n && rc == 0) {
        rc = cuda_check(cudaEventCreateWithFlags(&marks->events[marks->n], cudaEventDefault),
                        "make an event", err);
        marks->n += rc == 0;
    }
    if (rc < 0)
        marks_destroy(marks);
    return rc;
}

/* Seconds between two moments that are over. */
static int elapsed(cudaEvent_t from, cudaEvent_t to, double *out, struct error *err)
{
    float milliseconds = 0;
    int rc = cuda_check(cudaEventElapsedTime(&milliseconds, from, to), "take the time", err);

    *out = (double)milliseconds / 1e3;
    return rc;
}

/* The spans of a chunk; the last mark of the run was at `end` of the host's clock. */
static int trace_chunk(struct cuda_executor *e, const struct chunk *chunk, const cudaEvent_t *marks,
                       cudaEvent_t last, double end, struct error *err)
{
    double before, after = 0;
    int rc = elapsed(marks[0], last, &before, err);

    for (int i = 0; i < chunk->cut->n_steps && rc == 0; i++, before = after) {
        rc = elapsed(marks[i + 1], last, &after, err);
        trace_add(e->track, e->labels[chunk->cut->steps[i].op], end - before, end - after,
                  (const int[]){chunk->first, chunk->cut->size, -1, -1});
    }
    return rc;
}

int cuda_executor_trace_run(struct cuda_executor *e, struct error *err)
{
    const cudaEvent_t *marks = e->marks.events;
    double end = clock_seconds();
    int n = 0, rc = 0;

    for (int i = 0; i < e->n_run; i++)
        n += e->chunks[e->run[i]].cut->n_steps + 1;
    for (int i = 0; i < e->n_run && rc == 0; i++) {
        const struct chunk *chunk = &e->chunks[e->run[i]];

        rc = trace_chunk(e, chunk, marks, e->marks.events[n - 1], end, err);
        marks += chunk->cut->n_steps + 1;
    }
    return rc;
}

int cuda_executor_profile(struct executor *executor, double *seconds, struct error *err)
{
    struct cuda_executor *e = cuda_executor(executor);
    const struct chunk chunk = {.cut = &e->plan->cuts[0]};
    int n = chunk.cut->n_steps, rc = cuda_enter(e->cuda, err);
    struct marks marks;

    if (rc == 0)
        rc = marks_create(&marks, n + 1, err);
    if (rc < 0)
        return rc;
    rc = cuda_executor_send(e, e->inboxes[e->filling], 0, 0, err);
    if (rc == 0)
        rc = chunk_enqueue(&chunk, &e->memory, e->cuda->stream, marks.events, err);
    if (rc == 0)
        rc = cuda_check(cudaStreamSynchronize(e->cuda->stream), "run a plan", err);
    for (int i = 0; i < n && rc == 0; i++)
        rc = elapsed(marks.events[i], marks.events[i + 1], &seconds[i], err);
    marks_destroy(&marks);
    return rc;
}

int cuda_executor_trace(struct executor *executor, struct trace *trace, struct error *err)
{
    struct cuda_executor *e = cuda_executor(executor);
    const struct trace_label **labels = NULL;
    struct trace_track *track = NULL;
    struct marks marks = {0};
    char name[DEVICE_NAME_BYTES];
    int n = 0, rc = cuda_enter(e->cuda, err);

    snprintf(name, sizeof(name), "%s:%d", cuda_device_ops.name, e->cuda->ordinal);
    for (int i = 0; i < e->n_chunks; i++)
        n += e->chunks[i].cut->n_steps + 1;
    if (trace && rc == 0)
        rc = plan_label_ops(e->plan, trace, &labels, err);
    if (trace && rc == 0)
        rc = trace_find_track(trace, name, &track, err);
    if (trace && rc == 0)
        rc = marks_create(&marks, n, err);
    if (rc < 0) {
        free(labels);
        return rc;
    }
    free(e->labels);
    marks_destroy(&e->marks);
    e->labels = labels;
    e->marks = marks;
    e->track = track;
    return 0;
}
