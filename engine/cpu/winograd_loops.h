/* The inner loops of winograd.c, for processors with AVX512-BF16 (and with it AVX512-VNNI).
 *
 * An image is cut into tiles of outputs, counted row by row over all images of a batch. A tile of
 * s x s outputs reads (s + 2) x (s + 2) inputs; transformed, it has (s + 2)^2 points. Point p of
 * all tiles is a matrix of its own, tiles by channels, and what a convolution does between the
 * transforms is one product of matrices per point.
 *
 * Channels are multiples of 32. Tiles [first, first + n_tiles) are a strip. Thread: any.
 */
#ifndef ENGINE_CPU_WINOGRAD_LOOPS_H
#define ENGINE_CPU_WINOGRAD_LOOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WINOGRAD_SIDE = 4, /* s of winograd_loops */
    WINOGRAD_POINTS = (WINOGRAD_SIDE + 2) * (WINOGRAD_SIDE + 2),
    WINOGRAD_GRADIENT_SIDE = 2, /* of winograd_gradient_loops */
    WINOGRAD_GRADIENT_POINTS = (WINOGRAD_GRADIENT_SIDE + 2) * (WINOGRAD_GRADIENT_SIDE + 2),
    WINOGRAD_COLUMNS = 64, /* of a product at a time, at most */
    WINOGRAD_CHANNELS_MAX = 2048,
};

/* Activations [n,h,w,c] bf16, h and w multiples of the tiles' side. */
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

/* What is done to a convolution's sums before they are stored: y = (sums + bias + residual) scale. */
struct winograd_epilogue {
    const float *bias;        /* [c], NULL: none */
    const uint16_t *residual; /* like y, NULL: none, and scale is not applied */
    float scale;
};

/* Convolution in 16-bit integers: a tile's points share one scale, an output channel's weights one
 * per point, chosen so that no sum of 32 bits can overflow. */
struct winograd_loops {
    /* v [36][n_tiles][c] = round(B^T d B / unit), points `step` apart, unit [n_tiles] by the
     * largest |d| of the tile; NaN where a d is not finite. */
    void (*input)(const uint16_t *x, const struct winograd_image *image, int first, int n_tiles,
                  int16_t *v, size_t step, float *unit);
    /* m [n_rows][n_columns] = v [n_rows][c] u, with u [c/2][n_columns][2]; n_columns 32 or 64. */
    void (*product)(const int16_t *v, const int16_t *u, int n_rows, int c, int n_columns, float *m);
    /* Channels [first_channel, first_channel + n_columns) of y = A^T (m u_unit) A unit, then the
     * epilogue; m [36][n_tiles][n_columns], points `step` apart, u_unit [36][n_columns]. */
    void (*output)(const float *m, size_t step, const float *u_unit, const float *unit,
                   const struct winograd_image *image, int first, int n_tiles, int first_channel,
                   int n_columns, const struct winograd_epilogue *epilogue, uint16_t *y);
    /* G g G^T in blocks of up to 64 of the n_out: u_unit [36][64], then
     * u = round(G g G^T / u_unit) as [36][n_in/2][64][2]. */
    void (*weight)(const float *weight, const struct winograd_weight *shape, void *packed);
};

/* The gradient of the weights, bf16. Within every 32 channels of a transformed matrix the even ones
 * come first. */
struct winograd_gradient_loops {
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
extern const struct winograd_gradient_loops winograd_gradient_loops_avx512_bf16;

#endif
