/* b is laid out in panels of a few vectors, number by number, so that the products of a few vectors
 * of a with a panel stay in registers from the first term to the last. */
#include "tools/eval/products.h"
#include "engine/base/error.h"
#include "engine/base/pool.h"
#include "engine/base/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 4, COLUMNS = 4 };

struct job {
    const double *a;
    int n_a, d;
    int n_panels;
    double *panels;  /* [n_panels,d,COLUMNS], zero where there is no vector */
    double *buffers; /* [threads,PRODUCTS_BLOCK,n_panels COLUMNS] */
    products_consumer *consume;
    void *arg;
    const struct watch *watch;
};

/* Two numbers of a vector register, as every processor has them; panels are aligned to them. */
typedef double pair __attribute__((vector_size(2 * sizeof(double)), may_alias));

enum { PAIRS = COLUMNS / 2 };

/* rows: ROWS of them, in steps of `stride`. */
static void tile(const double *const *a, const double *panel, int d, double *rows, size_t stride)
{
    const pair *b = (const pair *)panel;
    pair sums[ROWS][PAIRS] = {{{0}}};

    for (int k = 0; k < d; k++)
        for (int i = 0; i < ROWS; i++) {
            pair both = {a[i][k], a[i][k]};

            for (int j = 0; j < PAIRS; j++)
                sums[i][j] += both * b[k * PAIRS + j];
        }
    for (int i = 0; i < ROWS; i++)
        memcpy(rows + (size_t)i * stride, sums[i], sizeof(sums[i]));
}

static void run_block(void *arg, int block, int worker)
{
    const struct job *job = arg;
    const size_t stride = (size_t)job->n_panels * COLUMNS, d = (size_t)job->d;
    double *rows = job->buffers + (size_t)worker * PRODUCTS_BLOCK * stride;
    const int first = block * PRODUCTS_BLOCK;
    const int n_rows = job->n_a - first < PRODUCTS_BLOCK ? job->n_a - first : PRODUCTS_BLOCK;

    if (watch_stop(job->watch))
        return;
    for (int p = 0; p < job->n_panels; p++) {
        for (int i = 0; i < n_rows; i += ROWS) {
            const double *a[ROWS];

            for (int j = 0; j < ROWS; j++) {
                int row = i + j < n_rows ? i + j : n_rows - 1; /* the last again: not looked at */

                a[j] = job->a + (size_t)(first + row) * d;
            }
            tile(a, job->panels + (size_t)p * d * COLUMNS, job->d,
                 rows + (size_t)i * stride + (size_t)p * COLUMNS, stride);
        }
    }
    job->consume(job->arg, first, n_rows, rows, stride);
}

int products_run(struct pool *pool, const struct watch *watch, const double *a, int n_a,
                 const double *b, int n_b, int d, products_consumer *consume, void *arg,
                 struct error *err)
{
    struct job job = {.a = a,
                      .n_a = n_a,
                      .d = d,
                      .n_panels = (n_b + COLUMNS - 1) / COLUMNS,
                      .consume = consume,
                      .arg = arg,
                      .watch = watch};
    size_t n_columns = (size_t)job.n_panels * COLUMNS;
    int rc = 0;

    job.panels = calloc(n_columns * (size_t)d, sizeof(*job.panels));
    job.buffers =
        calloc((size_t)pool_threads(pool) * PRODUCTS_BLOCK * n_columns, sizeof(*job.buffers));
    if (!job.panels || !job.buffers) {
        rc = error_set(err, -ENOMEM, "out of memory for the products of %d and %d vectors", n_a,
                       n_b);
        goto out;
    }
    for (int j = 0; j < n_b; j++) {
        double *column = job.panels + (size_t)(j / COLUMNS) * (size_t)d * COLUMNS + j % COLUMNS;

        for (int k = 0; k < d; k++)
            column[(size_t)k * COLUMNS] = b[(size_t)j * (size_t)d + (size_t)k];
    }
    pool_run(pool, (n_a + PRODUCTS_BLOCK - 1) / PRODUCTS_BLOCK, run_block, &job);
    if (watch_stop(watch))
        rc = error_set(err, -ECANCELED, "stopped comparing %d and %d vectors", n_a, n_b);

out:
    free(job.panels);
    free(job.buffers);
    return rc;
}

struct matrix {
    double *y;
    size_t n_columns;
};

static void copy_rows(void *arg, int first, int n_rows, const double *rows, size_t stride)
{
    const struct matrix *m = arg;

    for (int i = 0; i < n_rows; i++)
        memcpy(m->y + (size_t)(first + i) * m->n_columns, rows + (size_t)i * stride,
               m->n_columns * sizeof(*m->y));
}

int products_matrix(struct pool *pool, const struct watch *watch, const double *a, int n_a,
                    const double *b, int n_b, int d, double *y, struct error *err)
{
    struct matrix m = {y, (size_t)n_b};

    return products_run(pool, watch, a, n_a, b, n_b, d, copy_rows, &m, err);
}
