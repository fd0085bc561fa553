/* The modes of pictures that a solver is tuned on (solver_fit.h): what of each a corruption leaves, by
 * itself.
 *
 * Waves of a cosine transform, with C taken for its diagonal among them: exact for scalars and blur-dct.
 * Pixelate leaves or wipes out Haar's wavelets, each by itself; of a wave it wipes out a part and leaves
 * the rest for ever, which is another thing to a sampler: its finest band came out 15 % too faint at 8
 * to 11 steps. So its modes are wavelets, as far as coarser ones do not tell them. A scale of them comes
 * within 1 of its levels, where it needs two steps: with fewer than that no table suits them, and those
 * made for waves are nearer.
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
