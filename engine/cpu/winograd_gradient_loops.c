#include "engine/cpu/winograd_tiles.h"

#include <string.h>

/* [16][2]: a rounded, b rounded. */
INLINE void store_interleaved(uint16_t *v, __m512 a, __m512 b)
{
    __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,
                                     23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);

    _mm512_storeu_si512(v, _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(b, a)));
}

/* Channels of two tiles: [32][2]. */
INLINE void pair_store_interleaved(uint16_t *v, struct pair a, struct pair b)
{
    store_interleaved(v, a.even, b.even);
    store_interleaved(v + 32, a.odd, b.odd);
}

/* The pixels that a tile reads. */
struct window {
    const uint16_t *pixels[4][4];
};

INLINE void window_at(const uint16_t *x, const struct winograd_image *image, struct place place,
                      struct window *window)
{
    ptrdiff_t c = image->c, row = image->w * c;
    const uint16_t *corner = x + place_offset(image, place);
    bool beyond[4] = {place.row == 0, false, false, place.row + 2 == image->h};
    bool beside[4] = {place.column == 0, false, false, place.column + 2 == image->w};

    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++)
            window->pixels[i][j] =
                beyond[i] || beside[j] ? winograd_zeros : corner + (i - 1) * row + (j - 1) * c;
    }
}

/* Row i of B^T d B, 32 channels. */
INLINE void input_points(const struct window *window, size_t channel, int i, struct pair points[4])
{
    static const int rows[4][2] = {{0, 2}, {1, 2}, {2, 1}, {1, 3}};
    struct pair t[4];

    for (int j = 0; j < 4; j++) {
        struct pair a = pair_load(window->pixels[rows[i][0]][j] + channel);
        struct pair b = pair_load(window->pixels[rows[i][1]][j] + channel);

        t[j] = i == 1 ? pair_add(a, b) : pair_sub(a, b);
    }
    points[0] = pair_sub(t[0], t[2]);
    points[1] = pair_add(t[1], t[2]);
    points[2] = pair_sub(t[2], t[1]);
    points[3] = pair_sub(t[1], t[3]);
}

static void input_pairs(const uint16_t *x, const struct winograd_image *image, int first,
                        int n_tiles, uint16_t *v)
{
    size_t c = (size_t)image->c, step = (size_t)((n_tiles + 1) / 2) * c * 2;
    struct place place = place_of(image, 2, first);

    for (int tile = 0; tile < n_tiles; tile += 2) {
        struct window left, right;

        window_at(x, image, place, &left);
        place_advance(&place, image, 2);
        if (tile + 1 < n_tiles) {
            window_at(x, image, place, &right);
            place_advance(&place, image, 2);
        } else {
            for (int i = 0; i < 16; i++)
                right.pixels[i / 4][i % 4] = winograd_zeros;
        }
        for (size_t channel = 0; channel < c; channel += 32) {
            for (int i = 0; i < 4; i++) {
                uint16_t *out = v + (size_t)(4 * i) * step + ((size_t)tile / 2 * c + channel) * 2;
                struct pair a[4], b[4];

                input_points(&left, channel, i, a);
                input_points(&right, channel, i, b);
                for (int j = 0; j < 4; j++)
                    pair_store_interleaved(out + (size_t)j * step, a[j], b[j]);
            }
        }
    }
}

/* The four outputs of a tile. */
struct quad {
    const uint16_t *pixels[2][2];
};

INLINE struct quad quad_at(const uint16_t *dy, const struct winograd_image *image,
                           struct place place)
{
    size_t c = (size_t)image->c, row = (size_t)image->w * c;
    const uint16_t *corner = dy + place_offset(image, place);

    return (struct quad){{{corner, corner + c}, {corner + row, corner + row + c}}};
}

/* Row i of A dy A^T, 32 channels. */
INLINE void output_points(const struct pair d[2][2], int i, struct pair points[4])
{
    struct pair nothing = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    struct pair t[2];

    for (int j = 0; j < 2; j++)
        t[j] = i == 0   ? d[0][j]
               : i == 1 ? pair_add(d[0][j], d[1][j])
               : i == 2 ? pair_sub(d[0][j], d[1][j])
                        : pair_sub(nothing, d[1][j]);
    points[0] = t[0];
    points[1] = pair_add(t[0], t[1]);
    points[2] = pair_sub(t[0], t[1]);
    points[3] = pair_sub(nothing, t[1]);
}

