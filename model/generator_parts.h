/* What the files of a generator share; others use generator.h. */
#ifndef MODEL_GENERATOR_PARTS_H
#define MODEL_GENERATOR_PARTS_H

#include "model/generator.h"
#include "model/step.h"

enum lane_state { LANE_FREE, LANE_BUSY, LANE_PARKED };

/* An image and where it stands. */
struct lane {
    enum lane_state state;
    uint64_t serial; /* of the submission, from 1 */
    uint64_t id, seed;
    int n, position; /* evaluations, and how many are done */
    bool fresh;      /* its start is still to come */
    bool started;    /* from a picture, not x_1 */
    bool flying;     /* in the tick that runs */
    bool previews;
    bool mixed;
    uint64_t seed_b;
    double mix;
    struct step_lead lead;    /* its a: in blur */
    struct sampler_row *rows; /* [nfe_max] */
    float *blur;              /* [side] weights of distance, for restoration; NULL without */
};

/* What a row of an inbox holds. */
struct note {
    uint64_t serial; /* 0: nothing */
    int position;
};

struct generator {
    const struct formulation *formulation;
    struct evaluation *evaluation;
    int busy_max, nfe_max, n_busy, n_parked;
    uint64_t n_submitted;
    int n_lanes;
    struct lane *lanes;       /* [n_lanes], of which at most busy_max are busy */
    struct sampler_row *rows; /* all lanes' */
    float *blurs;             /* all lanes'; NULL without restoration */
    float *ones;              /* [side,side], likewise */
    int n_flying;
    int *flying;            /* [busy_max] lanes by row */
    bool *finishes, *shows; /* [busy_max] of each row: it is the last; its prediction is wanted */
    int filling;            /* the inbox that is filled next */
    struct note *notes[2];  /* [busy_max] each */
    struct generator_times times;
    struct tick_trace *trace; /* NULL: none */
};

int lane_evaluations_left(const struct lane *lane);
void lane_free(struct generator *g, struct lane *lane); /* of one that is busy or parked */

#endif
