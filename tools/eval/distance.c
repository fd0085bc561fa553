#include "tools/eval/distance.h"
#include "engine/base/error.h"
#include "model/fit/lapack.h"
#include "tools/eval/products.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MOMENTS_CHUNK = 4096 }; /* vectors whose covariance is summed at a time: bounds memory */

static int no_memory(struct error *err)
{
    return error_set(err, -ENOMEM, "out of memory measuring a distance");
}

int distance_moments(struct pool *pool, const struct watch *watch, const double *x, int n, int d,
                     double *mean, double *covariance, struct error *err)
{
    const size_t width = (size_t)d, cells = width * width;
    double *centred = malloc(width * MOMENTS_CHUNK * sizeof(*centred)); /* [d,chunk] */
    double *part = malloc(cells * sizeof(*part));
    int rc = 0;

    if (!centred || !part) {
        rc = no_memory(err);
        goto out;
    }
    for (size_t j = 0; j < width; j++)
        mean[j] = 0;
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t j = 0; j < width; j++)
            mean[j] += x[i * width + j];
    for (size_t j = 0; j < width; j++)
        mean[j] /= n;

    for (size_t i = 0; i < cells; i++)
        covariance[i] = 0;
    for (int first = 0; first < n && rc == 0; first += MOMENTS_CHUNK) {
        const int count = n - first < MOMENTS_CHUNK ? n - first : MOMENTS_CHUNK;

        for (size_t i = 0; i < (size_t)count; i++)
            for (size_t j = 0; j < width; j++)
                centred[j * (size_t)count + i] = x[((size_t)first + i) * width + j] - mean[j];
        rc = products_matrix(pool, watch, centred, d, centred, d, count, part, err);
        for (size_t i = 0; i < cells && rc == 0; i++)
            covariance[i] += part[i] / (n - 1);
    }

out:
    free(centred);
    free(part);
    return rc;
}

/* Eigenvalues of the symmetric a [d,d], rising; a is overwritten. */
static int eigenvalues(double *a, int d, double *values, struct error *err)
{
    int info, work_size = 64 * d;
    double *work = malloc((size_t)work_size * sizeof(*work));

    if (!work)
        return no_memory(err);
    dsyev_("N", "U", &d, a, &d, values, work, &work_size, &info, 1, 1);
    free(work);
    if (info != 0)
        return error_set(err, -EIO, "a covariance has no eigenvalues that can be found");
    return 0;
}

/* root [*rank,d] with a = root^T root, by Cholesky's factors of a, which is overwritten: what rounding
 * leaves of a covariance of fewer vectors than it has rows is cut off. */
static int square_root(double *a, int d, double *root, int *rank, struct error *err)
{
    const size_t width = (size_t)d;
    const double tolerance = -1;
    int *pivots = malloc(width * sizeof(*pivots)), info;
    double *work = malloc(2 * width * sizeof(*work));
    int rc = pivots && work ? 0 : no_memory(err);

    if (rc == 0) {
        dpstrf_("L", &d, a, &d, pivots, rank, &tolerance, work, &info, 1);
        if (info < 0)
            rc = error_set(err, -EIO, "a covariance has no root that can be found");
    }
    for (int k = 0; k < *rank && rc == 0; k++)
        for (int i = 0; i < d; i++) /* column k of the factor, whose upper half is not of it */
            root[(size_t)k * width + (size_t)(pivots[i] - 1)] =
                i < k ? 0 : a[(size_t)k * width + (size_t)i];
    free(pivots);
    free(work);
    return rc;
}

