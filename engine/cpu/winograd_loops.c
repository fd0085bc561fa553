#include "engine/cpu/winograd_tiles.h"

#include <string.h>

enum {
    SIDE = WINOGRAD_SIDE,
    WINDOW = WINOGRAD_SIDE + 2,
    SEGMENT = 128, /* channels whose products are summed in 32 bits */
    ROWS = 6,      /* of a block of a product */
};

/* The points of the transforms are 0, +-P, +-Q and infinity. */
#define P  0.75f
#define Q  1.5f
#define P2 (P * P)
#define Q2 (Q * Q)

/* No row of B is larger than 1 + P + Q^2 + P Q^2 in the sum of its entries' sizes, so |B^T d B| <=
 * 32.35 max|d|: 16 bits hold it if max|d| becomes 1010. */
static const float input_range = 1010.0f;

/* A sum over a segment is at most 32767 times the sum of the sizes of the weights. */
static const float weight_sum_max = 65000.0f, weight_max = 32700.0f;

/* The pixels that a tile reads. */
struct window {
    const uint16_t *pixels[WINDOW][WINDOW];
};

INLINE void window_at(const uint16_t *x, const struct winograd_image *image, struct place place,
                      struct window *window)
{
    ptrdiff_t c = image->c, row = image->w * c;
    const uint16_t *corner = x + place_offset(image, place);

    for (int i = 0; i < WINDOW; i++) {
        int y = place.row + i - 1;

        for (int j = 0; j < WINDOW; j++) {
            int across = place.column + j - 1;
            bool inside = y >= 0 && y < image->h && across >= 0 && across < image->w;

            window->pixels[i][j] = inside ? corner + (i - 1) * row + (j - 1) * c : winograd_zeros;
        }
    }
}

/* The largest |x| of a window; at least infinity if one is not finite. The sizes of bf16 numbers
 * are in the order of their bits without the sign. */
INLINE float window_max(const struct window *window, size_t c)
{
    const __m512i size = _mm512_set1_epi16(0x7FFF);
    __m512i max = _mm512_setzero_si512();
    __m512i high;

    for (int i = 0; i < WINDOW * WINDOW; i++) {
        const uint16_t *pixel = window->pixels[i / WINDOW][i % WINDOW];

        for (size_t channel = 0; channel < c; channel += 32)
            max =
                _mm512_max_epu16(max, _mm512_and_si512(size, _mm512_loadu_si512(pixel + channel)));
    }
    high = _mm512_max_epu32(_mm512_slli_epi32(max, 16),
                            _mm512_and_si512(max, _mm512_set1_epi32((int)0xFFFF0000)));
    return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((int)_mm512_reduce_max_epu32(high))));
}

INLINE struct pair pair_fma(float a, struct pair b, struct pair c)
{
    __m512 factor = _mm512_set1_ps(a);

    return (struct pair){_mm512_fmadd_ps(factor, b.even, c.even),
                         _mm512_fmadd_ps(factor, b.odd, c.odd)};
}

/* B^T d along one axis. */
INLINE void input_points(const struct pair d[WINDOW], struct pair points[WINDOW])
{
    struct pair even_p = pair_fma(-Q2, d[2], d[4]), odd_p = pair_fma(-Q2, d[1], d[3]);
    struct pair even_q = pair_fma(-P2, d[2], d[4]), odd_q = pair_fma(-P2, d[1], d[3]);

    points[0] = pair_fma(P2 * Q2, d[0], pair_fma(-(P2 + Q2), d[2], d[4]));
    points[1] = pair_fma(P, odd_p, even_p);
    points[2] = pair_fma(-P, odd_p, even_p);
    points[3] = pair_fma(Q, odd_q, even_q);
    points[4] = pair_fma(-Q, odd_q, even_q);
    points[5] = pair_fma(P2 * Q2, d[1], pair_fma(-(P2 + Q2), d[3], d[5]));
}

INLINE void pair_store_rounded(int16_t *v, struct pair a)
{
    __m512i even = _mm512_cvtps_epi32(a.even), odd = _mm512_cvtps_epi32(a.odd);

    _mm512_storeu_si512(v, _mm512_mask_blend_epi16(0xAAAAAAAA, even, _mm512_slli_epi32(odd, 16)));
}

