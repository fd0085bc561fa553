/* The configurations that softdiff-bench measures: a network's evaluation, or loss and gradients, by
 * batch, threads and precision. Thread: one at a time. */
#ifndef TOOLS_BENCH_CASES_H
#define TOOLS_BENCH_CASES_H

#include "engine/device.h"
#include "engine/identity.h"
#include "model/formulation.h"

#include <stdbool.h>

struct checkpoint;
struct error;

enum { LIST_MAX = 16, CASES_MAX = 256, ROUNDS_MAX = 10000 };

/* From the command line. */
struct bench_options {
    const char *model, *device, *choices, *tune, *batches, *threads, *precisions;
    int rounds;
    double seconds;
    bool json, train, plan;
};

/* One configuration. */
struct bench_case {
    int batch, n_threads;
    enum precision precision;
    struct device *device; /* borrowed */
    struct program *program;
    struct parameters *parameters;
    struct plan *plan;
    struct executor *executor;
    int n_samples;
    char identity[IDENTITY_BYTES];
    double *wall_ms, *cpu_ms; /* [ROUNDS_MAX] */
};

struct bench {
    const struct bench_options *options;
    struct formulation formulation;
    const float *weights;          /* NULL: initial ones */
    struct checkpoint *checkpoint; /* NULL: an architecture alone */
    int n_devices;
    struct device *devices[LIST_MAX];
    int n_cases;
    struct bench_case cases[CASES_MAX];
};

/* Makes all of it, each case run once. options are kept. 0, or what the file, the device or the plan
 * returns; bench_fini() cleans up after both. */
int bench_init(struct bench *b, const struct bench_options *options, struct error *err);
void bench_fini(struct bench *b);

#endif
