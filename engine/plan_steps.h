/* The inside of a plan, shared by plan.c, which makes it, and plan_run.c. Four places a value can
 * live in:
 *
 *   input, output   memory for the whole batch, chunk after chunk
 *   parameter       a copy that struct parameters keeps
 *   arena           one per worker, shared by values of disjoint lifetimes
 *   sum             unbatched outputs: one buffer per worker, added up after the run
 *
 * A step is an operation's kernel, made for chunks of a certain size; a plan has as many sets of
 * steps ("cuts") as sizes. Steps have been given rounds: a stage of a step belongs to one,
 * and what belongs to one round does not depend on each other. A thread by itself runs the steps
 * in their order; threads that share a chunk run the rounds in theirs.
 */
#ifndef ENGINE_PLAN_STEPS_H
#define ENGINE_PLAN_STEPS_H

#include "engine/base/error.h"
#include "engine/plan.h"

#include <stdatomic.h>

enum place { PLACE_NONE, PLACE_BATCH, PLACE_CONSTANT, PLACE_PARAMETER, PLACE_ARENA, PLACE_SUM };

struct location {
    enum place place;
    enum dtype dtype;
    size_t count;  /* elements per image, or of the whole when unbatched */
    bool input;    /* written by the caller, even if nothing reads it */
    void *memory;  /* batch, constant: own memory of all images */
    size_t offset; /* sum: in the sums; bytes */
};

/* One operand of a step: base plus image * stride, or an offset into the worker's arena or sums. */
struct operand {
    enum place place;
    const void *base;
    size_t stride; /* bytes per image */
    size_t offset;
    size_t bytes; /* sums: to be added ... */
    size_t spare; /* ... from this offset in the arena, after the worker's first chunk */
};

struct step {
    struct kernel *kernel;
    int op;               /* of the program */
    int round;            /* of its first stage */
    size_t shared_offset; /* of what its stages share, in the arena */
    int n_inputs, n_outputs;
    struct operand inputs[OP_INPUTS_MAX];
    struct operand outputs[OP_OUTPUTS_MAX];
};

/* A stage of a step, in a round. */
struct round_entry {
    int step, stage;
    int n_parts;
};

struct round {
    int first_entry, n_entries;
    int n_parts; /* of all entries, counted on from one to the next */
};

/* The steps for chunks of one size. */
struct cut {
    int grain; /* images of a chunk */
    int n_steps;
    struct step *steps;
    int n_rounds;
    struct round *rounds;
    struct round_entry *entries;
    size_t scratch_offset; /* in the arena */
    size_t arena_bytes;
};

struct chunk {
    const struct cut *cut;
    int first; /* image */
};

struct worker {
    void *arena; /* values, what stages share; then scratch */
    void *sums;
    int code;
    struct error error;
};

enum { CUTS_MAX = 16 };

struct plan {
    struct device *device;
    const struct device_ops *ops;
    struct parameters *parameters;
    struct program *program; /* after its passes */
    struct passes passes;
    enum precision precision;
    int batch_max;
    int n_values;
    struct location *locations; /* [n_values] */
    size_t sum_bytes;
    int n_cuts;
    struct cut cuts[CUTS_MAX]; /* large chunks first */
    struct team *team;         /* for chunks of the last cut; NULL: they are never shared */
    int n_workers;
    struct worker *workers;
    size_t memory_bytes;
    int n_chunks; /* of the run in progress */
    struct chunk *chunks;
};

struct team;

/* For chunks of a cut that all n_members threads of the device run together. 0 or -ENOMEM. */
int team_create(const struct cut *cut, int n_members, struct team **out, struct error *err);
void team_destroy(struct team *team); /* NULL is fine */

#endif
