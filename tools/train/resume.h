/* The resume state: all that a training needs to go on as if it had never stopped.
 *
 * One safetensors file, written whole or not at all: the raw weights, their moving averages and
 * Adam's two moments, each one flat float32 array in the order of the network's parameters, and
 * the metadata "softdiff_training" with the counters and the recipe, and "sha256" of all that, so
 * that a state that a disk has changed is not taken up. Random numbers need no state, they are drawn
 * from the counters. What was fitted to the data lies beside it in the checkpoint
 * that the training began with; the state holds that file's SHA-256.
 */
#ifndef TOOLS_TRAIN_RESUME_H
#define TOOLS_TRAIN_RESUME_H

#include "tools/train/optimizer.h"
#include "tools/train/recipe.h"

#include <stdint.h>

struct error;

struct resume_counters {
    uint64_t step;         /* the next one; `step` steps are done */
    double seconds;        /* spent training so far */
    uint64_t n_skipped;    /* steps whose loss or gradient was not finite ... */
    int n_skipped_last;    /* ... and how many of them were the last ones */
    int n_ranks;           /* that took the last step; 0: not known */
    int n_images;          /* of the data set */
    uint64_t data_digest;  /* struct dataset */
    char start_digest[65]; /* SHA-256 of the checkpoint at the start, in hex */
};

/* 0 or -errno of the system; on failure the file of that name is as it was. */
int resume_write(const char *path, const struct resume_counters *counters,
                 const struct recipe *recipe, const struct optimizer_state *state,
                 struct error *err);

struct resume; /* an open state */

/* 0, -ENOENT (there is none), -errno, -EINVAL (not a state of ours, or not as it was written; states
 * of format 1 have no sum and are taken as they are), -ENOMEM. */
int resume_open(const char *path, struct resume **out, struct error *err);
void resume_close(struct resume *r);

const struct resume_counters *resume_counters(const struct resume *r);
const struct recipe *resume_recipe(const struct resume *r);

/* Fills the arrays of state. 0, or -EINVAL when one is missing or of another size. */
int resume_read(const struct resume *r, const struct optimizer_state *state, struct error *err);

#endif
