/* What a trainer consists of, for the files that are it; others use trainer.h. */
#ifndef TOOLS_TRAIN_TRAINER_PARTS_H
#define TOOLS_TRAIN_TRAINER_PARTS_H

#include "model/objective.h"
#include "model/update.h"
#include "tools/train/trainer.h"

enum { BALANCE_TIMES = 33 };

struct trainer {
    const struct formulation *formulation;
    struct communicator *communicator;
    struct optimizer_options options;
    int batch;
    int share; /* images of the batch that this rank has ... */
    int part;  /* ... and that one run has */
    struct parameters *parameters;
    struct state *state;
    struct objective objective;
    int gradient; /* state of the objective's program */
    struct plan *plan;
    struct executor *executor;
    struct update update;
    struct plan *update_plan;
    struct executor *update_executor;
    float *losses;     /* [batch] */
    double look_ahead; /* largest of the examples */
    double augment;    /* probability, augmentation.h ... */
    float *image;      /* ... and the image before it */
    uint64_t written;  /* the step whose first part is in the inbox already, plus 1; 0: none */
    double balance[BALANCE_TIMES]; /* losses at equally spaced times; 1: not balanced */
};

/* Adds what images [first, first + t->part) of a batch give to the gradient, and leaves their losses in
 * their place; meanwhile writes the part that begins at next_first of another batch (or of this one) for
 * the next run, unless next is NULL. is_written: this part was written so. Adds to the times of the report.
 * 0 or -EIO. */
int trainer_run_part(struct trainer *t, const struct dataset *d, const struct example *examples,
                     int first, bool is_written, const struct example *next, int next_first,
                     struct trainer_report *report, struct error *err);

/* The first half of a step: the gradient of this rank's share, and the losses of all. */
int trainer_run_batch(struct trainer *t, const struct dataset *d, const struct example *examples,
                      const struct example *next, uint64_t step, struct trainer_report *report,
                      struct error *err);

#endif
