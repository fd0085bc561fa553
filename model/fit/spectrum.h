/* How strong the modes of pictures are: the variances of the cosine transform of one channel, what
 * Gaussian data is made of (gaussian.h).
 */
#ifndef MODEL_FIT_SPECTRUM_H
#define MODEL_FIT_SPECTRUM_H

struct corruption;
struct error;
struct schedule;
struct wiener;

/* The variances [side,side] of pictures in general: falling with the square of the frequency, 0.06 a
 * pixel in all (0.25 of its range squared). */
void spectrum_of_pictures(int side, double *out);
/* Those that a linear estimate was fitted to, of its first direction of colour: what G says where the
 * corruption has not begun. side: of the estimate; s and c of its model. 0 or -ENOMEM. */
int spectrum_of_estimate(const struct wiener *w, const struct corruption *c,
                         const struct schedule *s, double *out, struct error *err);

#endif
