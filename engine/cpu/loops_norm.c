/* struct norm_loops; see loops.h. */
#include "engine/cpu/lanes.h"
#include "engine/cpu/loops_sets.h"

/* ROWS rows at a time, so that a column's sums are loaded and stored once for all of them. */
enum { ROWS = 4 };

/* Elements of the row that begins at `start` of n. */
LANES_INLINE size_t row_count(size_t start, size_t n, size_t width)
{
    return n - start < width ? n - start : width;
}

LANES_INLINE void sums_rows(const void *restrict x, enum dtype type, int n_rows, size_t width,
                            const float *restrict origin, float *restrict sum,
                            float *restrict square)
{
    for (size_t j = 0; j < width; j++) {
        float s = 0.0f, q = 0.0f;

        for (int i = 0; i < n_rows; i++) {
            float d = lane_read(x, type, (size_t)i * width + j) - origin[j];

            s += d;
            q = lane_fma(d, d, q);
        }
        sum[j] += s;
        square[j] += q;
    }
}

LANES_INLINE void sums_as(const void *x, enum dtype type, size_t n, size_t width,
                          const float *origin, float *sum, float *square)
{
    size_t i = 0;

    for (; i + ROWS * width <= n; i += ROWS * width)
        sums_rows(lane_at(x, type, i), type, ROWS, width, origin, sum, square);
    for (; i < n; i += width)
        sums_rows(lane_at(x, type, i), type, 1, row_count(i, n, width), origin, sum, square);
}

static void sums(const void *x, enum dtype type, size_t n, size_t width, const float *origin,
                 float *sum, float *square)
{
    if (type == DTYPE_BF16)
        sums_as(x, DTYPE_BF16, n, width, origin, sum, square);
    else
        sums_as(x, DTYPE_F32, n, width, origin, sum, square);
}

LANES_INLINE void apply_row(const void *restrict x, void *restrict y, enum dtype type, size_t width,
                            const float *restrict centre, const float *restrict scale,
                            const float *restrict offset, bool silu)
{
    for (size_t start = 0; start < width; start += LANES_TILE) {
        float buffer[LANES_TILE], *tile = lanes_tile(y, type, start, buffer);
        size_t count = lanes_count(start, width);

        for (size_t i = 0; i < count; i++) {
            size_t j = start + i;
            float u = lane_fma(lane_read(x, type, j) - centre[j], scale[j], offset[j]);

            tile[i] = silu ? lane_silu(u) : u;
        }
        lanes_finish(y, type, start, tile, count);
    }
}

LANES_INLINE void apply_as(const void *x, void *y, enum dtype type, size_t n, size_t width,
                           const float *centre, const float *scale, const float *offset, bool silu)
{
    for (size_t i = 0; i < n; i += width)
        apply_row(lane_at(x, type, i), lane_at_mutable(y, type, i), type, row_count(i, n, width),
                  centre, scale, offset, silu);
}

#ifdef __AVX512BF16__
/* SiLU to 1e-4 relative, a twentieth of the step of what it is rounded to: two to the power of the
 * fraction by the polynomial of degree 3 with the smallest relative error (1e-4), the reciprocal to
 * 6e-5. */
LANES_INLINE __m512 silu_coarse(__m512 x)
{
    __m512 power = _mm512_mul_ps(x, _mm512_set1_ps(-1.44269504f));
    __m512 whole = _mm512_roundscale_ps(power, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 fraction = _mm512_sub_ps(power, whole);
    __m512 p = _mm512_set1_ps(0.0551716899f);

    p = _mm512_fmadd_ps(p, fraction, _mm512_set1_ps(0.242611174f));
    p = _mm512_fmadd_ps(p, fraction, _mm512_set1_ps(0.693260987f));
    p = _mm512_fmadd_ps(p, fraction, _mm512_set1_ps(0.99992807f));
    p = _mm512_add_ps(_mm512_scalef_ps(p, whole), _mm512_set1_ps(1.0f));
    return _mm512_mul_ps(x, _mm512_rcp14_ps(p));
}

/* 16 elements, of which those in mask are there. */
LANES_INLINE __m512 silu_norm(const uint16_t *x, const float *centre, const float *scale,
                              const float *offset, __mmask16 mask)
{
    __m512i bits = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, x));
    __m512 value = _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));

    value = _mm512_sub_ps(value, _mm512_maskz_loadu_ps(mask, centre));
    return silu_coarse(_mm512_fmadd_ps(value, _mm512_maskz_loadu_ps(mask, scale),
                                       _mm512_maskz_loadu_ps(mask, offset)));
}

