/* Devices that are this processor: what `reference` and `cpu` share. Their memory is the host's, and
 * a team of threads runs their kernels.
 */
#ifndef ENGINE_HOST_HOST_DEVICE_H
#define ENGINE_HOST_HOST_DEVICE_H

#include "engine/device.h"

struct pool;

/* Tables embed it as the first member of their own struct. */
struct host_device {
    struct device_base base;
    struct pool *pool;          /* owned */
    void (*enter_thread)(void); /* by each thread before it runs kernels or packs; NULL: nothing */
};

/* 0, -EINVAL, -ENOMEM, -EAGAIN. */
int host_device_init(struct host_device *host, const struct device_ops *ops, int n_threads,
                     void (*enter_thread)(void), struct error *err);
void host_device_fini(struct host_device *host); /* also after a failed host_device_init() */
int host_device_threads(const struct host_device *host);

/* Entries of struct device_ops. */
int host_device_kernel_run(struct device *device, const struct kernel *kernel,
                           const struct kernel_args *args, struct error *err);
int host_device_size(struct device *device, const struct plan_outline *outline);
void host_device_tasks(struct device *device, int n, void (*task)(void *arg, int i), void *arg);
int host_memory_create(struct device *device, size_t bytes, void **out, struct error *err);
void host_memory_destroy(struct device *device, void *memory);
int host_memory_copy(struct device *device, void *dst, const void *src, size_t bytes,
                     struct error *err);
int host_memory_clear(struct device *device, void *memory, size_t bytes, struct error *err);

/* engine/host/executor.c */
extern const struct executor_ops host_executor_ops;

#endif
