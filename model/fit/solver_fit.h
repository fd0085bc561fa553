/* Tables of the sampler `tuned` (model/sampling.h): times and trends of a few steps, chosen so that
 * Gaussian data come out with the right variance in every mode. No network is needed: with an exact
 * denoiser each mode is a chain of numbers, which takes milliseconds to try.
 *
 * Modes are those of solver_modes.h: exact for scalars, and within two percent of a band's variance for
 * blurs and pixelate, as gaussian.h tells of the tables that come out.
 */
#ifndef MODEL_FIT_SOLVER_FIT_H
#define MODEL_FIT_SOLVER_FIT_H

struct corruption;
struct error;
struct schedule;
struct solver;
struct watch;

enum { SOLVER_FIT_NFE_MAX = 64 };

struct solver_fit_options {
    int nfe;       /* 1 .. SOLVER_FIT_NFE_MAX */
    double target; /* variance wanted, divided by the right one: 1 for exact steps */
    double
        noise; /* rate at which noise is renewed: in a time dt all but exp(-noise dt) of it; 0: the
                      sampler draws none */
};

/* How the modes come out by that account. */
struct solver_fit_report {
    double lowest, highest; /* variance of a mode, divided by the right one */
};

/* Of images [side,side] with this spectrum (spectrum.h). out: sampling_fini() its owner. watch may be
 * NULL. 0, -EINVAL (options out of range), -ENOTSUP (a mask leaves no mode to itself; pixelate of large images),
 * -ENOMEM, -EIO (LAPACK), -ECANCELED. */
int solver_fit(const struct corruption *c, const struct schedule *s, int side,
               const double *spectrum, const struct solver_fit_options *options,
               const struct watch *watch, struct solver *out, struct solver_fit_report *report,
               struct error *err);

#endif
