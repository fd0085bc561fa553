/* The inside of a plan, for those who make it (plan.c, plan_layout.c) and for executors. */
#ifndef ENGINE_PLAN_STEPS_H
#define ENGINE_PLAN_STEPS_H

#include "engine/plan.h"

/* Where an operand lies. */
enum memory {
    MEMORY_NONE,     /* absent */
    MEMORY_INBOX,    /* inputs, filled by the caller; image after image of a value */
    MEMORY_OUTBOX,   /* outputs, likewise */
    MEMORY_CONSTANT, /* a copy that struct parameters keeps */
    MEMORY_STATE,    /* the whole of a value of a struct state */
    MEMORY_ARENA,    /* of whoever runs the chunk; shared by values of disjoint lifetimes */
};

struct span {
    enum memory memory;
    const void *constant; /* MEMORY_CONSTANT: on the device */
    int value;            /* MEMORY_STATE: of the program */
    size_t offset;        /* in bytes, of the first image in the inbox or outbox, or in the arena */
    size_t stride;        /* bytes per image in the inbox or outbox; 0: unbatched */
};

/* Where a value of the program lives. */
struct location {
    enum memory memory; /* MEMORY_NONE: nobody needs it */
    enum dtype dtype;
    size_t count;  /* elements per image, or of the whole when unbatched */
    size_t offset; /* inbox, outbox: bytes */
    int sum;       /* an unbatched output: the value that holds its sum over the images; else -1 */
};

struct step {
    struct kernel *kernel;
    int op;               /* of the program */
    int round;            /* of its first stage */
    bool joined;          /* the device runs it in one launch with the step before */
    int order;            /* >= 0: chunks run this step one after the other; numbered from 0 */
    size_t cleared_bytes; /* of its first output, made 0 before the first image of a run */
    size_t shared_offset; /* of what its stages share, in the arena */
    int n_inputs, n_outputs;
    struct span inputs[OP_INPUTS_MAX];
    struct span outputs[OP_OUTPUTS_MAX];
};

/* The steps for one size. They have been given rounds: what belongs to one round does not depend on
 * each other, so an executor may run the steps in their order or the rounds in theirs. But a joined step is
 * of the round of the one before, whatever it reads: all that they read and write is apart for so long. */
struct cut {
    int size; /* images */
    int n_steps;
    struct step *steps;
    int n_rounds;
    size_t scratch_offset; /* in the arena */
    size_t arena_bytes;
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
    size_t inbox_bytes, outbox_bytes;
    size_t row_bytes;   /* of the inbox, per image */
    size_t sums_offset; /* outbox: from here on sums over the images of a run */
    int n_ordered;      /* steps with an order, in each cut; 0: chunks run in any order */
    int n_cuts;
    struct cut cuts[CUTS_MAX]; /* large ones first */
};

/* The round after a step's last. */
int step_end(const struct step *step);

/* plan_layout.c. Numbers the rounds of a cut; 0 or -ENOMEM. */
int plan_number_rounds(const struct plan *plan, struct cut *cut, struct error *err);
/* Decides where the needed values live. */
void plan_locate(struct plan *plan, const struct plan_options *options, const bool *needed_values,
                 const bool *needed_ops);
/* Lays the arena of a cut out and tells its steps where everything is. 0, -EINVAL, -ENOMEM, -EIO. */
int plan_connect(const struct plan *plan, struct cut *cut, struct error *err);
enum dtype plan_dtype(const struct plan *plan, enum value_type type);

#endif
