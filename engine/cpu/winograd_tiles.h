/* What the inner loops of Winograd's convolutions share: tiles, and 32 channels at a time.
 *
 * An image is cut into square tiles of outputs, counted row by row over all images of a batch.
 * For the files that are compiled for AVX512-BF16 alone.
 */
#ifndef ENGINE_CPU_WINOGRAD_TILES_H
#define ENGINE_CPU_WINOGRAD_TILES_H

#include "engine/cpu/winograd_loops.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

/* What a tile reads beyond the edge of its image. */
static const uint16_t winograd_zeros[WINOGRAD_CHANNELS_MAX];

/* 32 channels as two vectors: the even ones and the odd ones, which is how 32 halves come apart
 * without a permutation. */
struct pair {
    __m512 even, odd;
};

INLINE struct pair pair_load(const uint16_t *x)
{
    __m512i both = _mm512_loadu_si512(x);

    return (struct pair){
        _mm512_castsi512_ps(_mm512_slli_epi32(both, 16)),
        _mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32((int)0xFFFF0000))),
    };
}

INLINE struct pair pair_add(struct pair a, struct pair b)
{
    return (struct pair){_mm512_add_ps(a.even, b.even), _mm512_add_ps(a.odd, b.odd)};
}

INLINE struct pair pair_sub(struct pair a, struct pair b)
{
    return (struct pair){_mm512_sub_ps(a.even, b.even), _mm512_sub_ps(a.odd, b.odd)};
}

/* Where the top left output of a tile lies. */
struct place {
    int row, column, image;
};

/* side: outputs of a tile in a row. */
INLINE struct place place_of(const struct winograd_image *image, int side, int tile)
{
    int across = image->w / side, per_image = across * (image->h / side);
    int in_image = tile % per_image;

    return (struct place){in_image / across * side, in_image % across * side, tile / per_image};
}

INLINE void place_advance(struct place *place, const struct winograd_image *image, int side)
{
    place->column += side;
    if (place->column < image->w)
        return;
    place->column = 0;
    place->row += side;
    if (place->row < image->h)
        return;
    place->row = 0;
    place->image++;
}

/* The element at a place, in an activation that begins at x. */
INLINE size_t place_offset(const struct winograd_image *image, struct place place)
{
    return (((size_t)place.image * image->h + place.row) * image->w + place.column) * image->c;
}

/* 0, stride, 2 stride, ... */
INLINE __m512i strides_of(size_t stride)
{
    __m512i count = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);

    return _mm512_mullo_epi32(count, _mm512_set1_epi32((int)stride));
}

#endif
