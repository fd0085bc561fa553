#include "model/fit/dense.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "model/fit/lapack.h"

void dense_multiply(int n, const double *restrict a, const double *restrict b, bool add,
                    double *restrict out)
{
    size_t width = (size_t)n;

    if (!add)
        memset(out, 0, width * width * sizeof(*out));
    for (size_t i = 0; i < width; i++) {
        for (size_t k = 0; k < width; k++) {
            double weight = a[i * width + k];

            if (weight == 0)
                continue;
            for (size_t j = 0; j < width; j++)
                out[i * width + j] += weight * b[k * width + j];
        }
    }
}

static void transpose(int n, const double *a, double *out)
{
    size_t width = (size_t)n;

    for (size_t i = 0; i < width; i++) {
        for (size_t j = 0; j < width; j++)
            out[j * width + i] = a[i * width + j];
    }
}

void dense_multiply_transposed(int n, const double *a, const double *b, bool add, double *scratch,
                               double *out)
{
    transpose(n, b, scratch);
    dense_multiply(n, a, scratch, add, out);
}

int dense_solve(int n, double *a, double *b, double *scratch, struct error *err)
{
    int info = 0;

    transpose(n, b, scratch); /* LAPACK's columns */
    dposv_("U", &n, &n, a, &n, scratch, &n, &info, 1);
    if (info != 0)
        return error_set(err, -EIO, "a covariance of %d modes cannot be inverted", n);
    transpose(n, scratch, b);
    return 0;
}

int dense_eigen(int n, double *a, double *values, struct error *err)
{
    int work_size = 34 * n, info = 0;
    double *work = malloc((size_t)work_size * sizeof(*work));

    if (!work)
        return error_set(err, -ENOMEM, "out of memory for the directions of %d modes", n);
    dsyev_("V", "U", &n, a, &n, values, work, &work_size, &info, 1, 1);
    free(work);
    if (info != 0)
        return error_set(err, -EIO, "a covariance of %d modes has no directions", n);
    return 0;
}

int dense_root(int n, const double *a, double *const scratch[3], double *out, struct error *err)
{
    double *values = scratch[0], *vectors = scratch[1], *scaled = scratch[2];
    size_t bytes = (size_t)n * (size_t)n * sizeof(double);
    int rc;

    memcpy(vectors, a, bytes);
    rc = dense_eigen(n, vectors, values, err);
    if (rc < 0)
        return rc;
    for (int i = 0; i < n * n; i++)
        scaled[i] = vectors[i] * sqrt(fmax(values[i / n], 0));
    /* sum over vectors v: v^T root(value) v */
    memset(out, 0, bytes);
    for (int v = 0; v < n; v++) {
        for (int i = 0; i < n; i++) {
            for (int j = 0; j < n; j++)
                out[i * n + j] += vectors[v * n + i] * scaled[v * n + j];
        }
    }
    return 0;
}
