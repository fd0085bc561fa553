/* The rows of a curve, in a CSV file that grows by whole rows, so that a run can be taken up again.
 *
 * Columns: sampler, nfe, n (samples), seed (of the first), fd, kid, precision, recall, seconds
 * (spent generating), source, reference. "nan" where there is no number: no features, or pictures
 * that were there. source and reference say of what and against what a row is, so that rows of
 * several models and references may be in one file and never pass for each other: source is 16
 * digits of the checkpoint's digest and the arithmetic ("0123456789abcdef-bf16"), or of the digest
 * of the pictures that were read ("0123456789abcdef-read"), reference 16 digits of that of the
 * statistics.
 */
#ifndef TOOLS_EVAL_RESULTS_H
#define TOOLS_EVAL_RESULTS_H

#include "model/sampler.h"

#include <stdbool.h>
#include <stdint.h>

struct error;
struct results;

enum { RESULTS_NAME = 32 }; /* bytes of source and reference, with a NUL */

struct result {
    enum sampler sampler;
    int nfe, n;
    uint64_t seed;
    double fd, kid, precision, recall, seconds;
    char source[RESULTS_NAME], reference[RESULTS_NAME];
    bool wanted; /* found or added since the file was opened */
};

/* Reads the file if it is there, else makes sure that it can be made. Half a row at its end and rows that are there twice,
 * as a killed process leaves them, are taken out. 0, -EINVAL naming the line that is no row, -ENOMEM
 * or -errno of the file. */
int results_open(const char *path, struct results **out, struct error *err);
void results_close(struct results *r);

int results_n(const struct results *r);
const struct result *results_at(const struct results *r, int i); /* until results_add() */

/* Whether there is the row of these samples: with this sampler, nfe, n, seed, source and reference. */
bool results_find(struct results *r, const struct result *key);

/* Appends a row, which is then wanted, to the file, then to r. 0, -ENOMEM or -errno of the file. */
int results_add(struct results *r, const struct result *row, struct error *err);

/* Gives the file its header if it has none, as results_add() does: also a curve without a row has a
 * file. 0, -ENOMEM or -errno of the file. */
int results_begin(struct results *r, struct error *err);

#endif
