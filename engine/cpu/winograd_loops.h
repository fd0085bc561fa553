/* The inner loops of winograd.c, for processors with AVX512-BF16.
 *
 * An image is cut into tiles of 2x2 outputs, counted row by row over all images of a batch; a tile
 * reads 4x4 inputs. Transformed, it has 16 points. Point p of all tiles is a matrix of its own,
 * tiles by channels, and what a convolution does between the transforms is one product of
 * matrices per point.
 *
 * Within every 32 channels of a transformed matrix the even ones come first.
 * Channels are multiples of 32. Tiles [first, first + n_tiles) are a strip. Thread: any.
 */
#ifndef ENGINE_CPU_WINOGRAD_LOOPS_H
#define ENGINE_CPU_WINOGRAD_LOOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WINOGRAD_POINTS = 16,
    WINOGRAD_COLUMNS = 64, /* of a product at a time, at most */
    WINOGRAD_CHANNELS_MAX = 2048,
};

/* Activations [n,h,w,c] bf16, h and w even. */
struct winograd_image {
    int h, w, c;
};

/* Plain weights as they lie in memory: element (in, out, row, column) of the 3x3 windows is
 * [in in_stride + out out_stride + 3 row + column]. */
struct winograd_weight {
    int n_in, n_out;
    size_t in_stride, out_stride;
    bool flipped; /* both axes of the windows, as the gradient of the data wants */
};

struct winograd_loops {
    /* v [16][n_tiles][c] = B^T d B */
    void (*input)(const uint16_t *x, const struct winograd_image *image, int first, int n_tiles,
                  uint16_t *v);
    /* m [n_rows][n_columns] = v [n_rows][c] u, with u [c/2][n_columns][2]; n_columns 32 or 64. */
    void (*product)(const uint16_t *v, const uint16_t *u, int n_rows, int c, int n_columns,
                    float *m);
    /* Channels [first_channel, first_channel + n_columns) of y = A^T m A + bias, with m
     * [16][n_tiles][n_columns]. bias [c] or NULL. */
    void (*output)(const float *m, const struct winograd_image *image, int first, int n_tiles,
                   int first_channel, int n_columns, const float *bias, uint16_t *y);
    /* u = G g G^T rounded, in blocks of up to 64 of the n_out: [block][16][n_in/2][64][2]. */
    void (*weight)(const float *weight, const struct winograd_weight *shape, uint16_t *u);

    /* v [16][pairs][c][2] = B^T d B, with pairs = ceil(n_tiles / 2) of neighbouring tiles. */
    void (*input_pairs)(const uint16_t *x, const struct winograd_image *image, int first,
                        int n_tiles, uint16_t *v);
    /* The same of A dy A^T; adds dy to sum [c], in the order of the channels, if not NULL. */
    void (*output_pairs)(const uint16_t *dy, const struct winograd_image *image, int first,
                         int n_tiles, uint16_t *v, float *sum);
    /* du [n_in][n_out] = v^T z, or += when add; v [n_pairs][n_in][2], z [n_pairs][n_out][2]. */
    void (*product_pairs)(const uint16_t *v, const uint16_t *z, int n_pairs, int n_in, int n_out,
                          bool add, float *du);
    /* weight = G^T du G, with du [16][n_in][n_out]. */
    void (*weight_grad)(const float *du, const struct winograd_weight *shape, float *weight);
};

extern const struct winograd_loops winograd_loops_avx512_bf16;

#endif
