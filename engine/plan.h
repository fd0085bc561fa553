/* A plan: a program made ready for one device, one precision and a largest batch.
 *
 * The batch is cut into chunks of `grain` images, and where it does not divide or would leave
 * threads idle, of half as many, and so on down to one. Each chunk runs whole on one thread of the
 * device, in that thread's arena; images that remain, fewer than threads, are run by all threads
 * together. Kernels give an image the same bytes whatever chunk it is in, so it does not matter
 * which images stand beside it. Large chunks read the weights less often, small ones stay in the
 * core's cache.
 *
 * Values live in the arena only from the operation that makes them to the last that reads them;
 * operations whose outputs nothing reads are dropped. Inputs and outputs have memory of their own,
 * for batch_max images. Unbatched outputs (gradients of parameters) are the sum over the images
 * of the run, added up chunk by chunk in a fixed order; with them all chunks have `grain` images,
 * of which the batch must be a multiple.
 *
 * Running a plan allocates nothing.
 * Thread: one run at a time on a device; reading and writing not during a run.
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
    int grain;     /* images of the largest chunks, 1 .. batch_max */
    int n_outputs; /* values to be read after a run */
    const int *outputs;
};

/* p is not kept; parameters are borrowed and must outlive the plan.
 * 0, -EINVAL (a program in error, a parameter missing or of another shape), -ENOTSUP (the device
 * lacks an operation; the text names it), -ENOMEM, -EIO. */
int plan_create(struct device *device, const struct program *p, struct parameters *parameters,
                const struct plan_options *options, struct plan **out, struct error *err);
void plan_destroy(struct plan *plan);

/* Writing an input that no output depends on does nothing.
 *
 * Copies images [first, first + n) of an input (float32, or uint32 for keys; bfloat16 inputs are
 * converted). Unbatched inputs: first 0, n 1. */
int plan_write(struct plan *plan, int value, int first, int n, const void *src, struct error *err);
/* The same for an output of the options, as float32. */
int plan_read(struct plan *plan, int value, int first, int n, void *dst, struct error *err);

/* Runs images [0, n). 0, -EINVAL (n out of range), -EIO. */
int plan_run(struct plan *plan, int n, struct error *err);

/* What a plan does with its largest chunks, step by step, in the order of its running. */
struct plan_step {
    const struct op *op; /* of the plan's own program, after its passes */
    struct shape x, y;   /* the first input and the first output, of one image */
    enum dtype x_type, y_type;
    double products;    /* multiply-adds of one image; 0 where they are not what counts */
    int round, n_parts; /* of the first stage: see struct kernel */
};

int plan_n_steps(const struct plan *plan);
struct plan_step plan_step(const struct plan *plan, int i); /* op: until plan_destroy() */
int plan_n_rounds(const struct plan *plan);
struct passes plan_passes(const struct plan *plan); /* what its passes did */

/* Runs the first chunk on the calling thread alone and takes the time of each step, in seconds.
 * 0 or -EIO. */
int plan_time_steps(struct plan *plan, double *seconds, struct error *err);

enum precision plan_precision(const struct plan *plan); /* never PRECISION_AUTO */
size_t plan_memory_bytes(const struct plan *plan);      /* arenas, inputs and outputs */

#endif
