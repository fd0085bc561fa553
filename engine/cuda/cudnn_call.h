/* cuDNN's backend API with one error for many calls: the only place where its descriptors are made.
 *
 * A builder owns the descriptors that it makes. After the first failure its calls do nothing, so that a
 * graph is built without a check per call and asked once at the end.
 * Thread: one at a time.
 */
#ifndef ENGINE_CUDA_CUDNN_CALL_H
#define ENGINE_CUDA_CUDNN_CALL_H

#include <stdbool.h> /* cudnn.h uses bool */
#include <stdint.h>

#include <cudnn.h>

struct error;

enum { CUDNN_DESCRIPTORS_MAX = 128 };

struct cudnn_builder {
    int rc; /* of the first failure */
    struct error *err;
    int n;
    cudnnBackendDescriptor_t list[CUDNN_DESCRIPTORS_MAX];
};

void cudnn_builder_init(struct cudnn_builder *b, struct error *err);
void cudnn_builder_fini(struct cudnn_builder *b); /* in the opposite order of their making */

/* NULL after a failure. */
cudnnBackendDescriptor_t cudnn_make(struct cudnn_builder *b, cudnnBackendDescriptorType_t type);
void cudnn_give(struct cudnn_builder *b, cudnnBackendDescriptor_t d,
                cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t n,
                const void *values);
void cudnn_give_descriptor(struct cudnn_builder *b, cudnnBackendDescriptor_t d,
                           cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t value);
void cudnn_finish(struct cudnn_builder *b, cudnnBackendDescriptor_t d);
/* Up to n_max values. Returns how many there are, 0 after a failure. */
int64_t cudnn_ask(struct cudnn_builder *b, cudnnBackendDescriptor_t d,
                  cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t n_max,
                  void *values);

/* What a status means for us: 0, -ENOTSUP, -ENOMEM, -EINVAL or -EIO, with cuDNN's own words behind
 * what was attempted. */
int cudnn_check(cudnnStatus_t status, const char *attempted, struct error *err);

#endif
