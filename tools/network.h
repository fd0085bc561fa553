/* Networks for measurements and comparisons: a checkpoint, or an architecture alone. */
#ifndef TOOLS_NETWORK_H
#define TOOLS_NETWORK_H

struct checkpoint;
struct error;

/* path: a checkpoint, or an architecture's JSON file by its name. An architecture becomes the paper's
 * residual with the blur and no prior, with the weights of a safetensors file by the reference's names
 * (all_modules...), or initial ones where weights is NULL. *out is checkpoint_destroy()'ed.
 * 0, -EINVAL (also: weights beside a checkpoint), -ENOMEM, or what reading the files returns. */
int network_load(const char *path, const char *weights, struct checkpoint **out, struct error *err);

/* Gives a checkpoint that has an architecture its weights: those of a file as above, or initial ones
 * where path is NULL. 0, -ENOMEM, or what reading the file returns. */
int network_initialise(struct checkpoint *c, const char *path, struct error *err);

#endif