static void apply_silu_halves(const uint16_t *x, uint16_t *y, size_t n, size_t width,
                              const float *centre, const float *scale, const float *offset)
{
    for (size_t i = 0; i < n; i += width) {
        size_t count = row_count(i, n, width);

        for (size_t j = 0; j < count; j += 16) {
            __mmask16 mask = count - j < 16 ? (__mmask16)((1u << (count - j)) - 1) : 0xFFFF;
            __m512 value = silu_norm(x + i + j, centre + j, scale + j, offset + j, mask);

            _mm256_mask_storeu_epi16(y + i + j, mask, (__m256i)_mm512_cvtneps_pbh(value));
        }
    }
}
#endif

static void apply(const void *x, void *y, enum dtype type, size_t n, size_t width,
                  const float *centre, const float *scale, const float *offset, bool silu)
{
#ifdef __AVX512BF16__
    if (type == DTYPE_BF16 && silu) {
        apply_silu_halves(x, y, n, width, centre, scale, offset);
        return;
    }
#endif
    if (type == DTYPE_BF16 && silu)
        apply_as(x, y, DTYPE_BF16, n, width, centre, scale, offset, true);
    else if (type == DTYPE_BF16)
        apply_as(x, y, DTYPE_BF16, n, width, centre, scale, offset, false);
    else if (silu)
        apply_as(x, y, DTYPE_F32, n, width, centre, scale, offset, true);
    else
        apply_as(x, y, DTYPE_F32, n, width, centre, scale, offset, false);
}

LANES_INLINE void grad_row(const void *restrict x, const void *restrict dy, enum dtype type,
                           size_t width, const struct norm_columns *columns, float *restrict g)
{
    const float *restrict centre = columns->centre, *restrict rstd = columns->rstd;
    const float *restrict offset = columns->offset;
    const float *restrict gamma = columns->gamma, *restrict beta = columns->beta;

    for (size_t j = 0; j < width; j++) {
        float xhat = lane_fma(lane_read(x, type, j) - centre[j], rstd[j], offset[j]);

        g[j] = lane_read(dy, type, j) * lane_silu_slope(lane_fma(xhat, gamma[j], beta[j]));
    }
}

/* g is of g_type: dy itself, or float32 as grad_row() left it. The sums are arguments of their own
 * because the compiler takes restrict from arguments only. */
LANES_INLINE void grad_sums_rows(const void *restrict x, enum dtype type, const void *restrict g,
                                 enum dtype g_type, int n_rows, size_t width,
                                 const struct norm_columns *columns, float *restrict sum_g,
                                 float *restrict sum_gx, float *restrict sum_x)
{
    const float *restrict centre = columns->centre, *restrict rstd = columns->rstd;
    const float *restrict offset = columns->offset;

    for (size_t j = 0; j < width; j++) {
        float sg = 0.0f, sgx = 0.0f, sx = 0.0f;

        for (int i = 0; i < n_rows; i++) {
            size_t e = (size_t)i * width + j;
            float xhat = lane_fma(lane_read(x, type, e) - centre[j], rstd[j], offset[j]);
            float g_element = lane_read(g, g_type, e);

            sg += g_element;
            sgx = lane_fma(g_element, xhat, sgx);
            sx += xhat;
        }
        sum_g[j] += sg;
        sum_gx[j] += sgx;
        sum_x[j] += sx;
    }
}

