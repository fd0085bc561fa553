#include "tools/eval/neighbours.h"
#include "engine/base/error.h"
#include "tools/eval/products.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* Squares of distances are |x|^2 + |y|^2 - 2 x.y; until the end they stand for distances. */
struct search {
    const double *x_squares, *y_squares;
    int m, k;
    bool within;
    struct neighbour *out; /* [n,k] */
};

static void search_rows(void *arg, int first, int n_rows, const double *rows, size_t stride)
{
    const struct search *s = arg;

    for (int i = 0; i < n_rows; i++) {
        struct neighbour *nearest = s->out + (size_t)(first + i) * (size_t)s->k;

        for (int place = 0; place < s->k; place++)
            nearest[place] = (struct neighbour){-1, INFINITY};
        for (int j = 0; j < s->m; j++) {
            double square = s->x_squares[first + i] + s->y_squares[j] -
                            2 * rows[(size_t)i * stride + (size_t)j];
            int place = s->k - 1;

            if ((s->within && first + i == j) || !(square < nearest[place].distance))
                continue;
            for (; place > 0 && nearest[place - 1].distance > square; place--)
                nearest[place] = nearest[place - 1];
            nearest[place] = (struct neighbour){j, square};
        }
    }
}

/* [n], the caller's; NULL without memory. */
static double *squares_of(const double *x, int n, int d)
{
    double *squares = calloc((size_t)n, sizeof(*squares));

    for (size_t i = 0; squares && i < (size_t)n * (size_t)d; i++)
        squares[i / (size_t)d] += x[i] * x[i];
    return squares;
}

int neighbours_find(struct pool *pool, const struct watch *watch, const double *x, int n,
                    const double *y, int m, int d, bool within, int k, struct neighbour *out,
                    struct error *err)
{
    double *x_squares = squares_of(x, n, d), *y_squares = squares_of(y, m, d);
    struct search s = {x_squares, y_squares, m, k, within, out};
    int rc;

    if (m - within < k)
        rc = error_set(err, -EINVAL, "%d pictures have no %d neighbours", m, k);
    else if (!x_squares || !y_squares)
        rc = error_set(err, -ENOMEM, "out of memory looking for neighbours");
    else
        rc = products_run(pool, watch, x, n, y, m, d, search_rows, &s, err);
    for (size_t i = 0; rc == 0 && i < (size_t)n * (size_t)k; i++)
        out[i].distance = sqrt(fmax(out[i].distance, 0)); /* a copy may be below 0 by rounding */
    free(x_squares);
    free(y_squares);
    return rc;
}

static int compare_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

int neighbours_median(const struct neighbour *found, int n, int k, double *out, struct error *err)
{
    double *distances = malloc((size_t)n * sizeof(*distances));

    if (!distances)
        return error_set(err, -ENOMEM, "out of memory looking for neighbours");
    for (int i = 0; i < n; i++)
        distances[i] = found[(size_t)i * (size_t)k].distance;
    qsort(distances, (size_t)n, sizeof(*distances), compare_numbers);
    *out = (distances[(n - 1) / 2] + distances[n / 2]) / 2;
    free(distances);
    return 0;
}
