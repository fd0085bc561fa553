/* Running the steps of a cut on a chunk of a run's images. */
#ifndef ENGINE_HOST_CHUNK_H
#define ENGINE_HOST_CHUNK_H

#include "engine/base/error.h"
#include "engine/plan_steps.h"

struct device;
struct order;
struct trace_label;
struct trace_track;

/* The memory of an executor, as its threads see it during a run. */
struct chunk_memory {
    const char *inbox;
    char *outbox;
    void *const *states; /* [n_values of the plan] where it is state: all its slots */
    const struct trace_label *const *labels; /* [n_ops of the plan]; NULL without a trace */
    const struct device *device;
};

struct chunk {
    const struct cut *cut;
    int first; /* image */
};

/* A thread's own. */
struct worker {
    void *arena;               /* values, what stages share; then scratch */
    struct trace_track *track; /* where memory has labels */
    int code;
    struct error error;
};

/* Runs a part of a stage: values in the arena of owner, scratch in that of worker. 0, -ECANCELED or -EIO. */
int chunk_run_part(const struct chunk_memory *memory, const struct chunk *chunk,
                   const struct step *step, int stage, int part, const struct worker *owner,
                   struct worker *worker);

/* Runs a step whole. 0, -ECANCELED or -EIO. */
int chunk_run_step(const struct chunk_memory *memory, const struct chunk *chunk,
                   const struct step *step, struct worker *worker);

/* Runs all steps, chunk number `number` of the run taking its turn where steps have an order. Where
 * worker->code says that it failed before, only the turns are taken. */
void chunk_run(const struct chunk_memory *memory, const struct chunk *chunk, int number,
               struct order *order, struct worker *worker);

/* Whose turn it is in each of n ordered steps. */
int order_create(int n, struct order **out, struct error *err); /* 0 or -ENOMEM */
void order_destroy(struct order *order);
void order_restart(struct order *order); /* before each run; nobody may be waiting */

#endif
