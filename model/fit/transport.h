/* How far two sets of points are from each other: optimal transport with a little entropy.
 *
 * OT(a, b) = min over couplings P of sum P_ij C_ij + r KL(P | a x b), with C the squared distance of
 * points i and j; the Sinkhorn divergence OT(a, b) - (OT(a, a) + OT(b, b)) / 2 is the squared W2 as
 * r goes to 0, 0 for equal sets, and the square of the way for a set that was moved, whatever r. In
 * the log domain, r falling by halves to its end (Feydy et al. 2019, arXiv:1810.08278; Cuturi 2013,
 * arXiv:1306.0895). It is the estimator of Daras et al. 2023, section 3.3, for corruptions whose best coupling nobody knows.
 */
#ifndef MODEL_FIT_TRANSPORT_H
#define MODEL_FIT_TRANSPORT_H

struct corruption;
struct error;
struct transport;
struct watch;

/* Sets of n points each, with a share of 1/n per point. 0 or -ENOMEM. */
int transport_create(int n, struct transport **out, struct error *err);
void transport_destroy(struct transport *t);

/* OT(a, b) for the squared distances [n,n] of points of a (rows) and b, with r = regularization > 0.
 * Where the rounds end before the shares of all points are right to a hundredth, *unsettled is how
 * far the worst is off, else it stays. Thread: one at a time. */
double transport_cost(struct transport *t, const double *squares, double regularization,
                      double *unsettled);

struct transport_options {
    double regularization; /* r, as a part of the mean square of the distance of two images at the
                              first level; > 0 */
    const struct watch *watch;
};

/* Distances between the laws of C_i x_0 as schedule_distances() has them, without its assumption on
 * C: the root of the Sinkhorn divergence between the images at levels i and j. unsettled: the worst
 * of transport_cost(). 0, -ENOMEM (the images at all levels are held at once), -ECANCELED. */
int transport_distances(const struct corruption *c, int n, int channels, const float *images,
                        int n_levels, const double *levels, const struct transport_options *options,
                        double *out, double *unsettled, struct error *err);

#endif