INLINE struct pair quad_load(const struct quad *quad, size_t channel, struct pair d[2][2])
{
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 2; j++)
            d[i][j] = pair_load(quad->pixels[i][j] + channel);
    }
    return pair_add(pair_add(d[0][0], d[0][1]), pair_add(d[1][0], d[1][1]));
}

/* sum [32] += a, in the order of the channels. */
INLINE void pair_accumulate(float *sum, struct pair a)
{
    __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    __m512i high = _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8);
    __m512 first = _mm512_permutex2var_ps(a.even, low, a.odd);
    __m512 second = _mm512_permutex2var_ps(a.even, high, a.odd);

    _mm512_storeu_ps(sum, _mm512_add_ps(_mm512_loadu_ps(sum), first));
    _mm512_storeu_ps(sum + 16, _mm512_add_ps(_mm512_loadu_ps(sum + 16), second));
}

static void output_pairs(const uint16_t *dy, const struct winograd_image *image, int first,
                         int n_tiles, uint16_t *v, float *sum)
{
    size_t c = (size_t)image->c, step = (size_t)((n_tiles + 1) / 2) * c * 2;
    struct place place = place_of(image, 2, first);

    for (int tile = 0; tile < n_tiles; tile += 2) {
        struct quad left = quad_at(dy, image, place);
        struct quad right = {{{winograd_zeros, winograd_zeros}, {winograd_zeros, winograd_zeros}}};

        place_advance(&place, image, 2);
        if (tile + 1 < n_tiles) {
            right = quad_at(dy, image, place);
            place_advance(&place, image, 2);
        }
        for (size_t channel = 0; channel < c; channel += 32) {
            struct pair a[2][2], b[2][2];
            struct pair total =
                pair_add(quad_load(&left, channel, a), quad_load(&right, channel, b));

            if (sum)
                pair_accumulate(sum + channel, total);
            for (int i = 0; i < 4; i++) {
                uint16_t *out = v + (size_t)(4 * i) * step + ((size_t)tile / 2 * c + channel) * 2;
                struct pair p[4], q[4];

                output_points(a, i, p);
                output_points(b, i, q);
                for (int j = 0; j < 4; j++)
                    pair_store_interleaved(out + (size_t)j * step, p[j], q[j]);
            }
        }
    }
}

/* How a block of a product, n_rows by n_vectors of 16 columns, walks through its factors: step k
 * multiplies the pair at left + k left_step + 2 row by the pairs at right + k right_step. */
struct walk {
    const uint16_t *left, *right;
    size_t left_row, left_step, right_step;
    int n_steps;
};

INLINE void product_block(struct walk walk, int n_rows, int n_vectors, bool add, float *m,
                          size_t m_row)
{
    __m512 sum[6][4];

    for (int i = 0; i < n_rows; i++) {
        for (int j = 0; j < n_vectors; j++)
            sum[i][j] = add ? _mm512_loadu_ps(m + (size_t)i * m_row + 16 * j) : _mm512_setzero_ps();
    }
    for (int k = 0; k < walk.n_steps; k++) {
        __m512bh right[4];

        for (int j = 0; j < n_vectors; j++)
            right[j] = (__m512bh)_mm512_loadu_si512(walk.right + 32 * j);
        for (int i = 0; i < n_rows; i++) {
            int left;

            memcpy(&left, walk.left + (size_t)i * walk.left_row, sizeof(left));
            for (int j = 0; j < n_vectors; j++)
                sum[i][j] =
                    _mm512_dpbf16_ps(sum[i][j], (__m512bh)_mm512_set1_epi32(left), right[j]);
        }
        walk.left += walk.left_step;
        walk.right += walk.right_step;
    }
    for (int i = 0; i < n_rows; i++) {
        for (int j = 0; j < n_vectors; j++)
            _mm512_storeu_ps(m + (size_t)i * m_row + 16 * j, sum[i][j]);
    }
}

