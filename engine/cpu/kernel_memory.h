/* The memory of kernels: that of their structs, and how they divide their scratch. */
#ifndef ENGINE_CPU_KERNEL_MEMORY_H
#define ENGINE_CPU_KERNEL_MEMORY_H

#include "engine/device.h"

#include <stddef.h>

struct error;

/* Zeroed `size` bytes that begin with a struct kernel, after kernel_init(); or NULL with err set. */
void *kernel_allocate(enum op_kind kind, size_t size, const struct kernel_ops *ops,
                      struct error *err);

/* The destroy() of kernels that own nothing else. */
void kernel_free(struct kernel *kernel);

/* Bytes rounded up so that what follows in a scratch buffer is 64-byte aligned too. */
size_t scratch_align(size_t bytes);

#endif
