/* What the ranks of a training (engine/communicator) tell each other before the first step.
 *
 * Rank 0 alone reads the recipe, fits, and writes to the run; the others have the same pictures, maybe on
 * another machine, and get the rest from it. Each function is called by all ranks together, and gives
 * all of them the same code; with one rank nothing is done.
 */
#ifndef TOOLS_TRAIN_RANKS_H
#define TOOLS_TRAIN_RANKS_H

struct error;
struct training;

/* Rank 0's recipe becomes that of all. 0, -ENOMEM or -EIO. */
int ranks_share_recipe(struct training *t, struct error *err);

/* The others get t->loaded, t->formulation and t->counters: those of rank 0, with its
 * "start.safetensors". 0, -errno of that file, -ENOMEM or -EIO. */
int ranks_share_start(struct training *t, struct error *err);

/* Whether all have the pictures of rank 0 and compute the same bytes as it. 0, -EINVAL or -EIO. */
int ranks_compare(struct training *t, struct error *err);

/* The largest of what they want, as it is for all of them then. 0, -ENOMEM or -EIO. */
int ranks_ask(struct training *t, int *want, struct error *err);

#endif