int distance_frechet(struct pool *pool, const struct watch *watch, int d, const double *mean_a,
                     const double *covariance_a, const double *mean_b, const double *covariance_b,
                     double *out, struct error *err)
{
    const size_t width = (size_t)d, cells = width * width;
    double *a = malloc(cells * sizeof(*a)), *root = malloc(cells * sizeof(*root));
    double *values = malloc(width * sizeof(*values));
    double distance = 0;
    int rank = 0, rc = a && root && values ? 0 : no_memory(err);

    if (rc < 0)
        goto out;
    for (size_t i = 0; i < width; i++) {
        double shift = mean_a[i] - mean_b[i];

        distance += shift * shift + covariance_a[i * width + i] + covariance_b[i * width + i];
    }
    if (!isfinite(distance)) { /* a covariance is bounded by its diagonal */
        rc = error_set(err, -ERANGE, "the features are not finite");
        goto out;
    }
    memcpy(a, covariance_a, cells * sizeof(*a));
    rc = square_root(a, d, root, &rank, err);
    if (rc == 0) /* B is symmetric: its rows are its columns */
        rc = products_matrix(pool, watch, root, rank, covariance_b, d, d, a, err);
    if (rc < 0)
        goto out;
    {
        double *inner = malloc(((size_t)rank * (size_t)rank + 1) * sizeof(*inner));

        rc = inner ? products_matrix(pool, watch, a, rank, root, rank, d, inner, err)
                   : no_memory(err);
        if (rc == 0 && rank > 0)
            rc = eigenvalues(inner, rank, values, err);
        free(inner);
    }
    if (rc < 0)
        goto out;
    for (int i = 0; i < rank; i++)
        distance -= 2 * sqrt(fmax(values[i], 0));
    *out = distance;

out:
    free(a);
    free(root);
    free(values);
    return rc;
}

/* Sums of the kernel, one per block of products, so that the order of adding them up is fixed. */
struct kernel_sums {
    double *sums;
    int n_columns, d;
    bool within; /* leave out the products of vectors with themselves */
};

static void sum_kernel(void *arg, int first, int n_rows, const double *rows, size_t stride)
{
    const struct kernel_sums *k = arg;
    double sum = 0;

    for (int i = 0; i < n_rows; i++) {
        for (int j = 0; j < k->n_columns; j++) {
            double base = rows[(size_t)i * stride + (size_t)j] / k->d + 1;

            if (!k->within || first + i != j)
                sum += base * base * base;
        }
    }
    k->sums[first / PRODUCTS_BLOCK] = sum;
}

static int kernel_sum(struct pool *pool, const struct watch *watch, const double *x, int n,
                      const double *y, int m, int d, bool within, double *out, struct error *err)
{
    const int n_blocks = (n + PRODUCTS_BLOCK - 1) / PRODUCTS_BLOCK;
    struct kernel_sums k = {calloc((size_t)n_blocks, sizeof(*k.sums)), m, d, within};
    double sum = 0;
    int rc =
        k.sums ? products_run(pool, watch, x, n, y, m, d, sum_kernel, &k, err) : no_memory(err);

    if (rc == 0) {
        for (int i = 0; i < n_blocks; i++)
            sum += k.sums[i];
        *out = sum;
    }
    free(k.sums);
    return rc;
}

int distance_kernel_within(struct pool *pool, const struct watch *watch, const double *x, int n,
                           int d, double *out, struct error *err)
{
    double sum;
    int rc = kernel_sum(pool, watch, x, n, x, n, d, true, &sum, err);

    if (rc == 0)
        *out = sum / n / (n - 1);
    return rc;
}

int distance_kernel_between(struct pool *pool, const struct watch *watch, const double *x, int n,
                            const double *y, int m, int d, double *out, struct error *err)
{
    double sum;
    int rc = kernel_sum(pool, watch, x, n, y, m, d, false, &sum, err);

    if (rc == 0)
        *out = sum / n / m;
    return rc;
}

/* Sums of the kernel of a row of products, without that of a vector with itself. */
struct kernel_rows {
    double *sums; /* [n] */
    int n_columns, d;
    bool within;
};

static void sum_rows(void *arg, int first, int n_rows, const double *rows, size_t stride)
{
    const struct kernel_rows *k = arg;

    for (int i = 0; i < n_rows; i++) {
        double sum = 0;

        for (int j = 0; j < k->n_columns; j++) {
            double base = rows[(size_t)i * stride + (size_t)j] / k->d + 1;

            if (!k->within || first + i != j)
                sum += base * base * base;
        }
        k->sums[first + i] = sum;
    }
}

/* How far the vectors of x are from those of y on the mean, less how far from one another: the mean over
 * x, and its variance. */
static int kernel_side(struct pool *pool, const struct watch *watch, const double *x, int n,
                       const double *y, int m, int d, double *mean, double *variance,
                       struct error *err)
{
    double *within = malloc((size_t)n * sizeof(*within));
    double *between = malloc((size_t)n * sizeof(*between));
    struct kernel_rows k = {within, n, d, true};
    int rc = within && between ? products_run(pool, watch, x, n, x, n, d, sum_rows, &k, err)
                               : no_memory(err);

