/* What softdiff-bench measures with: a network, devices, precisions. Thread: one at a time. */
#ifndef TOOLS_BENCH_BENCH_H
#define TOOLS_BENCH_BENCH_H

#include "engine/device.h"

#include <stdbool.h>

struct checkpoint;
struct error;
struct json_t;
struct trace;
struct watch;

enum { LIST_MAX = 16, ROUNDS_MAX = 10000, ROUNDS_MIN = 5 };

/* From the command line. */
struct bench_options {
    const char *model, *device, *choices, *tune, *batches, *threads, *precisions, *ticks, *trace,
        *roofline;
    int rounds;     /* at most ROUNDS_MAX */
    double seconds; /* no round begins after them, but ROUNDS_MIN */
    bool json, train, plan;
};

struct bench {
    const struct bench_options *options;
    const struct watch *watch; /* stopped: what was measured until then is told */
    /* The lists. */
    int n_precisions, n_wanted, n_batches, n_lanes;
    enum precision precisions[LIST_MAX];
    int n_threads[LIST_MAX]; /* [n_wanted] of each device */
    int batches[LIST_MAX];
    int lanes[LIST_MAX]; /* of ticks */

    struct checkpoint *checkpoint;
    int n_devices;
    struct device *devices[LIST_MAX];
    struct trace *trace; /* NULL: none is wanted */
};

/* Reads the lists of options, which are kept, into a bench that has nothing else yet. 0, or -EINVAL,
 * -ENOMEM: the command line is wrong. */
int bench_parse(struct bench *b, const struct bench_options *options, const struct watch *watch,
                struct error *err);
/* Opens what is needed. 0, or what a file or a device is refused with; bench_fini() cleans up after
 * both. */
int bench_init(struct bench *b, struct error *err);
void bench_fini(struct bench *b);

/* Whether another round is due, after so many since start_s of clock_seconds(). */
bool bench_goes_on(const struct bench *b, int n_rounds, double start_s);
/* The end of it, after what was measured has been told: 0, or -ECANCELED where the program was stopped
 * after so many rounds. */
int bench_end(const struct bench *b, int n_rounds, struct error *err);

/* What the first line of a table or the head of a JSON document tells. what: of what is measured; foreign:
 * of machine_load.h. */
void bench_print_head(const struct bench *b, const char *what, double foreign);
/* Prints the document; takes cases, an array. 0 or -ENOMEM. */
int bench_print_json(const struct bench *b, const char *what, double foreign, struct json_t *cases,
                     struct error *err);

#endif
