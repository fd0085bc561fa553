/* struct pointwise_loops; see loops.h. Each loop is written once with the types as constant
 * arguments and inlined into a switch over them. An output may be one of the inputs, which is why
 * the compiler is told that elements do not depend on each other instead of `restrict`. */
#include "engine/cpu/lanes.h"
#include "engine/cpu/loops_sets.h"
#include "engine/base/philox.h"

LANES_INLINE void affine_as(const void *x, enum dtype x_type, void *y, enum dtype y_type, size_t n,
                            float scale, float shift)
{
    for (size_t start = 0; start < n; start += LANES_TILE) {
        float buffer[LANES_TILE], *tile = lanes_tile(y, y_type, start, buffer);
        size_t count = lanes_count(start, n);

#pragma omp simd
        for (size_t i = 0; i < count; i++)
            tile[i] = lane_fma(lane_read(x, x_type, start + i), scale, shift);
        lanes_finish(y, y_type, start, tile, count);
    }
}

static void affine(const void *x, enum dtype x_type, void *y, enum dtype y_type, size_t n,
                   float scale, float shift)
{
    if (x_type == DTYPE_BF16 && y_type == DTYPE_BF16)
        affine_as(x, DTYPE_BF16, y, DTYPE_BF16, n, scale, shift);
    else if (x_type == DTYPE_BF16)
        affine_as(x, DTYPE_BF16, y, DTYPE_F32, n, scale, shift);
    else if (y_type == DTYPE_BF16)
        affine_as(x, DTYPE_F32, y, DTYPE_BF16, n, scale, shift);
    else
        affine_as(x, DTYPE_F32, y, DTYPE_F32, n, scale, shift);
}

LANES_INLINE void add_as(const void *a, const void *b, void *y, enum dtype type, size_t n,
                         float scale)
{
    for (size_t start = 0; start < n; start += LANES_TILE) {
        float buffer[LANES_TILE], *tile = lanes_tile(y, type, start, buffer);
        size_t count = lanes_count(start, n);

#pragma omp simd
        for (size_t i = 0; i < count; i++)
            tile[i] = (lane_read(a, type, start + i) + lane_read(b, type, start + i)) * scale;
        lanes_finish(y, type, start, tile, count);
    }
}

static void add(const void *a, const void *b, void *y, enum dtype type, size_t n, float scale)
{
    if (type == DTYPE_BF16)
        add_as(a, b, y, DTYPE_BF16, n, scale);
    else
        add_as(a, b, y, DTYPE_F32, n, scale);
}

LANES_INLINE void multiply_as(const void *x, enum dtype type, const void *m, enum dtype m_type,
                              void *y, size_t n)
{
    for (size_t start = 0; start < n; start += LANES_TILE) {
        float buffer[LANES_TILE], *tile = lanes_tile(y, type, start, buffer);
        size_t count = lanes_count(start, n);

#pragma omp simd
        for (size_t i = 0; i < count; i++)
            tile[i] = lane_read(x, type, start + i) * lane_read(m, m_type, start + i);
        lanes_finish(y, type, start, tile, count);
    }
}

static void multiply(const void *x, enum dtype type, const void *m, enum dtype m_type, void *y,
                     size_t n)
{
    if (type == DTYPE_BF16 && m_type == DTYPE_BF16)
        multiply_as(x, DTYPE_BF16, m, DTYPE_BF16, y, n);
    else if (type == DTYPE_BF16)
        multiply_as(x, DTYPE_BF16, m, DTYPE_F32, y, n);
    else if (m_type == DTYPE_BF16)
        multiply_as(x, DTYPE_F32, m, DTYPE_BF16, y, n);
    else
        multiply_as(x, DTYPE_F32, m, DTYPE_F32, y, n);
}

static void multiply_rows(const void *x, enum dtype type, const void *m, enum dtype m_type, void *y,
                          size_t n_rows, size_t width)
{
    for (size_t i = 0; i < n_rows; i++) {
        float scale = lane_read(m, m_type, i);

        affine(lane_at(x, type, i * width), type, lane_at_mutable(y, type, i * width), type, width,
               scale, 0.0f);
    }
}

LANES_INLINE void silu_as(const void *x, void *y, enum dtype type, size_t n)
{
    for (size_t start = 0; start < n; start += LANES_TILE) {
        float buffer[LANES_TILE], *tile = lanes_tile(y, type, start, buffer);
        size_t count = lanes_count(start, n);

#pragma omp simd
        for (size_t i = 0; i < count; i++)
            tile[i] = lane_silu(lane_read(x, type, start + i));
        lanes_finish(y, type, start, tile, count);
    }
}

static void silu(const void *x, void *y, enum dtype type, size_t n)
{
    if (type == DTYPE_BF16)
        silu_as(x, y, DTYPE_BF16, n);
    else
        silu_as(x, y, DTYPE_F32, n);
}

