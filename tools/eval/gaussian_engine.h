/* Gaussian data through the engine itself: a network whose weights are all 0 leaves the linear estimate
 * of model/wiener.h, and what its images vary by must be what model/fit/gaussian.h says of that.
 */
#ifndef TOOLS_EVAL_GAUSSIAN_ENGINE_H
#define TOOLS_EVAL_GAUSSIAN_ENGINE_H

#include "model/fit/gaussian.h"

struct device;
struct error;
struct gaussian_case;
struct gaussian_engine;
struct watch;

struct gaussian_engine_result {
    double bands[GAUSSIAN_BANDS_MAX]; /* variance found in the band, divided by the one foretold */
    double worst;                     /* the largest difference, in standard errors of n images */
};

/* device and c are borrowed. 0, -ENOMEM, -EINVAL (a side that no network has), -EIO. */
int gaussian_engine_create(struct device *device, const struct gaussian_case *c,
                           struct gaussian_engine **out, struct error *err);
void gaussian_engine_destroy(struct gaussian_engine *e);

/* Draws n images with the rows, from q_1. g: of the same case. 0, -EIO, -ENOMEM, -ECANCELED. */
int gaussian_engine_run(struct gaussian_engine *e, struct gaussian *g, int n, int n_rows,
                        const struct sampler_row *rows, const struct watch *watch,
                        struct gaussian_engine_result *out, struct error *err);

#endif
