#include "tools/eval/sliced.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/base/pool.h"
#include "tools/eval/number_sort.h"
#include "tools/eval/products.h"

enum { DIRECTION_SEED = 0, DRAW = 4 };

struct projections {
    double *values; /* [SLICED_DIRECTIONS,n] */
    int n;
};

struct sliced {
    struct projections x, y;
    uint64_t *scratch; /* of number_sort(), for each thread */
    size_t scratch_count;
    double squares[SLICED_DIRECTIONS];
};

/* Unit vectors, uniform on the sphere. */
static void draw_directions(int d, double *out)
{
    for (int i = 0; i < SLICED_DIRECTIONS; i++, out += d) {
        struct philox_key key = philox_key(DIRECTION_SEED, (uint32_t)i, 0);
        double square = 0;

        for (int first = 0; first < d; first += DRAW) {
            struct philox_key block;
            uint32_t words[DRAW];
            float normals[DRAW];

            philox_block(&key, 0, (uint32_t)first, words);
            memcpy(&block, words, sizeof(block));
            philox_normals(&block, 0, DRAW, normals);
            for (int k = first; k < d && k < first + DRAW; k++) {
                out[k] = (double)normals[k - first];
                square += out[k] * out[k];
            }
        }
        for (int k = 0; k < d; k++)
            out[k] /= sqrt(square);
    }
}

/* Products of vectors with all directions, a vector a row. */
static void keep_projections(void *arg, int first, int n_rows, const double *rows, size_t stride)
{
    const struct projections *p = arg;

    for (int i = 0; i < n_rows; i++) {
        for (size_t k = 0; k < SLICED_DIRECTIONS; k++)
            p->values[k * (size_t)p->n + (size_t)(first + i)] = rows[(size_t)i * stride + k];
    }
}

/* Between two sets of numbers that rise: the integral of the squared difference of their quantiles, which
 * are steps. */
static double squared_distance(const double *x, int n, const double *y, int m)
{
    long long at = 0, end = (long long)n * m; /* quantiles in units of 1 / (n m) */
    double sum = 0;

    while (at < end) {
        long long i = at / m, j = at / n;
        long long next = (i + 1) * m < (j + 1) * n ? (i + 1) * m : (j + 1) * n;

        sum += (double)(next - at) * (x[i] - y[j]) * (x[i] - y[j]);
        at = next;
    }
    return sum / (double)end;
}

static void measure_direction(void *arg, int i, int worker)
{
    struct sliced *s = arg;
    double *x = s->x.values + (size_t)i * (size_t)s->x.n;
    double *y = s->y.values + (size_t)i * (size_t)s->y.n;

    number_sort(s->x.n, x, s->scratch + (size_t)worker * s->scratch_count);
    number_sort(s->y.n, y, s->scratch + (size_t)worker * s->scratch_count);
    s->squares[i] = squared_distance(x, s->x.n, y, s->y.n);
}

int sliced_distance(struct pool *pool, const struct watch *watch, const double *x, int n,
                    const double *y, int m, int d, double *out, struct error *err)
{
    struct sliced *s = calloc(1, sizeof(*s));
    double *directions = malloc((size_t)SLICED_DIRECTIONS * (size_t)d * sizeof(*directions));
    double *x_values = malloc((size_t)SLICED_DIRECTIONS * (size_t)n * sizeof(*x_values));
    double *y_values = malloc((size_t)SLICED_DIRECTIONS * (size_t)m * sizeof(*y_values));
    size_t scratch_count = 2 * (size_t)(n > m ? n : m);
    uint64_t *scratch = malloc((size_t)pool_threads(pool) * scratch_count * sizeof(*scratch));
    int rc = 0;

    if (!s || !directions || !x_values || !y_values || !scratch) {
        rc =
            error_set(err, -ENOMEM, "out of memory for the projections of %d and %d vectors", n, m);
        goto out;
    }
    s->x = (struct projections){x_values, n};
    s->y = (struct projections){y_values, m};
    s->scratch = scratch;
    s->scratch_count = scratch_count;
    draw_directions(d, directions);
    rc = products_run(pool, watch, x, n, directions, SLICED_DIRECTIONS, d, keep_projections, &s->x,
                      err);
    if (rc == 0)
        rc = products_run(pool, watch, y, m, directions, SLICED_DIRECTIONS, d, keep_projections,
                          &s->y, err);
    if (rc == 0) {
        double sum = 0;

        pool_run(pool, SLICED_DIRECTIONS, measure_direction, s);
        for (int i = 0; i < SLICED_DIRECTIONS; i++)
            sum += s->squares[i];
        *out = sqrt(sum / SLICED_DIRECTIONS);
    }

out:
    free(s);
    free(directions);
    free(x_values);
    free(y_values);
    free(scratch);
    return rc;
}

double sliced_mind(double distance, int d)
{
    return 3 * d * distance * distance;
}
