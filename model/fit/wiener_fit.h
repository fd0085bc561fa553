/* The tables of the best linear estimate (wiener.h) of a training set. */
#ifndef MODEL_FIT_WIENER_FIT_H
#define MODEL_FIT_WIENER_FIT_H

struct corruption;
struct error;
struct schedule;
struct watch;
struct wiener;

/* images [n, side, side, channels] in [0,1], n >= 2; a few hundred suffice, and of more than 1,000
 * the first are taken. watch: told of the times of the tables, may be NULL. 0, -EINVAL, -ENOMEM, -EIO
 * (LAPACK), -ECANCELED. */
int wiener_fit(const struct corruption *c, const struct schedule *s, int side, int channels, int n,
               const float *images, const struct watch *watch, struct wiener *out,
               struct error *err);

#endif
