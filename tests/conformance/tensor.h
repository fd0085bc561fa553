/* A tensor in host memory, and what kernels read and write through it. */
#ifndef TESTS_CONFORMANCE_TENSOR_H
#define TESTS_CONFORMANCE_TENSOR_H

#include "engine/device.h"

struct tensor {
    struct tensor_desc desc;
    void *data; /* owned, desc.dtype in memory order; NULL: absent */
};

/* Everything a kernel runs on: inputs and outputs as its spec lists them. */
struct tensor_set {
    struct tensor inputs[OP_INPUTS_MAX];
    struct tensor outputs[OP_OUTPUTS_MAX];
};

size_t tensor_bytes(const struct tensor_desc *desc);

/* Element i as a number; of the floating types only. */
double tensor_at(const struct tensor *tensor, size_t i);

/* Allocates data (content undefined) for desc, none if it is absent. Out of memory ends the
 * program: a test has nothing better to do. */
void tensor_init(struct tensor *tensor, const struct tensor_desc *desc);
/* A copy of src in dtype; uint32 stays. */
void tensor_init_copy(struct tensor *tensor, const struct tensor *src, enum dtype dtype);
void tensor_fini(struct tensor *tensor);

void tensor_set_fini(struct tensor_set *set);

/* Stores a number, rounded to the dtype of the tensor. */
void tensor_store(struct tensor *tensor, size_t i, float x);

#endif
