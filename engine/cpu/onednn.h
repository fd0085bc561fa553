/* oneDNN as this folder uses it: the engine, memory descriptors, and primitives that several
 * threads may execute at a time without making objects.
 *
 * Every function that can fail returns 0, -ENOMEM, -ENOTSUP (oneDNN has no implementation) or
 * -EIO, with the text in err.
 */
#ifndef ENGINE_CPU_ONEDNN_H
#define ENGINE_CPU_ONEDNN_H

#include "engine/device.h"

#include <dnnl.h>
#include <stdbool.h>

struct cpu_device;
struct error;

int onednn_engine_create(dnnl_engine_t *out, struct error *err);
void onednn_engine_destroy(dnnl_engine_t engine); /* NULL is fine */

const char *onednn_isa(void); /* what oneDNN generates code for: "avx512_core_bf16", ... */
bool onednn_has_native_bf16(void);
bool onednn_has_amx(void);
void onednn_version(char *text, size_t size); /* "2.6.3" */

/* The code and text for a status other than success; what completes "oneDNN could not run ...". */
int onednn_error(dnnl_status_t status, const char *what, struct error *err);

/* A descriptor of n_dims sizes; strides in elements, or NULL for the format oneDNN likes best. */
dnnl_memory_desc_t onednn_desc(int n_dims, const dnnl_dims_t dims, enum dtype dtype,
                               const dnnl_dims_t strides);
/* n, c, h, w as oneDNN counts them, NHWC in memory. */
dnnl_memory_desc_t onednn_nhwc(int n, int c, int h, int w, enum dtype dtype);

/* A primitive and the memory objects it is executed with, one set per thread of the device. */
struct onednn_call;

enum { ONEDNN_ARGS_MAX = 4 };

/* The forward primitive's description, which the creation of a backward one asks for. */
int onednn_hint_create(struct cpu_device *device, const_dnnl_op_desc_t op_desc, const char *what,
                       dnnl_primitive_desc_t *out, struct error *err);
void onednn_hint_destroy(dnnl_primitive_desc_t hint); /* NULL is fine */

/* Makes the primitive that op_desc (a dnnl_convolution_desc_t, ...) describes, to be executed on
 * the n_args <= ONEDNN_ARGS_MAX arguments args (DNNL_ARG_SRC, ...).
 * hint   for a backward one, else NULL
 * what   op_name(), for messages */
int onednn_call_create(struct cpu_device *device, const_dnnl_op_desc_t op_desc,
                       const_dnnl_primitive_desc_t hint, int n_args, const int *args,
                       const char *what, struct onednn_call **out, struct error *err);
/* A reorder with the arguments DNNL_ARG_FROM, DNNL_ARG_TO. */
int onednn_reorder_create(struct cpu_device *device, const dnnl_memory_desc_t *from,
                          const dnnl_memory_desc_t *to, const char *what, struct onednn_call **out,
                          struct error *err);
void onednn_call_destroy(struct onednn_call *call); /* NULL is fine */

/* The descriptor that the primitive has chosen for an argument; valid as long as call. */
const dnnl_memory_desc_t *onednn_call_desc(const struct onednn_call *call, int arg);
size_t onednn_call_scratch(const struct onednn_call *call); /* bytes, may be 0 */

/* Executes on pointers[i] for args[i]. scratch: onednn_call_scratch() bytes, 64-byte aligned.
 * Thread: any, in parallel. */
int onednn_call_run(struct onednn_call *call, const void *const *pointers, void *scratch,
                    struct error *err);

/* An identifier of the format `to` made from `from`, never 0; equal for equal pairs. */
uint64_t onednn_packing(const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to);

#endif
