/* What the creators of own-loop kernels ask of the tensors in a spec. */
#ifndef ENGINE_CPU_TENSORS_H
#define ENGINE_CPU_TENSORS_H

#include "engine/device.h"

#include <stdbool.h>
#include <stddef.h>

struct error;

/* Elements of one image, or of the whole if unbatched. */
size_t tensor_image_count(const struct tensor_desc *tensor);
/* Elements of all images. */
size_t tensor_count(const struct tensor_desc *tensor);

/* Same shape and number of images; dtypes may differ. */
bool tensor_same_shape(const struct tensor_desc *a, const struct tensor_desc *b);

/* DTYPE_F32 or DTYPE_BF16. */
bool tensor_is_real(const struct tensor_desc *tensor);

/* A present float32 tensor of `count` elements an image. */
bool tensor_is_f32(const struct tensor_desc *tensor, size_t count);

/* An image tensor [n,h,w,c]. */
bool tensor_is_image(const struct tensor_desc *tensor);

/* Stores "<op>: <what>" and returns -ENOTSUP. */
int tensor_refuse(const struct kernel_spec *spec, const char *what, struct error *err);

/* A kernel's memory: zeroed `size` bytes that begin with a struct kernel, or NULL with err set. */
void *kernel_allocate(const struct kernel_spec *spec, size_t size, const struct kernel_ops *ops,
                      struct error *err);

/* The destroy() of kernels that own nothing else. */
void kernel_free(struct kernel *kernel);

/* Bytes rounded up so that what follows in a scratch buffer is 64-byte aligned too. */
size_t scratch_align(size_t bytes);

#endif
