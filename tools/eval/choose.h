/* Which sampler, number of evaluations and excess suit a network: every combination of a grid is drawn
 * and measured against real pictures in two feature spaces that know nothing of each other, by the
 * power of its bands and by what it cuts off. No number alone decides: a combination is as good as the
 * sum of its ranks in the four.
 */
#ifndef TOOLS_EVAL_CHOOSE_H
#define TOOLS_EVAL_CHOOSE_H

#include "engine/device.h"
#include "model/sampler.h"

#include <stdbool.h>
#include <stdint.h>

struct checkpoint;
struct error;
struct feature_network;
struct json_t;
struct sets_options;
struct watch;

enum { CHOOSE_LIST_MAX = 16, CHOOSE_ROWS_MAX = 128 };

/* Measures, the smaller the better. */
enum choose_measure {
    CHOOSE_KID,     /* kernel distance of SqueezeNet's features */
    CHOOSE_SECOND,  /* the same of a second network's, or of gist.h */
    CHOOSE_POWER,   /* appearance_difference() */
    CHOOSE_CLIPPED, /* how far the share of clipped numbers is from the real one */
    CHOOSE_MEASURES
};

struct choose_row {
    enum sampler sampler;
    int nfe;
    double excess;
    double measures[CHOOSE_MEASURES];
    int rank; /* sum over the measures of how many rows are better */
};

struct choose_options {
    const char *reference; /* real pictures (source.h), or what was kept of some */
    const char *keep;      /* file that keeps what is known of them (look.h), or NULL */
    const struct feature_network *second; /* NULL: gist.h */
    int n_samplers, n_nfes, n_excesses;
    enum sampler samplers[SAMPLERS];
    int nfes[CHOOSE_LIST_MAX];        /* of `tuned` those that have tables */
    double excesses[CHOOSE_LIST_MAX]; /* of samplers that renew noise; others have 0 */
    int n;                            /* pictures of each, >= 2 */
    uint64_t seed;                    /* of the first */
    enum precision precision;
    const struct watch *watch;
};

/* Fills the ranks; returns the best row: of equal ones the one with fewer evaluations, then the one
 * before. n >= 1. */
int choose_rank(int n, struct choose_row *rows);

/* Draws and measures with the checkpoint, prints a line for each row, and makes the best one the
 * defaults of c, with all rows as the member "choose" of its evidence.
 * 0, -EINVAL (no row, too many, a reference of one picture), -ECANCELED, or the error of a part. */
int choose_run(const struct choose_options *o, struct sets_options *sets, struct checkpoint *c,
               struct error *err);

#endif