/* 32 channels of a tile; the points of a channel are `step` apart. */
INLINE void input_channels(const struct window *window, size_t channel, __m512 scale, int16_t *v,
                           size_t step)
{
    struct pair t[WINDOW][WINDOW];

    for (int j = 0; j < WINDOW; j++) {
        struct pair d[WINDOW], points[WINDOW];

        for (int i = 0; i < WINDOW; i++) {
            d[i] = pair_load(window->pixels[i][j] + channel);
            d[i].even = _mm512_mul_ps(d[i].even, scale);
            d[i].odd = _mm512_mul_ps(d[i].odd, scale);
        }
        input_points(d, points);
        for (int i = 0; i < WINDOW; i++)
            t[i][j] = points[i];
    }
    for (int i = 0; i < WINDOW; i++) {
        struct pair points[WINDOW];

        input_points(t[i], points);
        for (int j = 0; j < WINDOW; j++)
            pair_store_rounded(v + (size_t)(WINDOW * i + j) * step, points[j]);
    }
}

static void input(const uint16_t *x, const struct winograd_image *image, int first, int n_tiles,
                  int16_t *v, size_t step, float *unit)
{
    size_t c = (size_t)image->c;
    struct place place = place_of(image, SIDE, first);

    for (int tile = 0; tile < n_tiles; tile++, place_advance(&place, image, SIDE)) {
        struct window window;
        float max, scale;

        window_at(x, image, place, &window);
        max = window_max(&window, c);
        /* What is smaller could not be scaled up, and counts as nothing. */
        scale = max < 0x1p-100f ? 0.0f : input_range / max;
        unit[tile] = max <= 3.4e38f ? max / input_range : max - max;
        for (size_t channel = 0; channel < c; channel += 32)
            input_channels(&window, channel, _mm512_set1_ps(scale), v + (size_t)tile * c + channel,
                           step);
    }
}

/* sum += the products of the halves of a and b, pair by pair. In assembly because gcc 12 copies the
 * sum before and after the intrinsic, which halves the speed of a product. */
INLINE __m512i add_products(__m512i sum, __m512i a, __m512i b)
{
    __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
}

/* n_rows by n_vectors of 16 columns of m, over 2 n_steps channels. */
INLINE void product_block(const int16_t *v, size_t v_row, const int16_t *u, int n_steps, int n_rows,
                          int n_vectors, bool add, float *m)
{
    __m512i sum[ROWS][4];

    for (int i = 0; i < n_rows; i++) {
        for (int j = 0; j < n_vectors; j++)
            sum[i][j] = _mm512_setzero_si512();
    }
    for (int k = 0; k < n_steps; k++) {
        __m512i right[4];

        for (int j = 0; j < n_vectors; j++)
            right[j] = _mm512_loadu_si512(u + 32 * j);
        for (int i = 0; i < n_rows; i++) {
            int left;

            memcpy(&left, v + (size_t)i * v_row, sizeof(left));
            for (int j = 0; j < n_vectors; j++)
                sum[i][j] = add_products(sum[i][j], _mm512_set1_epi32(left), right[j]);
        }
        v += 2;
        u += 32 * n_vectors;
    }
    for (int i = 0; i < n_rows; i++) {
        for (int j = 0; j < n_vectors; j++) {
            float *out = m + 16 * (i * n_vectors + j);
            __m512 value = _mm512_cvtepi32_ps(sum[i][j]);

            _mm512_storeu_ps(out, add ? _mm512_add_ps(_mm512_loadu_ps(out), value) : value);
        }
    }
}

/* All rows of n_vectors columns. */
INLINE void product_rows(const int16_t *v, size_t v_row, const int16_t *u, int n_steps, int n_rows,
                         int n_vectors, bool add, float *m)
{
    for (; n_rows >= ROWS; n_rows -= ROWS) {
        product_block(v, v_row, u, n_steps, ROWS, n_vectors, add, m);
        v += ROWS * v_row;
        m += 16 * ROWS * n_vectors;
    }
    switch (n_rows) {
    case 5:
        product_block(v, v_row, u, n_steps, 5, n_vectors, add, m);
        break;
    case 4:
        product_block(v, v_row, u, n_steps, 4, n_vectors, add, m);
        break;
    case 3:
        product_block(v, v_row, u, n_steps, 3, n_vectors, add, m);
        break;
    case 2:
        product_block(v, v_row, u, n_steps, 2, n_vectors, add, m);
        break;
    case 1:
        product_block(v, v_row, u, n_steps, 1, n_vectors, add, m);
        break;
    default:
        break;
    }
}

