/* The inside of the executor of GPUs, for executor.c, which runs, create.c and timing.c. */
#ifndef ENGINE_CUDA_CUDA_EXECUTOR_H
#define ENGINE_CUDA_CUDA_EXECUTOR_H

#include "engine/cuda/chunk.h"
#include "engine/cuda/cuda_device.h"
#include "engine/executor.h"

struct trace_label;
struct trace_track;

/* Moments of a run. */
struct marks {
    int n;
    cudaEvent_t *events; /* [n] */
};

struct cuda_executor {
    struct executor executor; /* first: engine/executor.h */
    const struct plan *plan;
    struct cuda_device *cuda;
    char *inboxes[2], *outbox; /* of the host, pinned */
    int filling;               /* the inbox that the caller fills */
    struct chunk_memory memory;
    void **states, **apart;  /* what memory reads ... */
    size_t *staging_offsets; /* ... too */
    bool *is_slot;           /* [n_values] the inputs that hold slots */
    int n_chunks;            /* all that a run may consist of */
    struct chunk *chunks;
    int n_run; /* chunks of the run in progress ... */
    int *run;  /* [batch_max] ... and which */
    size_t memory_bytes;
    /* While a trace is taken: */
    struct trace_track *track;         /* NULL: no trace */
    const struct trace_label **labels; /* of the program's operations */
    struct marks marks;                /* of the steps of all chunks, and one more for each */
};

static inline struct cuda_executor *cuda_executor(struct executor *executor)
{
    return (struct cuda_executor *)executor;
}

/* create.c: entries of struct executor_ops. */
int cuda_executor_create(const struct plan *plan, struct state *state, struct executor **out,
                         struct error *err);
void cuda_executor_destroy(struct executor *executor);

/* executor.c. Lists the chunks of a run of n images in e->run; those that are new are added. */
void cuda_executor_list(struct cuda_executor *e, int n);
/* Enqueues a copy of an inbox, in which rows [n, end) have no image. 0 or -EIO. */
int cuda_executor_send(struct cuda_executor *e, const char *inbox, int n, int end,
                       struct error *err);

/* timing.c */
int marks_create(struct marks *marks, int n, struct error *err); /* 0, -ENOMEM, -EIO */
void marks_destroy(struct marks *marks);
/* Adds to the trace what the run that has just ended did. 0 or -EIO. */
int cuda_executor_trace_run(struct cuda_executor *e, struct error *err);
/* Entries of struct executor_ops. */
int cuda_executor_profile(struct executor *executor, double *seconds, struct error *err);
int cuda_executor_trace(struct executor *executor, struct trace *trace, struct error *err);

#endif
