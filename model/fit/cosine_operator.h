/* A corruption among the coefficients of a cosine transform: what C(level) does to the modes of an
 * image of one channel. With c = D X D^T (D of model/wiener.h) and modes numbered i side + j, the
 * modes of C X are M c; scalars leave modes alone, blurs mix those of one parity, masks all.
 */
#ifndef MODEL_FIT_COSINE_OPERATOR_H
#define MODEL_FIT_COSINE_OPERATOR_H

struct corruption;
struct cosine_operator;
struct error;

/* c: of images [side,side], borrowed. 0, -ENOTSUP (a product) or -ENOMEM. */
int cosine_operator_create(const struct corruption *c, int side, struct cosine_operator **out,
                           struct error *err);
void cosine_operator_destroy(struct cosine_operator *o);

/* M, [side^2, side^2] by rows. Thread: one at a time, as below. */
void cosine_operator_matrix(struct cosine_operator *o, double level, double *out);

/* How much of mode (i, j) stays in it, the diagonal of M, for n modes [n,2]. */
void cosine_operator_kept(struct cosine_operator *o, double level, int n, const int *modes,
                          double *out);

#endif
