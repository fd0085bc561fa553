/* Inner products of many vectors with many others, in double, on several threads.
 *
 * Every product is summed in the order of its terms, so results do not depend on the threads.
 */
#ifndef TOOLS_EVAL_PRODUCTS_H
#define TOOLS_EVAL_PRODUCTS_H

#include <stddef.h>

struct error;
struct pool;
struct watch;

enum { PRODUCTS_BLOCK = 32 };

/* Takes finished products: rows [n_rows,n_b] in steps of `stride` numbers, those of the vectors
 * first .. first + n_rows - 1 of a; first is a multiple of PRODUCTS_BLOCK, n_rows at most that.
 * Called once per block, from any thread of the pool, for several blocks at a time. */
typedef void products_consumer(void *arg, int first, int n_rows, const double *rows, size_t stride);

/* a [n_a,d], b [n_b,d]. 0, -ENOMEM or -ECANCELED. */
int products_run(struct pool *pool, const struct watch *watch, const double *a, int n_a,
                 const double *b, int n_b, int d, products_consumer *consume, void *arg,
                 struct error *err);

/* y [n_a,n_b] = a b^T. 0, -ENOMEM or -ECANCELED. */
int products_matrix(struct pool *pool, const struct watch *watch, const double *a, int n_a,
                    const double *b, int n_b, int d, double *y, struct error *err);

#endif
