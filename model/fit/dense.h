/* Square matrices of doubles by rows, [n,n]. Outputs overlap no input but where it is said. */
#ifndef MODEL_FIT_DENSE_H
#define MODEL_FIT_DENSE_H

#include <stdbool.h>

struct error;

/* out = a b, or out += a b. */
void dense_multiply(int n, const double *a, const double *b, bool add, double *out);
/* The same with b^T in the place of b; scratch [n,n]. */
void dense_multiply_transposed(int n, const double *a, const double *b, bool add, double *scratch,
                               double *out);
/* x = a^-1 b for a symmetric positive definite; both are overwritten, b by x. scratch [n,n].
 * 0 or -EIO. */
int dense_solve(int n, double *a, double *b, double *scratch, struct error *err);
/* Eigenvalues of a symmetric matrix, rising; its rows become the vectors. 0, -ENOMEM or -EIO. */
int dense_eigen(int n, double *a, double *values, struct error *err);
/* The root of a symmetric matrix whose eigenvalues are not below 0, but for rounding. scratch: three of
 * [n,n]. 0, -ENOMEM or -EIO. */
int dense_root(int n, const double *a, double *const scratch[3], double *out, struct error *err);

#endif
