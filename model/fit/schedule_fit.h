/* The levels of a schedule from images.
 *
 * Path: the shortest path between the laws of C_i x_0 over hops of at most eps (Daras et al. 2023,
 * section 3.3, Eq. 22), eps being such that it has the nodes asked for; schedule_path.h.
 * MSE: the baseline of its appendix C, Eq. 45: the mean square of what the corruption takes away
 * grows as under the noise of a VE diffusion,
 *     mean ||C_t x - x||^2 / mean ||C_1 x - x||^2 = sigma(t)^2 / sigma(1)^2, sigma geometric,
 * both divided by what they are in the end, because noise has no bound and pictures have one.
 * Reconstructed from that sentence, not copied from the equation: the division is ours, and the paper may
 * scale otherwise.
 */
#ifndef MODEL_FIT_SCHEDULE_FIT_H
#define MODEL_FIT_SCHEDULE_FIT_H

struct corruption;
struct error;
struct watch;

enum schedule_rule { SCHEDULE_RULE_PATH, SCHEDULE_RULE_MSE };

/* How far the laws of two levels are from each other. */
enum schedule_estimator {
    SCHEDULE_ESTIMATOR_IDENTITY,  /* schedule_distances(): for corruptions whose levels commute */
    SCHEDULE_ESTIMATOR_TRANSPORT, /* transport_distances(): for any */
};

struct schedule_fit_options {
    enum schedule_rule rule;
    enum schedule_estimator estimator; /* of the path */
    int n_levels;                      /* wanted, >= 2 */
    int n_candidates;                  /* to choose from, >= n_levels: in geometric progression from
                                          level_min to level_max, equally spaced between them for
                                          matrices, or where levels fall from all to nothing, as
                                          those of a mask */
    double level_min, level_max;       /* not read where levels fall */
    double ve_sigma_min, ve_sigma_max; /* of the MSE: the ends of sigma */
    const struct watch *watch;         /* may be NULL */
};

struct schedule_fit_report {
    double eps;       /* of the path: the longest hop allowed */
    double length;    /* and the sum of its hops */
    double unsettled; /* transport_distances(): how far the worst coupling is off; 0: none is */
};

/* images [n,h,w,channels] in [0,1]; levels: n_levels. 0, -ENOENT (no eps gives a path of so many
 * nodes), -EINVAL (the corruption changes nothing on the way), -ENOMEM, -ECANCELED. */
int schedule_fit(const struct corruption *c, int n, int channels, const float *images,
                 const struct schedule_fit_options *options, double *levels,
                 struct schedule_fit_report *report, struct error *err);

#endif