/* All rows of n_vectors columns, six at a time. */
INLINE void product_rows(struct walk walk, int n_rows, int n_vectors, bool add, float *m,
                         size_t m_row)
{
    for (; n_rows >= 6; n_rows -= 6) {
        product_block(walk, 6, n_vectors, add, m, m_row);
        walk.left += 6 * walk.left_row;
        m += 6 * m_row;
    }
    switch (n_rows) {
    case 5:
        product_block(walk, 5, n_vectors, add, m, m_row);
        break;
    case 4:
        product_block(walk, 4, n_vectors, add, m, m_row);
        break;
    case 3:
        product_block(walk, 3, n_vectors, add, m, m_row);
        break;
    case 2:
        product_block(walk, 2, n_vectors, add, m, m_row);
        break;
    case 1:
        product_block(walk, 1, n_vectors, add, m, m_row);
        break;
    default:
        break;
    }
}

static void product_pairs(const uint16_t *v, const uint16_t *z, int n_pairs, int n_in, int n_out,
                          bool add, float *du)
{
    for (int column = 0; column < n_out; column += WINOGRAD_COLUMNS) {
        struct walk walk = {
            .left = v,
            .right = z + (size_t)column * 2,
            .left_row = 2,
            .left_step = (size_t)n_in * 2,
            .right_step = (size_t)n_out * 2,
            .n_steps = n_pairs,
        };

        if (n_out - column >= WINOGRAD_COLUMNS)
            product_rows(walk, n_in, 4, add, du + column, (size_t)n_out);
        else
            product_rows(walk, n_in, 2, add, du + column, (size_t)n_out);
    }
}

/* The channel at a position of a transformed matrix. */
static size_t channel_at(size_t position)
{
    return position / 32 * 32 + position % 16 * 2 + position % 32 / 16;
}

/* The inverse of channel_at(). */
static size_t position_of(size_t channel)
{
    return channel / 32 * 32 + channel % 32 / 2 + channel % 2 * 16;
}

static void weight_grad(const float *du, const struct winograd_weight *shape, float *plain)
{
    /* Positions 16 i .. 16 i + 15 are every other channel. */
    const __m512i stride = strides_of(2 * shape->out_stride);
    const __m512 half = _mm512_set1_ps(0.5f);
    size_t n_in = (size_t)shape->n_in, n_out = (size_t)shape->n_out, step = n_in * n_out;

    for (size_t column = 0; column < n_out; column += 16) {
        for (size_t channel = 0; channel < n_in; channel++) {
            const float *points = du + position_of(channel) * n_out + column;
            float *window =
                plain + channel * shape->in_stride + channel_at(column) * shape->out_stride;
            __m512 t[3][4];

            for (size_t j = 0; j < 4; j++) {
                __m512 m0 = _mm512_loadu_ps(points + j * step);
                __m512 m1 = _mm512_loadu_ps(points + (4 + j) * step);
                __m512 m2 = _mm512_loadu_ps(points + (8 + j) * step);
                __m512 m3 = _mm512_loadu_ps(points + (12 + j) * step);
                __m512 sum = _mm512_mul_ps(half, _mm512_add_ps(m1, m2));

                t[0][j] = _mm512_add_ps(m0, sum);
                t[1][j] = _mm512_mul_ps(half, _mm512_sub_ps(m1, m2));
                t[2][j] = _mm512_add_ps(sum, m3);
            }
            for (int i = 0; i < 3; i++) {
                __m512 sum = _mm512_mul_ps(half, _mm512_add_ps(t[i][1], t[i][2]));
                __m512 difference = _mm512_mul_ps(half, _mm512_sub_ps(t[i][1], t[i][2]));

                _mm512_i32scatter_ps(window + 3 * i, stride, _mm512_add_ps(t[i][0], sum), 4);
                _mm512_i32scatter_ps(window + 3 * i + 1, stride, difference, 4);
                _mm512_i32scatter_ps(window + 3 * i + 2, stride, _mm512_add_ps(sum, t[i][3]), 4);
            }
        }
    }
}

const struct winograd_gradient_loops winograd_gradient_loops_avx512_bf16 = {
    .input_pairs = input_pairs,
    .output_pairs = output_pairs,
    .product_pairs = product_pairs,
    .weight_grad = weight_grad,
};
