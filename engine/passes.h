/* Passes: a program rewritten into one that computes the same with less work. A plan runs its
 * program through them; networks and gradients are written without thinking of it.
 *
 *   up after     a 1x1 convolution of an image that was just enlarged becomes one of the small
 *                image, enlarged afterwards: a quarter of the products. Resampling works channel by
 *                channel and the convolution pixel by pixel, so they commute; the bias goes last,
 *                because the enlarged border mixes in zeros.
 *   add into     the sum of a convolution and another value, scaled, becomes part of the
 *                convolution, which has the sum in registers.
 *
 * What a rewritten value is read for must be that operation alone. Values keep their numbers.
 */
#ifndef ENGINE_PASSES_H
#define ENGINE_PASSES_H

struct error;
struct program;

struct passes {
    int n_up_after, n_add_into; /* how often each was done */
};

/* outputs: values that are read from outside. *out is the caller's. 0, -ENOMEM, or the error that p
 * is in. */
int passes_run(const struct program *p, int n_outputs, const int *outputs, struct passes *done,
               struct program **out, struct error *err);

#endif
