#include "model/fit/sparse_rows.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int sparse_rows_init(struct sparse_rows *r, int n)
{
    size_t size = (size_t)n * (size_t)n;

    r->n = n;
    r->count = calloc((size_t)n, sizeof(*r->count));
    r->column = calloc(size, sizeof(*r->column));
    r->weight = calloc(size, sizeof(*r->weight));
    return r->count && r->column && r->weight ? 0 : -ENOMEM;
}

void sparse_rows_fini(struct sparse_rows *r)
{
    free(r->count);
    free(r->column);
    free(r->weight);
}

void sparse_rows_set(struct sparse_rows *r, const double *matrix)
{
    for (int i = 0; i < r->n; i++) {
        const double *row = matrix + (size_t)i * (size_t)r->n;
        int *column = r->column + (size_t)i * (size_t)r->n;
        float *weight = r->weight + (size_t)i * (size_t)r->n;
        int count = 0;

        for (int j = 0; j < r->n; j++) {
            if (fabs(row[j]) < 1e-9)
                continue;
            column[count] = j;
            weight[count++] = (float)row[j];
        }
        r->count[i] = count;
    }
}

void sparse_rows_apply(const struct sparse_rows *r, int width, const float *restrict src,
                       float *restrict dst)
{
    for (int i = 0; i < r->n; i++) {
        const int *column = r->column + (size_t)i * (size_t)r->n;
        const float *weight = r->weight + (size_t)i * (size_t)r->n;
        float *out = dst + (size_t)i * (size_t)width;
        int k = 0;

        memset(out, 0, (size_t)width * sizeof(*out));
        for (; k + 4 <= r->count[i]; k += 4) {
            const float *a = src + (size_t)column[k] * (size_t)width;
            const float *b = src + (size_t)column[k + 1] * (size_t)width;
            const float *c = src + (size_t)column[k + 2] * (size_t)width;
            const float *d = src + (size_t)column[k + 3] * (size_t)width;

            for (int e = 0; e < width; e++)
                out[e] += (weight[k] * a[e] + weight[k + 1] * b[e]) +
                          (weight[k + 2] * c[e] + weight[k + 3] * d[e]);
        }
        for (; k < r->count[i]; k++) {
            const float *a = src + (size_t)column[k] * (size_t)width;

            for (int e = 0; e < width; e++)
                out[e] += weight[k] * a[e];
        }
    }
}
