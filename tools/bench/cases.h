/* A network's evaluation, or loss and gradients, for every combination of batch, threads and precision.
 * Thread: one at a time. */
#ifndef TOOLS_BENCH_CASES_H
#define TOOLS_BENCH_CASES_H

#include "engine/device.h"
#include "engine/identity.h"

struct bench;
struct error;

/* One combination. */
struct bench_case {
    int batch, n_threads;
    enum precision precision;
    struct device *device; /* borrowed */
    struct program *program;
    struct parameters *parameters;
    struct plan *plan;
    struct executor *executor;
    char identity[IDENTITY_BYTES];
    int n_samples;
    double *wall_ms, *cpu_ms; /* [rounds of the options] */
};

/* Makes the cases of b and runs each once. 0, or what the device or the plan returns. */
int cases_create(struct bench *b, struct bench_case **out, int *n, struct error *err);
void cases_destroy(struct bench_case *cases, int n); /* NULL is fine */

/* Measures n cases in turns and prints what came out. 0, -EIO or -ENOMEM. */
int cases_measure(struct bench *b, struct bench_case *cases, int n, struct error *err);

#endif
