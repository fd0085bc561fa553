#include "engine/cpu/kernel_memory.h"
#include "engine/base/error.h"

#include <errno.h>
#include <stdlib.h>

void *kernel_allocate(enum op_kind kind, size_t size, const struct kernel_ops *ops,
                      struct error *err)
{
    struct kernel *kernel = calloc(1, size);

    if (!kernel) {
        error_set(err, -ENOMEM, "out of memory making a kernel for %s", op_name(kind));
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
