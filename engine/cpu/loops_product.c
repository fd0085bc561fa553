/* struct product_loops; see loops.h. */
#include "engine/cpu/lanes.h"
#include "engine/cpu/loops_sets.h"

LANES_INLINE void combine_add(const void *restrict x, enum dtype type, float weight, size_t n,
                              float *restrict sum)
{
    for (size_t i = 0; i < n; i++)
        sum[i] = lane_fma(lane_read(x, type, i), weight, sum[i]);
}

/* Any number of terms, one after the other. */
static void combine_terms(const void *const *x, const enum dtype *types, const float *weight,
                          int n_terms, size_t start, size_t n, float *sum)
{
    memset(sum, 0, n * sizeof(*sum));
    for (int i = 0; i < n_terms; i++) {
        if (types[i] == DTYPE_BF16)
            combine_add(lane_at(x[i], DTYPE_BF16, start), DTYPE_BF16, weight[i], n, sum);
        else
            combine_add(lane_at(x[i], DTYPE_F32, start), DTYPE_F32, weight[i], n, sum);
    }
}

/* Two terms of one type. */
LANES_INLINE void combine_two(const void *const *x, enum dtype type, const float *weight,
                              size_t start, size_t n, float *restrict sum)
{
    const void *restrict a = lane_at(x[0], type, start), *restrict b = lane_at(x[1], type, start);
    const float wa = weight[0], wb = weight[1];

    for (size_t i = 0; i < n; i++)
        sum[i] = lane_fma(lane_read(b, type, i), wb, lane_read(a, type, i) * wa);
}

/* Four terms of one type. */
LANES_INLINE void combine_four(const void *const *x, enum dtype type, const float *weight,
                               size_t start, size_t n, float *restrict sum)
{
    const void *restrict a = lane_at(x[0], type, start), *restrict b = lane_at(x[1], type, start);
    const void *restrict c = lane_at(x[2], type, start), *restrict d = lane_at(x[3], type, start);
    const float wa = weight[0], wb = weight[1], wc = weight[2], wd = weight[3];

    for (size_t i = 0; i < n; i++)
        sum[i] = lane_fma(lane_read(b, type, i), wb, lane_read(a, type, i) * wa) +
                 lane_fma(lane_read(d, type, i), wd, lane_read(c, type, i) * wc);
}

static void combine_tile(const void *const *x, const enum dtype *types, const float *weight,
                         int n_terms, size_t start, size_t n, float *sum)
{
    bool alike = true;

    for (int i = 1; i < n_terms; i++)
        alike = alike && types[i] == types[0];
    if (alike && n_terms == 2 && types[0] == DTYPE_BF16)
        combine_two(x, DTYPE_BF16, weight, start, n, sum);
    else if (alike && n_terms == 2)
        combine_two(x, DTYPE_F32, weight, start, n, sum);
    else if (alike && n_terms == 4 && types[0] == DTYPE_BF16)
        combine_four(x, DTYPE_BF16, weight, start, n, sum);
    else if (alike && n_terms == 4)
        combine_four(x, DTYPE_F32, weight, start, n, sum);
    else
        combine_terms(x, types, weight, n_terms, start, n, sum);
}

static void combine(const void *const *x, const enum dtype *types, const float *weight, int n_terms,
                    size_t n, void *y, enum dtype y_type)
{
    for (size_t start = 0; start < n; start += LANES_TILE) {
        float buffer[LANES_TILE], *tile = lanes_tile(y, y_type, start, buffer);
        size_t count = lanes_count(start, n);

        combine_tile(x, types, weight, n_terms, start, count, tile);
        lanes_finish(y, y_type, start, tile, count);
    }
}

LANES_INLINE void filter_pixel(const float *restrict x, const float *weight, int n, size_t c,
                               size_t count, float *restrict y)
{
    for (size_t j = 0; j < count; j++) {
        float sum = 0.0f;

        for (int t = 0; t < n; t++)
            sum = lane_fma(weight[t], x[(size_t)t * c + j], sum);
        y[j] = sum;
    }
}

/* Channels [first, first + count) of one pixel. */
LANES_INLINE void filter_channels(const float *x, const struct fir_taps *taps, size_t c,
                                  size_t first, size_t count, float *y)
{
    const float *pixel = x + (size_t)taps->first * c + first;

    if (taps->n == 4)
        filter_pixel(pixel, taps->weight, 4, c, count, y);
    else if (taps->n == 2)
        filter_pixel(pixel, taps->weight, 2, c, count, y);
    else
        filter_pixel(pixel, taps->weight, taps->n, c, count, y);
}

LANES_INLINE void add_channels(const float *restrict bias, size_t count, float *restrict y)
{
    for (size_t i = 0; i < count; i++)
        y[i] += bias[i];
}

/* A tile holds several pixels, or channels of one if these are many. */
LANES_INLINE void filter_row_as(const float *x, const struct fir_taps *taps, size_t n_out, size_t c,
                                const float *bias, void *y, enum dtype type)
{
    size_t per_tile = c < LANES_TILE ? LANES_TILE / c : 1;

    for (size_t i = 0; i < n_out; i += per_tile) {
        size_t n = n_out - i < per_tile ? n_out - i : per_tile;

        for (size_t first = 0; first < c; first += LANES_TILE) {
            float buffer[LANES_TILE], *tile = lanes_tile(y, type, i * c + first, buffer);
            size_t count = lanes_count(first, c);

            for (size_t j = 0; j < n; j++) {
                filter_channels(x, &taps[i + j], c, first, count, tile + j * c);
                if (bias)
                    add_channels(bias + first, count, tile + j * c);
            }
            lanes_finish(y, type, i * c + first, tile, (n - 1) * c + count);
        }
    }
}

static void filter_row(const float *x, const struct fir_taps *taps, size_t n_out, size_t c,
                       const float *bias, void *y, enum dtype type)
{
    if (type == DTYPE_BF16)
        filter_row_as(x, taps, n_out, c, bias, y, DTYPE_BF16);
    else
        filter_row_as(x, taps, n_out, c, bias, y, DTYPE_F32);
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
                sum = lane_fma(factor[i][t], b[(size_t)t * n + j], sum);
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
