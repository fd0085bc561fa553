/* The prior of a training set: the moments of the leading eigenmodes of the strongest blur, or, where
 * the corruption is no blur, where the mean image is at t = 1. */
#ifndef MODEL_FIT_PRIOR_FIT_H
#define MODEL_FIT_PRIOR_FIT_H

struct corruption;
struct error;
struct prior;
struct schedule;
struct watch;

/* images [n, side, side, channels] in [0,1]. watch: told of the images, may be NULL.
 * 0, -EINVAL (no images), -ENOMEM, -EIO (LAPACK), -ECANCELED. */
int prior_fit(const struct corruption *c, const struct schedule *s, int side, int channels, int n,
              const float *images, const struct watch *watch, struct prior *out, struct error *err);

#endif