static void product(const int16_t *v, const int16_t *u, int n_rows, int c, int n_columns, float *m)
{
    for (int first = 0; first < c; first += SEGMENT) {
        int n_steps = (c - first < SEGMENT ? c - first : SEGMENT) / 2;

        if (n_columns == WINOGRAD_COLUMNS)
            product_rows(v, (size_t)c, u, n_steps, n_rows, 4, first > 0, m);
        else
            product_rows(v, (size_t)c, u, n_steps, n_rows, 2, first > 0, m);
        v += SEGMENT;
        u += (size_t)SEGMENT * (size_t)n_columns;
    }
}

/* A^T along one axis. */
INLINE void output_points(__m512 m0, __m512 sum_p, __m512 difference_p, __m512 sum_q,
                          __m512 difference_q, __m512 m5, __m512 y[SIDE])
{
    const __m512 p = _mm512_set1_ps(P), q = _mm512_set1_ps(Q);
    const __m512 p2 = _mm512_set1_ps(P2), q2 = _mm512_set1_ps(Q2);
    const __m512 p3 = _mm512_set1_ps(P2 * P), q3 = _mm512_set1_ps(Q2 * Q);

    y[0] = _mm512_add_ps(m0, _mm512_add_ps(sum_p, sum_q));
    y[1] = _mm512_fmadd_ps(p, difference_p, _mm512_mul_ps(q, difference_q));
    y[2] = _mm512_fmadd_ps(p2, sum_p, _mm512_mul_ps(q2, sum_q));
    y[3] = _mm512_fmadd_ps(p3, difference_p, _mm512_fmadd_ps(q3, difference_q, m5));
}

INLINE void store_rounded(uint16_t *y, __m512 value)
{
    _mm256_storeu_si256((__m256i *)(void *)y, (__m256i)_mm512_cvtneps_pbh(value));
}