/* Up to ROWS rows, of `width` elements each or one of fewer. */
LANES_INLINE void grad_sums_block(const void *x, const void *dy, enum dtype type, int n_rows,
                                  size_t width, const struct norm_columns *columns, float *g,
                                  const struct norm_sums *sums)
{
    if (!g) {
        grad_sums_rows(x, type, dy, type, n_rows, width, columns, sums->g, sums->gx, sums->x);
        return;
    }
    for (size_t i = 0; i < (size_t)n_rows * width; i += width)
        grad_row(lane_at(x, type, i), lane_at(dy, type, i), type, width, columns, g + i);
    grad_sums_rows(x, type, g, DTYPE_F32, n_rows, width, columns, sums->g, sums->gx, sums->x);
}

LANES_INLINE void grad_sums_as(const void *x, const void *dy, enum dtype type, size_t n,
                               size_t width, const struct norm_columns *columns, float *g,
                               const struct norm_sums *sums)
{
    size_t i = 0;

    for (; i + ROWS * width <= n; i += ROWS * width)
        grad_sums_block(lane_at(x, type, i), lane_at(dy, type, i), type, ROWS, width, columns,
                        g ? g + i : NULL, sums);
    for (; i < n; i += width)
        grad_sums_block(lane_at(x, type, i), lane_at(dy, type, i), type, 1, row_count(i, n, width),
                        columns, g ? g + i : NULL, sums);
}

static void grad_sums(const void *x, const void *dy, enum dtype type, size_t n, size_t width,
                      const struct norm_columns *columns, float *g, const struct norm_sums *sums)
{
    if (type == DTYPE_BF16 && g)
        grad_sums_as(x, dy, DTYPE_BF16, n, width, columns, g, sums);
    else if (type == DTYPE_BF16)
        grad_sums_as(x, dy, DTYPE_BF16, n, width, columns, NULL, sums);
    else if (g)
        grad_sums_as(x, dy, DTYPE_F32, n, width, columns, g, sums);
    else
        grad_sums_as(x, dy, DTYPE_F32, n, width, columns, NULL, sums);
}

LANES_INLINE void grad_apply_row(const void *restrict x, enum dtype type, const void *restrict g,
                                 enum dtype g_type, void *restrict dx, size_t width,
                                 const struct norm_columns *columns)
{
    const float *restrict centre = columns->centre, *restrict rstd = columns->rstd;
    const float *restrict offset = columns->offset, *restrict dx_g = columns->dx_g;
    const float *restrict dx_x = columns->dx_x, *restrict dx_1 = columns->dx_1;

    for (size_t start = 0; start < width; start += LANES_TILE) {
        float buffer[LANES_TILE], *tile = lanes_tile(dx, type, start, buffer);
        size_t count = lanes_count(start, width);

        for (size_t i = 0; i < count; i++) {
            size_t j = start + i;
            float xhat = lane_fma(lane_read(x, type, j) - centre[j], rstd[j], offset[j]);

            tile[i] = lane_fma(lane_read(g, g_type, j), dx_g[j], lane_fma(xhat, dx_x[j], dx_1[j]));
        }
        lanes_finish(dx, type, start, tile, count);
    }
}

LANES_INLINE void grad_apply_as(const void *x, enum dtype type, const void *g, enum dtype g_type,
                                void *dx, size_t n, size_t width,
                                const struct norm_columns *columns)
{
    for (size_t i = 0; i < n; i += width)
        grad_apply_row(lane_at(x, type, i), type, lane_at(g, g_type, i), g_type,
                       lane_at_mutable(dx, type, i), row_count(i, n, width), columns);
}

static void grad_apply(const void *x, enum dtype type, const void *g, enum dtype g_type, void *dx,
                       size_t n, size_t width, const struct norm_columns *columns)
{
    if (type == DTYPE_BF16 && g_type == DTYPE_BF16)
        grad_apply_as(x, DTYPE_BF16, g, DTYPE_BF16, dx, n, width, columns);
    else if (type == DTYPE_BF16)
        grad_apply_as(x, DTYPE_BF16, g, DTYPE_F32, dx, n, width, columns);
    else
        grad_apply_as(x, DTYPE_F32, g, DTYPE_F32, dx, n, width, columns);
}

const struct norm_loops LANES_NAME(norm_loops) = {
    .sums = sums,
    .apply = apply,
    .grad_sums = grad_sums,
    .grad_apply = grad_apply,
};