LANES_INLINE void relu_as(const void *x, void *y, enum dtype type, size_t n, float top)
{
    for (size_t start = 0; start < n; start += LANES_TILE) {
        float buffer[LANES_TILE], *tile = lanes_tile(y, type, start, buffer);
        size_t count = lanes_count(start, n);

#pragma omp simd
        for (size_t i = 0; i < count; i++) {
            float at = lane_read(x, type, start + i);

            tile[i] = at < 0 ? 0 : at > top ? top : at;
        }
        lanes_finish(y, type, start, tile, count);
    }
}

static void relu(const void *x, void *y, enum dtype type, size_t n, float top)
{
    if (type == DTYPE_BF16)
        relu_as(x, y, DTYPE_BF16, n, top);
    else
        relu_as(x, y, DTYPE_F32, n, top);
}

LANES_INLINE void silu_grad_as(const void *x, const void *dy, void *dx, enum dtype type, size_t n)
{
    for (size_t start = 0; start < n; start += LANES_TILE) {
        float buffer[LANES_TILE], *tile = lanes_tile(dx, type, start, buffer);
        size_t count = lanes_count(start, n);

#pragma omp simd
        for (size_t i = 0; i < count; i++)
            tile[i] =
                lane_read(dy, type, start + i) * lane_silu_slope(lane_read(x, type, start + i));
        lanes_finish(dx, type, start, tile, count);
    }
}

static void silu_grad(const void *x, const void *dy, void *dx, enum dtype type, size_t n)
{
    if (type == DTYPE_BF16)
        silu_grad_as(x, dy, dx, DTYPE_BF16, n);
    else
        silu_grad_as(x, dy, dx, DTYPE_F32, n);
}

/* Many partial sums, so that neither the rounding nor the dependence from one addition to the
 * next grows with n. */
static double sum_of_squares(const float *x, size_t n)
{
    enum { PARTS = 64, BLOCK = 64 * PARTS };
    double total = 0.0;

    for (size_t start = 0; start < n; start += BLOCK) {
        size_t end = n - start < BLOCK ? n : start + BLOCK;
        float parts[PARTS] = {0};
        size_t i = start;

        for (; i + PARTS <= end; i += PARTS) {
            for (int j = 0; j < PARTS; j++)
                parts[j] = lane_fma(x[i + j], x[i + j], parts[j]);
        }
        for (; i < end; i++)
            total += (double)x[i] * x[i];
        for (int j = 0; j < PARTS; j++)
            total += parts[j];
    }
    return total;
}

/* `blocks` counters side by side through the ten rounds of philox_block(). */
enum { PHILOX_WIDTH = 64 };

static void philox_words(const struct philox_key *key, uint32_t stream, uint32_t first,
                         uint32_t words[4][PHILOX_WIDTH])
{
    uint32_t *restrict c0 = words[0], *restrict c1 = words[1];
    uint32_t *restrict c2 = words[2], *restrict c3 = words[3];
    uint32_t k0 = key->seed_low, k1 = key->seed_high;

    for (uint32_t i = 0; i < PHILOX_WIDTH; i++) {
        c0[i] = first + i;
        c1[i] = stream;
        c2[i] = key->step;
        c3[i] = key->image;
    }
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        for (int i = 0; i < PHILOX_WIDTH; i++)
            philox_round(&c0[i], &c1[i], &c2[i], &c3[i], k0, k1);
        philox_next_key(&k0, &k1);
    }
}

LANES_INLINE void dropout_mask_as(const struct philox_key *key, uint32_t stream, float rate,
                                  float keep, void *restrict m, enum dtype type, size_t n)
{
    uint32_t words[4][PHILOX_WIDTH];

    for (size_t start = 0; start < n; start += 4 * PHILOX_WIDTH) {
        size_t count = n - start < 4 * PHILOX_WIDTH ? n - start : 4 * PHILOX_WIDTH;
        float block[4 * PHILOX_WIDTH];

        philox_words(key, stream, (uint32_t)(start / 4), words);
        for (int i = 0; i < PHILOX_WIDTH; i++) {
            for (int j = 0; j < 4; j++)
                block[4 * i + j] = philox_uniform(words[j][i]) < rate ? 0.0f : keep;
        }
        memcpy(lanes_tile(m, type, start, block), block, count * sizeof(*block));
        lanes_finish(m, type, start, block, count);
    }
}

static void dropout_mask(const struct philox_key *key, uint32_t stream, float rate, float keep,
                         void *m, enum dtype type, size_t n)
{
    if (type == DTYPE_BF16)
        dropout_mask_as(key, stream, rate, keep, m, DTYPE_BF16, n);
    else
        dropout_mask_as(key, stream, rate, keep, m, DTYPE_F32, n);
}

const struct pointwise_loops LANES_NAME(pointwise_loops) = {
    .affine = affine,
    .add = add,
    .multiply = multiply,
    .multiply_rows = multiply_rows,
    .silu = silu,
    .relu = relu,
    .silu_grad = silu_grad,
    .sum_of_squares = sum_of_squares,
    .dropout_mask = dropout_mask,
};
