/* The routines of LAPACK that fitting calls: column-major, in place. The trailing lengths of
 * character arguments are gfortran's.
 */
#ifndef MODEL_FIT_LAPACK_H
#define MODEL_FIT_LAPACK_H

#include <stddef.h>

/* Eigenvalues of a symmetric matrix, rising, and its eigenvectors as columns of a. */
void dsyev_(const char *job, const char *part, const int *n, double *a, const int *lda,
            double *values, double *work, const int *work_size, int *info, size_t job_length,
            size_t part_length);

/* Cholesky factor of a positive definite matrix. */
void dpotrf_(const char *part, const int *n, double *a, const int *lda, int *info,
             size_t part_length);

/* The same of a semidefinite one, largest pivots first: of a with rows and columns in the order pivots
 * [n], which count from 1. rank: of a, by a tolerance; < 0: one of rounding. work: [2 n]. */
void dpstrf_(const char *part, const int *n, double *a, const int *lda, int *pivots, int *rank,
             const double *tolerance, double *work, int *info, size_t part_length);

/* Solves a x = b for positive definite a, columns of b in place. */
void dposv_(const char *part, const int *n, const int *columns, double *a, const int *lda,
            double *b, const int *ldb, int *info, size_t part_length);

#endif
