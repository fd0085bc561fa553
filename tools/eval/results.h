/* The rows of a curve, in a CSV file that grows by whole rows, so that a run can be taken up again.
 *
 * Columns: sampler, nfe, n (samples), seed (of the first), fd, kid, precision, recall, seconds
 * (spent generating). "nan" where there is no number: no features, or pictures that were there.
 */
#ifndef TOOLS_EVAL_RESULTS_H
#define TOOLS_EVAL_RESULTS_H

#include "model/sampler.h"

#include <stdint.h>

struct error;
struct results;

struct result {
    enum sampler sampler;
    int nfe, n;
    uint64_t seed;
    double fd, kid, precision, recall, seconds;
};

/* Reads the file if it is there, else makes it. 0, -EINVAL naming the line that is no row,
 * -ENOMEM or -errno of the file. */
int results_open(const char *path, struct results **out, struct error *err);
void results_close(struct results *r);

int results_n(const struct results *r);
const struct result *results_at(const struct results *r, int i); /* until results_add() */

/* The row of these samples, or NULL. */
const struct result *results_find(const struct results *r, enum sampler sampler, int nfe, int n,
                                  uint64_t seed);

/* Appends a row to the file, then to r. 0, -ENOMEM or -errno of the file. */
int results_add(struct results *r, const struct result *row, struct error *err);

#endif
