/* The modes of pictures that a solver is tuned on (solver_fit.h): what of each a corruption leaves, by
 * itself.
 *
 * Waves of a cosine transform, with C taken for its diagonal among them: exact for scalars and blur-dct.
 * Pixelate leaves or wipes out Haar's wavelets, each by itself; of a wave it wipes out a part and leaves
 * the rest for ever, which is another thing to a sampler: its finest band came out 15 % too faint at 8
 * to 11 steps. So its modes are wavelets, as far as coarser ones do not tell them. A scale of them comes
 * within 1 of its levels, where it needs two steps: with fewer than that no table suits them, and those
 * made for waves are nearer.
 *
 * Masks have no such modes. Taken pixel by pixel, as far as those seen before do not tell it, 8 steps come
 * to variances of 0.6 to 1.8 by that account, and in truth leave a tenth of the coarsest band: pixels that
 * are uncovered together come out too much alike. That is no law of nature: with the covariance of all
 * pixels, and noise renewed, 8 steps can be tuned to a W2 of 0.14 at 6 px, where sde-2m has 0.32 and pf-2m
 * 0.85 (without noise 0.59). But a trial then takes the number of pixels cubed for every step, a thousand
 * times what it takes here at 8 px and hours at 32, and a table that is tuned on smaller pictures loses
 * what it gained as they grow: W2 is 9 % of the pictures' size at 6 px, 18 % at 16.
 */
#ifndef MODEL_FIT_SOLVER_MODES_H
#define MODEL_FIT_SOLVER_MODES_H

struct corruption;
struct error;
struct schedule;

enum { SOLVER_MODES_AXIS_MAX = 16 };
enum { SOLVER_MODES_MAX = SOLVER_MODES_AXIS_MAX * (SOLVER_MODES_AXIS_MAX + 1) / 2 };

struct solver_modes {
    int n;
    double spectrum[SOLVER_MODES_MAX]; /* their variances */
    double
        weight[SOLVER_MODES_MAX]; /* every band of frequency weighs the same; squares add up to 1 */
    double *kept;                 /* [n_times, n] of C at t = i / (n_times - 1), owned */
};

/* Of images [side,side] with this spectrum (spectrum.h), for tables of nfe steps. 0, -ENOTSUP (there are
 * no such modes), -ENOMEM or -EIO (LAPACK). */
int solver_modes_create(const struct corruption *c, const struct schedule *s, int side,
                        const double *spectrum, int nfe, int n_times, struct solver_modes *out,
                        struct error *err);
void solver_modes_fini(struct solver_modes *m);

#endif
