/* A plan: a program compiled for one device, one precision and a largest batch. It is data: steps,
 * their kernels and where their operands lie. Executors (engine/executor.h) run it.
 *
 * A plan holds one cut per size that the device asks for: the steps for that many images at once.
 * Kernels give an image the same bytes whatever cut it is in, so it does not matter which images
 * stand beside it. Values live in the arena of a cut only from the operation that makes them to the
 * last that reads them; operations whose outputs nothing reads are dropped, unless they write state.
 *
 * An output that is unbatched, the gradient of a parameter, is the sum over the images of a run.
 */
#ifndef ENGINE_PLAN_H
#define ENGINE_PLAN_H

#include "engine/device.h"
#include "engine/passes.h"

struct parameters;
struct plan;
struct program;

struct plan_options {
    enum precision precision;
    int batch_max; /* images per run, >= 1 */
    int size;      /* images of the largest cut, 1 .. batch_max; 0: the device knows best */
    int whole; /* images of the batch that runs of batch_max are the parts of; 0: batch_max. Sums
                      then have the chunks that they have in a run of it all, where they can */
    int n_outputs; /* values to be read after a run */
    const int *outputs;
};

/* p is not kept; parameters are borrowed and must outlive the plan.
 * 0, -EINVAL (a program in error, a parameter missing or of another shape, an output or a state that is
 * made of no image in a plan for several), -ENOTSUP (the device lacks an operation; the text names it),
 * -ENOMEM, -EIO. */
int plan_create(struct device *device, const struct program *p, struct parameters *parameters,
                const struct plan_options *options, struct plan **out, struct error *err);
void plan_destroy(struct plan *plan);

/* What a plan does in its largest cut, step by step, in the order of its running. */
struct plan_step {
    const struct op *op; /* of the plan's own program, after its passes */
    struct shape x, y;   /* the first input and the first output, of one image */
    enum dtype x_type, y_type;
    double products;    /* multiply-adds of one image; 0 where they are not what counts */
    int round, n_parts; /* of the first stage: see struct kernel */
    bool joined;        /* the device runs it in one launch with the step before */
};

int plan_n_steps(const struct plan *plan);
struct plan_step plan_step(const struct plan *plan, int i); /* op: until plan_destroy() */
/* What a step's kernel was made from; the device chose the algorithm. */
void plan_step_spec(const struct plan *plan, int i, struct kernel_spec *out);
int plan_n_rounds(const struct plan *plan);
/* Of the steps of the largest cut: as many as there are, or fewer where the device joins some. */
int plan_n_launches(const struct plan *plan);
struct passes plan_passes(const struct plan *plan); /* what its passes did */
int plan_size(const struct plan *plan);             /* images of the largest cut */
int plan_batch_max(const struct plan *plan);
enum precision plan_precision(const struct plan *plan); /* never PRECISION_AUTO */

#endif
