/* GPUs, and their memory: what the parts of engine/cuda share. */
#ifndef ENGINE_CUDA_CUDA_DEVICE_H
#define ENGINE_CUDA_CUDA_DEVICE_H

#include "engine/cuda/cuda_kernels.h"

extern const struct device_ops cuda_device_ops;
extern const struct executor_ops cuda_executor_ops; /* executor.c */

/* 0; -ENOMEM where memory of the device is out; -ENODEV where the device is lost; else -EIO. The text says what could not be done, e.g.
 * "copy to the GPU", and why. */
int cuda_check(cudaError_t status, const char *what, struct error *err);

/* To be called by whoever enters with a device, whatever thread that is: the runtime keeps which GPU is
 * meant by thread. 0 or -EIO. */
int cuda_enter(const struct cuda_device *device, struct error *err);

/* Entries of struct device_ops. Memory of the device is not zeroed; 256-byte aligned. */
int cuda_memory_create(struct device *device, size_t bytes, void **out, struct error *err);
void cuda_memory_destroy(struct device *device, void *memory);
int cuda_memory_upload(struct device *device, void *dst, const void *src, size_t bytes,
                       struct error *err);
int cuda_memory_download(struct device *device, void *dst, const void *src, size_t bytes,
                         struct error *err);
int cuda_memory_copy(struct device *device, void *dst, const void *src, size_t bytes,
                     struct error *err);
int cuda_memory_clear(struct device *device, void *memory, size_t bytes, struct error *err);

/* Memory of the host that the device copies from and to without help, zeroed. 0, -ENOMEM or -EIO. */
int cuda_pinned_create(struct device *device, size_t bytes, void **out, struct error *err);
void cuda_pinned_destroy(struct device *device, void *memory); /* NULL is fine */

#endif
