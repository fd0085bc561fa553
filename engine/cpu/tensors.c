#include "engine/cpu/tensors.h"
#include "engine/base/error.h"

#include <errno.h>
#include <stdlib.h>

size_t tensor_image_count(const struct tensor_desc *tensor)
{
    size_t count = 1;

    for (int i = 0; i < tensor->shape.n_dims; i++)
        count *= (size_t)tensor->shape.dims[i];
    return count;
}

size_t tensor_count(const struct tensor_desc *tensor)
{
    return (size_t)tensor->n * tensor_image_count(tensor);
}

bool tensor_same_shape(const struct tensor_desc *a, const struct tensor_desc *b)
{
    if (a->n != b->n || a->shape.batched != b->shape.batched || a->shape.n_dims != b->shape.n_dims)
        return false;
    for (int i = 0; i < a->shape.n_dims; i++) {
        if (a->shape.dims[i] != b->shape.dims[i])
            return false;
    }
    return true;
}

bool tensor_is_real(const struct tensor_desc *tensor)
{
    return tensor->dtype == DTYPE_F32 || tensor->dtype == DTYPE_BF16;
}

bool tensor_is_f32(const struct tensor_desc *tensor, size_t count)
{
    return !tensor->absent && tensor->dtype == DTYPE_F32 && tensor_image_count(tensor) == count;
}

bool tensor_is_image(const struct tensor_desc *tensor)
{
    return tensor->shape.batched && tensor->shape.n_dims == 3 && tensor_is_real(tensor);
}

int tensor_refuse(const struct kernel_spec *spec, const char *what, struct error *err)
{
    return error_set(err, -ENOTSUP, "%s on the cpu: %s", op_name(spec->kind), what);
}

void *kernel_allocate(const struct kernel_spec *spec, size_t size, const struct kernel_ops *ops,
                      struct error *err)
{
    struct kernel *kernel = calloc(1, size);

    if (!kernel) {
        error_set(err, -ENOMEM, "out of memory making a kernel for %s", op_name(spec->kind));
        return NULL;
    }
    kernel_init(kernel, ops);
    return kernel;
}

void kernel_free(struct kernel *kernel)
{
    free(kernel);
}

size_t scratch_align(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}
