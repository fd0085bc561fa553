/* Averages of a training's weights of any length, made afterwards from a few that were stored on the way.
 *
 * The average of a length at step t weighs the weights of step s = 1 .. t by (s^g - (s-1)^g) / t^g: it
 * grows by a power of the time, so that its width is always the same part of it: the length, the standard
 * deviation of s / t, is sqrt(g / ((g+1)^2 (g+2))). As a moving average its decay at step t is
 * ((t-1)/t)^g. Averages of several lengths, stored at several steps, span others: least squares of their
 * weights over all steps says by which factors.
 *
 * Source: Karras et al. 2024 (arXiv:2312.02696), sections 3.1 to 3.2 and appendix C, where g is
 * gamma + 1 and length is sigma_rel. Differs: the weights are those of whole steps, as they are
 * taken, not an integral; and a ridge of 1e-10 keeps factors small where many averages are nearly alike.
 */
#ifndef MODEL_FIT_AVERAGE_FIT_H
#define MODEL_FIT_AVERAGE_FIT_H

#include <stdint.h>

struct error;

/* Lengths that can be had: the shortest, and that of the plain mean but for a little. */
#define AVERAGE_LENGTH_MIN 0.01
#define AVERAGE_LENGTH_MAX 0.28

/* The average's decay at a step, counted from 1. length: within the above. */
double average_decay(double length, uint64_t step);

struct average {
    double length;
    uint64_t step; /* >= 1 */
};

/* factors [n]: by which those that are stored, none later than what is wanted, are to be added up. *miss: what of
 * the wanted one's weights is left, as a part of them, 0 where it is met. 0, -EINVAL (there is none),
 * -ENOMEM or -EIO. */
int average_fit(const struct average *stored, int n, const struct average *wanted, double *factors,
                double *miss, struct error *err);

#endif