    k = (struct kernel_rows){between, m, d, false};
    if (rc == 0)
        rc = products_run(pool, watch, x, n, y, m, d, sum_rows, &k, err);
    if (rc == 0) {
        *mean = *variance = 0;
        for (int i = 0; i < n; i++) {
            within[i] = within[i] / (n - 1) - between[i] / m;
            *mean += within[i] / n;
        }
        for (int i = 0; i < n; i++)
            *variance += (within[i] - *mean) * (within[i] - *mean) / (n - 1);
    }
    free(within);
    free(between);
    return rc;
}

int distance_kernel(struct pool *pool, const struct watch *watch, const double *x, int n,
                    const double *y, int m, int d, double *out, double *error, struct error *err)
{
    double mean[2], variance[2];
    int rc = kernel_side(pool, watch, x, n, y, m, d, &mean[0], &variance[0], err);

    if (rc == 0)
        rc = kernel_side(pool, watch, y, m, x, n, d, &mean[1], &variance[1], err);
    if (rc == 0) {
        *out = mean[0] + mean[1];
        *error = 2 * sqrt(variance[0] / n + variance[1] / m);
    }
    return rc;
}

/* Squares of lengths and of distances: |x|^2 + |y|^2 - 2 x.y. */
struct neighbours {
    const double *x_squares, *y_squares;
    int m;
    double *radius; /* [m] squares; made by find_radius, read by find_covered */
    bool *covered;  /* [n] */
};

static void find_radius(void *arg, int first, int n_rows, const double *rows, size_t stride)
{
    const struct neighbours *s = arg;

    for (int i = 0; i < n_rows; i++) {
        double nearest[DISTANCE_NEIGHBOUR] = {INFINITY, INFINITY, INFINITY}; /* rising */

        for (int j = 0; j < s->m; j++) {
            double square = s->y_squares[first + i] + s->y_squares[j] -
                            2 * rows[(size_t)i * stride + (size_t)j];
            int place = DISTANCE_NEIGHBOUR - 1;

            if (first + i == j || square >= nearest[place])
                continue;
            for (; place > 0 && nearest[place - 1] > square; place--)
                nearest[place] = nearest[place - 1];
            nearest[place] = square;
        }
        s->radius[first + i] = fmax(nearest[DISTANCE_NEIGHBOUR - 1], 0);
    }
}

static void find_covered(void *arg, int first, int n_rows, const double *rows, size_t stride)
{
    const struct neighbours *s = arg;

    for (int i = 0; i < n_rows; i++) {
        bool covered = false;

        for (int j = 0; j < s->m && !covered; j++)
            covered = s->x_squares[first + i] + s->y_squares[j] -
                          2 * rows[(size_t)i * stride + (size_t)j] <=
                      s->radius[j];
        s->covered[first + i] = covered;
    }
}

/* [n], the caller's; NULL without memory. */
static double *squares_of(const double *x, int n, int d)
{
    double *squares = calloc((size_t)n, sizeof(*squares));

    for (int i = 0; squares && i < n; i++)
        for (int j = 0; j < d; j++)
            squares[i] +=
                x[(size_t)i * (size_t)d + (size_t)j] * x[(size_t)i * (size_t)d + (size_t)j];
    return squares;
}

int distance_coverage(struct pool *pool, const struct watch *watch, const double *x, int n,
                      const double *y, int m, int d, double *out, struct error *err)
{
    double *x_squares = squares_of(x, n, d), *y_squares = squares_of(y, m, d);
    struct neighbours s = {.x_squares = x_squares, .y_squares = y_squares, .m = m};
    int rc, n_covered = 0;

    s.radius = calloc((size_t)m, sizeof(*s.radius));
    s.covered = calloc((size_t)n, sizeof(*s.covered));
    if (m <= DISTANCE_NEIGHBOUR)
        rc =
            error_set(err, -EINVAL, "%d vectors have no %d neighbours each", m, DISTANCE_NEIGHBOUR);
    else if (!x_squares || !y_squares || !s.radius || !s.covered)
        rc = no_memory(err);
    else
        rc = products_run(pool, watch, y, m, y, m, d, find_radius, &s, err);
    if (rc == 0)
        rc = products_run(pool, watch, x, n, y, m, d, find_covered, &s, err);
    if (rc == 0) {
        for (int i = 0; i < n; i++)
            n_covered += s.covered[i];
        *out = (double)n_covered / n;
    }
    free(x_squares);
    free(y_squares);
    free(s.radius);
    free(s.covered);
    return rc;
}
