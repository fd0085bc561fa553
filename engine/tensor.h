/* Tensors as programs and devices speak of them: dense, in the memory order of engine/op.h. */
#ifndef ENGINE_TENSOR_H
#define ENGINE_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dtype { DTYPE_F32, DTYPE_BF16, DTYPE_F16, DTYPE_U32, DTYPE_U8 };

/* In a tensor of slots: the row has no image, as rows of runs on a GPU may. */
#define SLOT_NONE UINT32_MAX

size_t dtype_size(enum dtype dtype);     /* bytes */
bool dtype_is_rounded(enum dtype dtype); /* of 16 bits: DTYPE_BF16, DTYPE_F16 */

/* n numbers of one of the three floating types from float32, rounded to nearest even, and back. */
void dtype_from_floats(enum dtype dtype, void *dst, const float *src, size_t n);
void dtype_to_floats(enum dtype dtype, const void *src, float *dst, size_t n);

enum { SHAPE_DIMS_MAX = 4 };

struct shape {
    bool batched;             /* a leading dimension n, not counted in dims */
    int n_dims;               /* 1 .. SHAPE_DIMS_MAX */
    int dims[SHAPE_DIMS_MAX]; /* each >= 1 */
};

struct shape shape_batched(int n_dims, const int *dims);
struct shape shape_images(int h, int w, int c); /* [n,h,w,c] */
struct shape shape_vectors(int c);              /* [n,c] */
struct shape shape_constant(int n_dims, const int *dims);
bool shape_equal(const struct shape *a, const struct shape *b);
/* Elements per image, or of the whole if unbatched. */
size_t shape_count(const struct shape *shape);

enum { TENSOR_TEXT_BYTES = 64 };

/* "64x64x128 bf16": what an image has of it. */
void tensor_text(const struct shape *shape, enum dtype dtype, char *text, size_t size);

/* A concrete tensor. */
struct tensor_desc {
    enum dtype dtype;
    bool parameter; /* may be handed over packed, see struct kernel */
    bool absent;    /* an optional input that was left out; its pointer is NULL */
    bool state;     /* the whole of a state: all slots, which n does not count */
    struct shape shape;
    int n; /* images; 1 if unbatched */
};

/* Elements of all images; 0 if absent. */
size_t tensor_count(const struct tensor_desc *tensor);

#endif
