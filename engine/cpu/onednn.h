/* oneDNN as this folder uses it: products made ready once, that several threads may execute at a
 * time without making objects. Versions 2 and 3 of the library serve, see onednn_version.h.
 *
 * Every function that can fail returns 0, -ENOMEM, -ENOTSUP (oneDNN has no implementation) or
 * -EIO, with the text in err.
 */
#ifndef ENGINE_CPU_ONEDNN_H
#define ENGINE_CPU_ONEDNN_H

#include "engine/device.h"

#include <stdbool.h>

struct convolution_shape;
struct cpu_device;
struct error;
struct onednn_engine;

/* oneDNN's engine and what all primitives are made with. */
int onednn_engine_create(struct onednn_engine **out, struct error *err);
void onednn_engine_destroy(struct onednn_engine *engine); /* NULL is fine */

const char *onednn_isa(void); /* what oneDNN generates code for: "avx512_core_bf16", ... */
bool onednn_has_native_bf16(void);
bool onednn_has_amx(void);
void onednn_version(char *text, size_t size); /* "2.6.3" */

/* A primitive and the memory objects it is executed with, one set per thread of the device. Its
 * arguments are listed where it is made, in the order in which onednn_call_run() takes them. */
struct onednn_call;

/* A convolution and its gradients; activations NHWC, weights and their gradient in the format that
 * oneDNN likes best, the bias float32. shape->kind names it in messages; shape->scale is not
 * applied, and with shape->residual, y is float32 whatever its type.
 *
 * like: a call whose format of the weights is taken, NULL for none. x, weight, y, bias? */
int onednn_forward_create(struct cpu_device *device, const struct convolution_shape *shape,
                          const struct onednn_call *like, struct onednn_call **out,
                          struct error *err);
/* dy, weight, dx */
int onednn_backward_data_create(struct cpu_device *device, const struct convolution_shape *shape,
                                struct onednn_call **out, struct error *err);
/* x, dy, dweight (float32), dbias? */
int onednn_backward_weight_create(struct cpu_device *device, const struct convolution_shape *shape,
                                  struct onednn_call **out, struct error *err);

/* Reorders between plain float32 weights, in the layout of engine/op.h, and those of a call.
 * plain, packed */
int onednn_pack_create(struct cpu_device *device, const struct convolution_shape *shape,
                       const struct onednn_call *call, struct onednn_call **out, struct error *err);
/* the gradient, plain; call is one of onednn_backward_weight_create() */
int onednn_unpack_create(struct cpu_device *device, const struct convolution_shape *shape,
                         const struct onednn_call *call, struct onednn_call **out,
                         struct error *err);
/* An identifier of the format that a call of onednn_pack_create() makes, never 0; equal for equal
 * shapes and formats. */
uint64_t onednn_packing(const struct onednn_call *pack);

/* A matrix as a product reads it. */
struct onednn_matrix {
    int rows, columns;
    bool transposed; /* in memory [columns,rows] */
};

/* c = a b, with a and b of one type; what: op_name(), for messages. a, b, c */
int onednn_product_create(struct cpu_device *device, struct onednn_matrix a, struct onednn_matrix b,
                          enum dtype type, enum dtype c_type, const char *what,
                          struct onednn_call **out, struct error *err);

void onednn_call_destroy(struct onednn_call *call); /* NULL is fine */

/* Whether oneDNN has only its reference implementation for this, a hundred times as slow as others. */
bool onednn_call_is_slow(const struct onednn_call *call);

size_t onednn_call_bytes(const struct onednn_call *call, int i); /* of argument i */
size_t onednn_call_scratch(const struct onednn_call *call);      /* bytes, may be 0 */

/* Executes on pointers[i] for argument i. scratch: onednn_call_scratch() bytes, 64-byte aligned.
 * Thread: any, in parallel. */
int onednn_call_run(struct onednn_call *call, const void *const *pointers, void *scratch,
                    struct error *err);

#endif
