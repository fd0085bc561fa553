/* struct product_loops; see loops.h. */
#include "engine/cpu/lanes.h"
#include "engine/cpu/loops.h"

extern const struct product_loops LANES_NAME(product_loops);

/* Elements that combine() sums up at a time: they stay in the first-level cache. */
enum { COMBINE_BLOCK = 512 };

LANES_INLINE void combine_term(const void *restrict x, enum dtype type, float weight, size_t n,
                               float *restrict sum)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += lane_read(x, type, i) * weight;
}

static void combine_block(const void *const *x, const enum dtype *types, const float *weight,
                          int n_terms, size_t start, size_t n, float *sum)
{
    memset(sum, 0, n * sizeof(*sum));
    for (int i = 0; i < n_terms; i++) {
        if (types[i] == DTYPE_BF16)
            combine_term(lane_at(x[i], DTYPE_BF16, start), DTYPE_BF16, weight[i], n, sum);
        else
            combine_term(lane_at(x[i], DTYPE_F32, start), DTYPE_F32, weight[i], n, sum);
    }
}

static void write_row(const float *restrict x, void *restrict y, enum dtype type, size_t n)
{
    if (type == DTYPE_BF16) {
        for (size_t i = 0; i < n; i++)
            lane_write(y, DTYPE_BF16, i, x[i]);
    } else {
        memcpy(y, x, n * sizeof(*x));
    }
}

static void combine(const void *const *x, const enum dtype *types, const float *weight, int n_terms,
                    size_t n, void *y, enum dtype y_type)
{
    float sum[COMBINE_BLOCK];

    for (size_t start = 0; start < n; start += COMBINE_BLOCK) {
        size_t count = n - start < COMBINE_BLOCK ? n - start : COMBINE_BLOCK;

        combine_block(x, types, weight, n_terms, start, count, sum);
        write_row(sum, lane_at_mutable(y, y_type, start), y_type, count);
    }
}

LANES_INLINE void filter_pixel(const float *restrict x, const float *weight, int n, size_t c,
                               void *restrict y, enum dtype type)
{
    for (size_t j = 0; j < c; j++) {
        float sum = 0.0f;

        for (int t = 0; t < n; t++)
            sum += weight[t] * x[(size_t)t * c + j];
        lane_write(y, type, j, sum);
    }
}

LANES_INLINE void filter_row_as(const float *x, const struct fir_taps *taps, size_t n_out, size_t c,
                                void *y, enum dtype type)
{
    for (size_t i = 0; i < n_out; i++) {
        const float *pixel = x + (size_t)taps[i].first * c;
        void *out = lane_at_mutable(y, type, i * c);

        if (taps[i].n == 4)
            filter_pixel(pixel, taps[i].weight, 4, c, out, type);
        else if (taps[i].n == 2)
            filter_pixel(pixel, taps[i].weight, 2, c, out, type);
        else
            filter_pixel(pixel, taps[i].weight, taps[i].n, c, out, type);
    }
}

static void filter_row(const float *x, const struct fir_taps *taps, size_t n_out, size_t c, void *y,
                       enum dtype type)
{
    if (type == DTYPE_BF16)
        filter_row_as(x, taps, n_out, c, y, DTYPE_BF16);
    else
        filter_row_as(x, taps, n_out, c, y, DTYPE_F32);
}

/* Adds terms [0, n_terms) of ROWS rows: y[r][j] += sum_t a[r][t] b[t][j]. */
LANES_INLINE void matrix_rows(const float *a, size_t a_row, size_t a_column,
                              const float *restrict b, float *restrict y, int n_rows, int n_terms,
                              size_t n)
{
    float factor[4][4];

    for (int i = 0; i < n_rows; i++) {
        for (int t = 0; t < n_terms; t++)
            factor[i][t] = a[(size_t)i * a_row + (size_t)t * a_column];
    }
    for (size_t j = 0; j < n; j++) {
        for (int i = 0; i < n_rows; i++) {
            float sum = y[(size_t)i * n + j];

            for (int t = 0; t < n_terms; t++)
                sum += factor[i][t] * b[(size_t)t * n + j];
            y[(size_t)i * n + j] = sum;
        }
    }
}

LANES_INLINE void matrix_terms(const float *a, size_t a_row, size_t a_column, const float *b,
                               float *y, int n_rows, size_t k, size_t n)
{
    size_t t = 0;

    memset(y, 0, (size_t)n_rows * n * sizeof(*y));
    for (; t + 4 <= k; t += 4)
        matrix_rows(a + t * a_column, a_row, a_column, b + t * n, y, n_rows, 4, n);
    for (; t < k; t++)
        matrix_rows(a + t * a_column, a_row, a_column, b + t * n, y, n_rows, 1, n);
}

static void matrix(const float *a, size_t a_row, size_t a_column, const float *b, float *y,
                   size_t m, size_t k, size_t n)
{
    size_t i = 0;

    for (; i + 4 <= m; i += 4)
        matrix_terms(a + i * a_row, a_row, a_column, b, y + i * n, 4, k, n);
    for (; i < m; i++)
        matrix_terms(a + i * a_row, a_row, a_column, b, y + i * n, 1, k, n);
}

LANES_INLINE void transpose_as(const float *restrict x, float *restrict y, size_t rows,
                               size_t columns, size_t c)
{
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < columns; j++) {
            for (size_t channel = 0; channel < c; channel++)
                y[(j * rows + i) * c + channel] = x[(i * columns + j) * c + channel];
        }
    }
}

static void transpose(const float *x, float *y, size_t rows, size_t columns, size_t c)
{
    if (c == 3)
        transpose_as(x, y, rows, columns, 3);
    else
        transpose_as(x, y, rows, columns, c);
}

const struct product_loops LANES_NAME(product_loops) = {
    .combine = combine,
    .filter_row = filter_row,
    .matrix = matrix,
    .transpose = transpose,
};
