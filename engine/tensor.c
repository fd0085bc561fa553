#include "engine/tensor.h"
#include "engine/base/bf16.h"
#include "engine/base/f16.h"

#include <stdio.h>
#include <string.h>

size_t dtype_size(enum dtype dtype)
{
    static const size_t sizes[] =
        {[DTYPE_F32] = 4, [DTYPE_BF16] = 2, [DTYPE_F16] = 2, [DTYPE_U32] = 4, [DTYPE_U8] = 1};

    return sizes[dtype];
}

bool dtype_is_rounded(enum dtype dtype)
{
    return dtype == DTYPE_BF16 || dtype == DTYPE_F16;
}

void dtype_from_floats(enum dtype dtype, void *dst, const float *src, size_t n)
{
    uint16_t *halves = dst;

    if (!dtype_is_rounded(dtype))
        memcpy(dst, src, n * sizeof(*src));
    for (size_t i = 0; dtype == DTYPE_BF16 && i < n; i++)
        halves[i] = bf16_from_float(src[i]);
    for (size_t i = 0; dtype == DTYPE_F16 && i < n; i++)
        halves[i] = f16_from_float(src[i]);
}

void dtype_to_floats(enum dtype dtype, const void *src, float *dst, size_t n)
{
    const uint16_t *halves = src;

    if (!dtype_is_rounded(dtype))
        memcpy(dst, src, n * sizeof(*dst));
    for (size_t i = 0; dtype == DTYPE_BF16 && i < n; i++)
        dst[i] = bf16_to_float(halves[i]);
    for (size_t i = 0; dtype == DTYPE_F16 && i < n; i++)
        dst[i] = f16_to_float(halves[i]);
}

struct shape shape_batched(int n_dims, const int *dims)
{
    struct shape shape = {.batched = true, .n_dims = n_dims};

    memcpy(shape.dims, dims, (size_t)n_dims * sizeof(*dims));
    return shape;
}

struct shape shape_images(int h, int w, int c)
{
    return shape_batched(3, (const int[]){h, w, c});
}

struct shape shape_vectors(int c)
{
    return shape_batched(1, &c);
}

struct shape shape_constant(int n_dims, const int *dims)
{
    struct shape shape = shape_batched(n_dims, dims);

    shape.batched = false;
    return shape;
}

bool shape_equal(const struct shape *a, const struct shape *b)
{
    return a->batched == b->batched && a->n_dims == b->n_dims &&
           memcmp(a->dims, b->dims, (size_t)a->n_dims * sizeof(a->dims[0])) == 0;
}

size_t shape_count(const struct shape *shape)
{
    size_t count = 1;

    for (int i = 0; i < shape->n_dims; i++)
        count *= (size_t)shape->dims[i];
    return count;
}

void tensor_text(const struct shape *shape, enum dtype dtype, char *text, size_t size)
{
    static const char *const names[] = {[DTYPE_F32] = "f32",
                                        [DTYPE_BF16] = "bf16",
                                        [DTYPE_F16] = "f16",
                                        [DTYPE_U32] = "u32",
                                        [DTYPE_U8] = "u8"};
    size_t n = 0;

    for (int i = 0; i < shape->n_dims && n < size; i++)
        n += (size_t)snprintf(text + n, size - n, "%s%d", i ? "x" : "", shape->dims[i]);
    if (n < size)
        snprintf(text + n, size - n, " %s", names[dtype]);
}

size_t tensor_count(const struct tensor_desc *tensor)
{
    return tensor->absent ? 0 : (size_t)tensor->n * shape_count(&tensor->shape);
}
