/* struct pooling_loops; see loops.h. */
#include "engine/cpu/lanes.h"
#include "engine/cpu/loops_sets.h"

LANES_INLINE void largest_as(const void *const *x, int n_terms, enum dtype type, size_t n,
                             void *restrict y)
{
    for (size_t start = 0; start < n; start += LANES_TILE) {
        float buffer[LANES_TILE], *restrict tile = lanes_tile(y, type, start, buffer);
        size_t count = lanes_count(start, n);

        for (size_t i = 0; i < count; i++)
            tile[i] = lane_read(x[0], type, start + i);
        for (int term = 1; term < n_terms; term++) {
            const void *restrict other = x[term];

            for (size_t i = 0; i < count; i++) {
                float at = lane_read(other, type, start + i);

                tile[i] = at > tile[i] ? at : tile[i];
            }
        }
        lanes_finish(y, type, start, tile, count);
    }
}

static void largest(const void *const *x, int n_terms, enum dtype type, size_t n, void *y)
{
    if (type == DTYPE_BF16)
        largest_as(x, n_terms, DTYPE_BF16, n, y);
    else
        largest_as(x, n_terms, DTYPE_F32, n, y);
}

LANES_INLINE void means_as(const void *restrict x, enum dtype type, size_t n_rows, size_t width,
                           float *restrict y)
{
    for (size_t start = 0; start < width; start += LANES_TILE) {
        double sums[LANES_TILE] = {0};
        size_t count = lanes_count(start, width);

        for (size_t row = 0; row < n_rows; row++) {
            for (size_t i = 0; i < count; i++)
                sums[i] += lane_read(x, type, row * width + start + i);
        }
        for (size_t i = 0; i < count; i++)
            y[start + i] = (float)(sums[i] / (double)n_rows);
    }
}

static void means(const void *x, enum dtype type, size_t n_rows, size_t width, float *y)
{
    if (type == DTYPE_BF16)
        means_as(x, DTYPE_BF16, n_rows, width, y);
    else
        means_as(x, DTYPE_F32, n_rows, width, y);
}

const struct pooling_loops LANES_NAME(pooling_loops) = {
    .largest = largest,
    .means = means,
};
