/* What a sampler makes of Gaussian data when its denoiser makes no mistake: how far the steps alone
 * lead away from the data, whatever network is trained.
 *
 * Images of one channel have independent modes of a cosine transform, N(0, spectrum). Then
 * h = E[x_0 | x_t] = S C^T (C S C^T + sigma^2)^-1 x_t, a row of a sampler (model/sampler.h) is linear in
 * (x, m, eta), and the joint covariance of x and m is carried through all of them in double. It
 * starts from q_1 itself, and is compared with what infinitely fine steps return, which is the law
 * of E[x_0 | x_t] at the least noise of the schedule: that of the data but for what is fainter than
 * this noise. Means stay right by themselves where the start is, and are left out.
 */
#ifndef MODEL_FIT_GAUSSIAN_H
#define MODEL_FIT_GAUSSIAN_H

#include "model/sampler.h"

struct corruption;
struct error;
struct gaussian;
struct schedule;
struct watch;
struct wiener;

/* Band b has the modes (i, j) with max(i, j) from 2^(b-1) to 2^b - 1, band 0 the mean alone. */
enum { GAUSSIAN_BANDS_MAX = 12 };

struct gaussian_result {
    int n_bands;
    double bands[GAUSSIAN_BANDS_MAX]; /* variance in the band, divided by the right one */
    double total;                     /* of all bands */
    double distance;                  /* W2 to the right law, in the unit of x over a whole image */
};

int gaussian_n_bands(int side);
int gaussian_band(int i, int j); /* of a mode */

/* c, of images [side,side], and s are borrowed; spectrum [side,side] > 0 is copied.
 * 0, -ENOTSUP (a product), -ENOMEM, -EIO (LAPACK). */
int gaussian_create(const struct corruption *c, const struct schedule *s, int side,
                    const double *spectrum, struct gaussian **out, struct error *err);
void gaussian_destroy(struct gaussian *g);

/* Carries q_1 through the rows. estimate: NULL, the exact denoiser, else the linear estimate of a
 * model (one channel, zero mean) instead. variances: NULL, or gets those of all modes [side,side].
 * Of modes that C mixes it takes memory and time like their number squared and cubed: with 64
 * pixels a side for scalars only. 0, -EIO (LAPACK), -ECANCELED. Thread: one at a time. */
int gaussian_run(struct gaussian *g, int n_rows, const struct sampler_row *rows,
                 const struct wiener *estimate, const struct watch *watch,
                 struct gaussian_result *out, double *variances, struct error *err);

#endif
