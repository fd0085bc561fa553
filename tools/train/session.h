/* What a process holds of a training (training.h) while it prepares, steps and saves.
 *
 * Thread: one.
 */
#ifndef TOOLS_TRAIN_SESSION_H
#define TOOLS_TRAIN_SESSION_H

#include "engine/base/error.h"
#include "model/checkpoint.h"
#include "tools/train/recipe.h"
#include "tools/train/resume.h"

#include <stdbool.h>
#include <stdint.h>

struct training_options;

struct training {
    const struct training_options *options;
    struct recipe recipe;
    double start; /* monotonic seconds */
    int folder;   /* descriptor of the run, locked; -1: none */
    bool made;    /* the folder was not there before */
    struct device *device;
    struct pool *pool;                 /* reads pictures */
    struct communicator *communicator; /* rank 0 alone reads and writes the run, and tells of it */
    struct dataset *dataset;
    struct resume *resume;           /* NULL when the training begins */
    struct checkpoint *loaded;       /* start.safetensors of a resumed training: owns formulation */
    struct formulation fitted;       /* of one that begins */
    struct formulation *formulation; /* one of the two */
    struct trainer *trainer;
    struct examples *examples;
    struct example *batch, *next; /* [recipe.batch] of a step, and of the one after it */
    uint64_t next_step;           /* whose examples `next` has, plus 1; 0: none */
    struct progress *progress;
    struct resume_counters counters;
    uint64_t begun_step, drawn_step; /* where this process began, and of its last grid */
    double saved;                    /* monotonic seconds of the last save */
    int failed;                      /* the first error of a save, 0: none */
    struct error failure;            /* its text */
};

bool session_is_first(const struct training *t); /* whether this is rank 0 */

/* Makes the folder of the run, unless it is there, and locks it. 0, -EBUSY or -errno. */
int session_open_folder(struct training *t, struct error *err);
/* Unlocks it; one that was made for nothing, and is empty, goes. */
void session_close_folder(struct training *t);

/* A file of the run; owned by the caller, NULL without memory. */
char *session_path(const struct training *t, const char *name);

/* Weights with the formulation as a checkpoint, which borrows them. Nothing in it depends on the clock:
 * the same training gives the same file. 0 or -ENOMEM; session_view_fini() it. */
int session_view(const struct training *t, uint64_t step, float *weights, struct checkpoint *out,
                 struct error *err);
void session_view_fini(struct checkpoint *view);

/* Writes it. 0, -ENOMEM or -errno. */
int session_save(const struct training *t, const char *name, uint64_t step, float *weights,
                 int bf16, struct error *err);

int session_no_memory(struct error *err); /* for weights: -ENOMEM */

#endif
