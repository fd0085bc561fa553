/* A program ready to be run in a test: its plan, the state it names, and an executor.
 *
 * Weights are set between planned_take_weights() and planned_put_weights(), also before plans are made.
 */
#ifndef TESTS_PLANNED_H
#define TESTS_PLANNED_H

#include "engine/plan.h"

struct executor;
struct state;

struct planned {
    struct plan *plan;
    struct state *state; /* of 8 slots */
    bool borrowed;       /* the state is another's */
    struct executor *executor;
};

enum { PLANNED_SLOTS = 8 };

/* As plan_create(). */
int planned_create(struct device *device, const struct program *p, struct parameters *parameters,
                   const struct plan_options *options, struct planned **out, struct error *err);
/* The same with the state of another, which must outlive it. */
int planned_create_beside(struct device *device, const struct program *p,
                          struct parameters *parameters, const struct plan_options *options,
                          struct planned *other, struct planned **out, struct error *err);
void planned_destroy(struct planned *planned);

/* As executor_write(), executor_run() and executor_read(). */
int planned_write(struct planned *planned, int value, int first, int n, const void *src,
                  struct error *err);
int planned_run(struct planned *planned, int n, struct error *err);
int planned_read(struct planned *planned, int value, int first, int n, float *dst,
                 struct error *err);

/* All weights, which are kept from now on, to be changed; NULL without memory. */
float *planned_take_weights(struct parameters *parameters);
/* Puts them where plans read them, and frees the array. 0, -ENOMEM or -EIO. */
int planned_put_weights(struct parameters *parameters, float *weights);

#endif
