#include "engine/cpu/lanes.h"
#include "engine/cpu/loops_sets.h"

/* Sums along a row are made of this many partial sums, which the compiler keeps in registers. */
enum { PARTS = 32 };

LANES_INLINE float parts_sum(const float *parts)
{
    float sums[4] = {0};

    for (int i = 0; i < PARTS; i += 4) {
        for (int j = 0; j < 4; j++)
            sums[j] += parts[i + j];
    }
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

LANES_INLINE float row_largest(const float *x, size_t size)
{
    float parts[PARTS];
    float largest = x[0];
    size_t i = 0;

    for (int j = 0; j < PARTS; j++)
        parts[j] = x[0];
    for (; i + PARTS <= size; i += PARTS) {
        for (int j = 0; j < PARTS; j++)
            parts[j] = x[i + j] > parts[j] ? x[i + j] : parts[j];
    }
    for (; i < size; i++)
        largest = x[i] > largest ? x[i] : largest;
    for (int j = 0; j < PARTS; j++)
        largest = parts[j] > largest ? parts[j] : largest;
    return largest;
}

/* x = exp((x - largest) scale); returns the sum. */
LANES_INLINE float row_exp(float *x, size_t size, float largest, float scale)
{
    float parts[PARTS] = {0};
    float sum = 0;
    size_t i = 0;

    for (; i + PARTS <= size; i += PARTS) {
        for (int j = 0; j < PARTS; j++) {
            float e = lane_exp((x[i + j] - largest) * scale);

            x[i + j] = e;
            parts[j] += e;
        }
    }
    for (; i < size; i++) {
        x[i] = lane_exp((x[i] - largest) * scale);
        sum += x[i];
    }
    return sum + parts_sum(parts);
}

LANES_INLINE void softmax_as(float *s, size_t n_rows, size_t size, float scale, void *p,
                             enum dtype type)
{
    for (size_t r = 0; r < n_rows; r++) {
        float *row = s + r * size;
        void *out = lane_at_mutable(p, type, r * size);
        float share = 1.0f / row_exp(row, size, row_largest(row, size), scale);

        for (size_t start = 0; start < size; start += LANES_TILE) {
            float buffer[LANES_TILE], *tile = lanes_tile(out, type, start, buffer);
            size_t count = lanes_count(start, size);

            for (size_t i = 0; i < count; i++)
                tile[i] = row[start + i] * share;
            lanes_finish(out, type, start, tile, count);
        }
    }
}

static void softmax(float *s, size_t n_rows, size_t size, float scale, void *p, enum dtype type)
{
    if (type == DTYPE_BF16)
        softmax_as(s, n_rows, size, scale, p, DTYPE_BF16);
    else
        softmax_as(s, n_rows, size, scale, p, DTYPE_F32);
}

LANES_INLINE void softmax_grad_as(const float *dp, const void *p, size_t n_rows, size_t size,
                                  float scale, void *ds, enum dtype type)
{
    for (size_t r = 0; r < n_rows; r++) {
        const float *row = dp + r * size;
        const void *share = lane_at(p, type, r * size);
        void *out = lane_at_mutable(ds, type, r * size);
        /* In double: where dp is nearly constant, what remains is smaller than the rounding of
         * the sum in single precision. */
        double parts[PARTS] = {0};
        double sum = 0;
        size_t i = 0;

        for (; i + PARTS <= size; i += PARTS) {
            for (int j = 0; j < PARTS; j++)
                parts[j] += (double)row[i + j] * lane_read(share, type, i + j);
        }
        for (; i < size; i++)
            sum += (double)row[i] * lane_read(share, type, i);
        for (int j = 0; j < PARTS; j++)
            sum += parts[j];
        for (size_t start = 0; start < size; start += LANES_TILE) {
            float buffer[LANES_TILE], *tile = lanes_tile(out, type, start, buffer);
            size_t count = lanes_count(start, size);

            for (size_t j = 0; j < count; j++)
                tile[j] = scale * lane_read(share, type, start + j) * (float)(row[start + j] - sum);
            lanes_finish(out, type, start, tile, count);
        }
    }
}

static void softmax_grad(const float *dp, const void *p, size_t n_rows, size_t size, float scale,
                         void *ds, enum dtype type)
{
    if (type == DTYPE_BF16)
        softmax_grad_as(dp, p, n_rows, size, scale, ds, DTYPE_BF16);
    else
        softmax_grad_as(dp, p, n_rows, size, scale, ds, DTYPE_F32);
}

static void dots(const float *restrict rows, const float *restrict x, size_t n_rows, size_t size,
                 float *restrict y)
{
    for (size_t r = 0; r < n_rows; r++) {
        const float *row = rows + r * size;
        float parts[PARTS] = {0};
        float sum = 0;
        size_t i = 0;

        for (; i + PARTS <= size; i += PARTS) {
            for (int j = 0; j < PARTS; j++)
                parts[j] = lane_fma(row[i + j], x[i + j], parts[j]);
        }
        for (; i < size; i++)
            sum = lane_fma(row[i], x[i], sum);
        y[r] = sum + parts_sum(parts);
    }
}

const struct row_loops LANES_NAME(row_loops) = {
    .softmax = softmax,
    .softmax_grad = softmax_grad,
    .dots = dots,
};
