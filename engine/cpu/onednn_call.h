/* Calls of oneDNN, made from primitive descriptors. Used by onednn.c only; other files see them
 * through onednn.h. */
#ifndef ENGINE_CPU_ONEDNN_CALL_H
#define ENGINE_CPU_ONEDNN_CALL_H

#include <dnnl.h>

struct cpu_device;
struct error;
struct onednn_call;

enum { ONEDNN_ARGS_MAX = 4 };

/* The code and text for a status other than success; what completes "oneDNN could not run ...". */
int onednn_error(dnnl_status_t status, const char *what, struct error *err);

/* Makes the primitive that desc describes, to be executed on the n_args <= ONEDNN_ARGS_MAX
 * arguments args (DNNL_ARG_SRC, ...), which are kept. Destroys desc, also on failure.
 * what: op_name(), for messages */
int onednn_call_create(struct cpu_device *device, dnnl_primitive_desc_t desc, int n_args,
                       const int *args, const char *what, struct onednn_call **out,
                       struct error *err);

/* Its description; valid as long as call. */
const_dnnl_primitive_desc_t onednn_call_desc(const struct onednn_call *call);

#endif
