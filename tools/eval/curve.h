/* How the distance of samples to real pictures falls with the number of network evaluations, for
 * several samplers: a row of results.h for each of them at each number, and a chart. */
#ifndef TOOLS_EVAL_CURVE_H
#define TOOLS_EVAL_CURVE_H

#include "engine/device.h"
#include "model/sampler.h"

#include <stdbool.h>
#include <stdint.h>

struct error;
struct sets;
struct statistics;
struct watch;

enum { CURVE_POINTS_MAX = 64 };

struct curve_options {
    const char *model;   /* checkpoint; NULL: nothing is generated */
    const char *samples; /* folder with pictures <sampler>-<nfe>/<seed>.png; NULL: none */
    bool skip_bad;       /* of these, leave out what cannot be read, with a warning in the log */
    const char *csv;     /* results.h; rows that it has of this model are not made again */
    const char *svg;     /* NULL: no chart */
    int n_samplers;      /* 0: the model's default one and momentum */
    int n_nfes;
    enum sampler samplers[SAMPLERS];
    int nfes[CURVE_POINTS_MAX];
    int n;                     /* samples, >= 2 */
    uint64_t seed;             /* of the first sample, then seed + 1, ... */
    enum precision precision;  /* of the generator */
    const struct watch *watch; /* may be NULL */
};

/* Whether csv and svg can be written, before anything is read. 0 or an error as of the run. */
int curve_try_outputs(const struct curve_options *o, struct error *err);

/* Prints a line per row. Samples are read where all n are in the folder, else generated, else left
 * out with a line that says so; a row has the number of those that could be read. The chart shows, for these n and seed and this reference, the rows
 * of the file that are wanted or of this model, and the floor if the reference can be split; it is
 * drawn after every row.
 * 0, -ECANCELED (finished rows are kept), or the error of a part. */
int curve_run(const struct curve_options *o, struct sets *sets, const struct statistics *reference,
              struct error *err);

#endif