INLINE __m512 load_halves(const uint16_t *x)
{
    __m256i halves = _mm256_loadu_si256((const __m256i *)(const void *)x);

    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

/* 16 channels of a tile. out, and the residual if there is one, begin at its first pixel. */
INLINE void output_channels(const float *m, size_t step, const float *u_unit, size_t unit_step,
                            __m512 unit, __m512 bias, const uint16_t *residual, __m512 scale,
                            uint16_t *out, size_t row, size_t c)
{
    __m512 t[SIDE][WINDOW];

    for (int j = 0; j < WINDOW; j++) {
        __m512 point[WINDOW], y[SIDE], sum[2], difference[2];

        for (int i = 0; i < WINDOW; i += WINDOW - 1)
            point[i] =
                _mm512_mul_ps(_mm512_loadu_ps(m + (size_t)(WINDOW * i + j) * step),
                              _mm512_loadu_ps(u_unit + (size_t)(WINDOW * i + j) * unit_step));
        for (int i = 0; i < 2; i++) {
            size_t plus = (size_t)(WINDOW * (2 * i + 1) + j), minus = plus + WINDOW;
            __m512 first = _mm512_mul_ps(_mm512_loadu_ps(m + plus * step),
                                         _mm512_loadu_ps(u_unit + plus * unit_step));
            __m512 second = _mm512_loadu_ps(m + minus * step);
            __m512 factor = _mm512_loadu_ps(u_unit + minus * unit_step);

            sum[i] = _mm512_fmadd_ps(second, factor, first);
            difference[i] = _mm512_fnmadd_ps(second, factor, first);
        }
        output_points(point[0], sum[0], difference[0], sum[1], difference[1], point[WINDOW - 1], y);
        for (int i = 0; i < SIDE; i++)
            t[i][j] = y[i];
    }
    for (int i = 0; i < SIDE; i++) {
        __m512 y[SIDE];

        output_points(t[i][0], _mm512_add_ps(t[i][1], t[i][2]), _mm512_sub_ps(t[i][1], t[i][2]),
                      _mm512_add_ps(t[i][3], t[i][4]), _mm512_sub_ps(t[i][3], t[i][4]), t[i][5], y);
        for (int j = 0; j < SIDE; j++) {
            size_t pixel = (size_t)i * row + (size_t)j * c;
            __m512 value = _mm512_fmadd_ps(y[j], unit, bias);

            if (residual)
                value = _mm512_mul_ps(_mm512_add_ps(value, load_halves(residual + pixel)), scale);
            store_rounded(out + pixel, value);
        }
    }
}

static void output(const float *m, size_t step, const float *u_unit, const float *unit,
                   const struct winograd_image *image, int first, int n_tiles, int first_channel,
                   int n_columns, const struct winograd_epilogue *epilogue, uint16_t *y)
{
    size_t c = (size_t)image->c, row = (size_t)image->w * c;
    __m512 scale = _mm512_set1_ps(epilogue->scale);
    struct place place = place_of(image, SIDE, first);

    for (int tile = 0; tile < n_tiles; tile++, place_advance(&place, image, SIDE)) {
        size_t corner = place_offset(image, place) + (size_t)first_channel;
        __m512 tile_unit = _mm512_set1_ps(unit[tile]);

        for (int k = 0; k < n_columns; k += 16) {
            const float *points = m + (size_t)tile * (size_t)n_columns + k;
            __m512 bias = epilogue->bias ? _mm512_loadu_ps(epilogue->bias + first_channel + k)
                                         : _mm512_setzero_ps();

            if (epilogue->residual)
                output_channels(points, step, u_unit + k, (size_t)n_columns, tile_unit, bias,
                                epilogue->residual + corner + k, scale, y + corner + k, row, c);
            else
                output_channels(points, step, u_unit + k, (size_t)n_columns, tile_unit, bias, NULL,
                                scale, y + corner + k, row, c);
        }
    }
}

/* G g along one axis. */
INLINE void weight_axis(const __m512 g[3], __m512 points[WINDOW])
{
    const __m512 at_0 = _mm512_set1_ps(1.0f / (P2 * Q2));
    const __m512 at_p = _mm512_set1_ps(1.0f / (2.0f * P2 * (P2 - Q2)));
    const __m512 at_q = _mm512_set1_ps(1.0f / (2.0f * Q2 * (Q2 - P2)));
    __m512 even_p = _mm512_mul_ps(at_p, _mm512_fmadd_ps(_mm512_set1_ps(P2), g[2], g[0]));
    __m512 odd_p = _mm512_mul_ps(at_p, _mm512_mul_ps(_mm512_set1_ps(P), g[1]));
    __m512 even_q = _mm512_mul_ps(at_q, _mm512_fmadd_ps(_mm512_set1_ps(Q2), g[2], g[0]));
    __m512 odd_q = _mm512_mul_ps(at_q, _mm512_mul_ps(_mm512_set1_ps(Q), g[1]));

    points[0] = _mm512_mul_ps(at_0, g[0]);
    points[1] = _mm512_add_ps(even_p, odd_p);
    points[2] = _mm512_sub_ps(even_p, odd_p);
    points[3] = _mm512_add_ps(even_q, odd_q);
    points[4] = _mm512_sub_ps(even_q, odd_q);
    points[5] = g[2];
}

/* 16 windows, `stride` floats apart. */
INLINE void weight_points(const float *window, __m512i stride, bool flipped,
                          __m512 points[WINOGRAD_POINTS])
{
    __m512 t[WINDOW][3];

    for (int j = 0; j < 3; j++) {
        __m512 g[3], column[WINDOW];

        for (int i = 0; i < 3; i++)
            g[i] = _mm512_i32gather_ps(stride, window + (flipped ? 8 - (3 * i + j) : 3 * i + j), 4);
        weight_axis(g, column);
        for (int i = 0; i < WINDOW; i++)
            t[i][j] = column[i];
    }
    for (int i = 0; i < WINDOW; i++)
        weight_axis(t[i], points + (ptrdiff_t)WINDOW * i);
}

/* The units of 16 output channels, and their inverses. */
INLINE void weight_units(const float *window, const struct winograd_weight *shape, __m512i stride,
                         float *unit, size_t unit_step, __m512 inverse[WINOGRAD_POINTS])
{
    __m512 largest[WINOGRAD_POINTS], sum_max[WINOGRAD_POINTS], total[WINOGRAD_POINTS];

    for (int p = 0; p < WINOGRAD_POINTS; p++)
        largest[p] = sum_max[p] = total[p] = _mm512_setzero_ps();
    for (int first = 0; first < shape->n_in; first += SEGMENT) {
        __m512 sum[WINOGRAD_POINTS];

        for (int p = 0; p < WINOGRAD_POINTS; p++)
            sum[p] = _mm512_setzero_ps();
        for (int i = first; i < shape->n_in && i < first + SEGMENT; i++) {
            __m512 points[WINOGRAD_POINTS];

            weight_points(window + (size_t)i * shape->in_stride, stride, shape->flipped, points);
            for (int p = 0; p < WINOGRAD_POINTS; p++) {
                __m512 size = _mm512_abs_ps(points[p]);

                largest[p] = _mm512_max_ps(largest[p], size);
                sum[p] = _mm512_add_ps(sum[p], size);
            }
        }
        for (int p = 0; p < WINOGRAD_POINTS; p++) {
            sum_max[p] = _mm512_max_ps(sum_max[p], sum[p]);
            total[p] = _mm512_add_ps(total[p], sum[p]);
        }
    }
    for (int p = 0; p < WINOGRAD_POINTS; p++) {
        __m512 by_sum = _mm512_mul_ps(sum_max[p], _mm512_set1_ps(1.0f / weight_sum_max));
        __m512 by_size = _mm512_mul_ps(largest[p], _mm512_set1_ps(1.0f / weight_max));
        __m512 u = _mm512_max_ps(_mm512_max_ps(by_sum, by_size), _mm512_set1_ps(0x1p-100f));
        /* NaN if a weight is not finite, else 0 */
        __m512 poison = _mm512_sub_ps(total[p], total[p]);

        inverse[p] = _mm512_div_ps(_mm512_set1_ps(1.0f), u);
        _mm512_storeu_ps(unit + (size_t)p * unit_step, _mm512_add_ps(u, poison));
    }
}

static void weight(const float *plain, const struct winograd_weight *shape, void *packed)
{
    const __m512i stride = strides_of(shape->out_stride);
    size_t n_in = (size_t)shape->n_in, n_out = (size_t)shape->n_out;
    char *block_at = packed;

    for (size_t block = 0; block < n_out; block += WINOGRAD_COLUMNS) {
        size_t n_columns = n_out - block < WINOGRAD_COLUMNS ? n_out - block : WINOGRAD_COLUMNS;
        size_t step = n_in * n_columns;
        float *unit = (float *)(void *)block_at;
        int16_t *u = (int16_t *)(void *)(unit + WINOGRAD_POINTS * n_columns);

        for (size_t column = 0; column < n_columns; column += 16) {
            const float *window = plain + (block + column) * shape->out_stride;
            __m512 inverse[WINOGRAD_POINTS];

            weight_units(window, shape, stride, unit + column, n_columns, inverse);
            for (size_t i = 0; i < n_in; i += 2) {
                int16_t *out = u + i * n_columns + column * 2;
                __m512 a[WINOGRAD_POINTS], b[WINOGRAD_POINTS];

                weight_points(window + i * shape->in_stride, stride, shape->flipped, a);
                weight_points(window + (i + 1) * shape->in_stride, stride, shape->flipped, b);
                for (size_t p = 0; p < WINOGRAD_POINTS; p++)
                    pair_store_rounded(out + p * step,
                                       (struct pair){_mm512_mul_ps(a[p], inverse[p]),
                                                     _mm512_mul_ps(b[p], inverse[p])});
            }
        }
        block_at = (char *)(void *)(u + WINOGRAD_POINTS * step);
    }
}

const struct winograd_loops winograd_loops_avx512_bf16 = {
    .input = input,
    .product = product,
    .output = output,
    .weight = weight,
};
