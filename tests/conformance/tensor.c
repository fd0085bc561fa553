#include "tests/conformance/tensor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t tensor_bytes(const struct tensor_desc *desc)
{
    return tensor_count(desc) * dtype_size(desc->dtype);
}

double tensor_at(const struct tensor *tensor, size_t i)
{
    float x;

    dtype_to_floats(tensor->desc.dtype,
                    (const char *)tensor->data + i * dtype_size(tensor->desc.dtype), &x, 1);
    return x;
}

void tensor_store(struct tensor *tensor, size_t i, float x)
{
    dtype_from_floats(tensor->desc.dtype, (char *)tensor->data + i * dtype_size(tensor->desc.dtype),
                      &x, 1);
}

void tensor_init(struct tensor *tensor, const struct tensor_desc *desc)
{
    tensor->desc = *desc;
    tensor->data = NULL;
    if (desc->absent)
        return;
    tensor->data = malloc(tensor_bytes(desc));
    if (!tensor->data) {
        printf("Bail out! out of memory\n");
        exit(1);
    }
}

void tensor_init_copy(struct tensor *tensor, const struct tensor *src, enum dtype dtype)
{
    struct tensor_desc desc = src->desc;

    if (desc.dtype == DTYPE_U32)
        dtype = DTYPE_U32;
    desc.dtype = dtype;
    tensor_init(tensor, &desc);
    if (dtype == src->desc.dtype && tensor->data) {
        memcpy(tensor->data, src->data, tensor_bytes(&desc));
        return;
    }
    for (size_t i = 0; i < tensor_count(&desc); i++)
        tensor_store(tensor, i, (float)tensor_at(src, i));
}

void tensor_fini(struct tensor *tensor)
{
    free(tensor->data);
    tensor->data = NULL;
}

void tensor_set_fini(struct tensor_set *set)
{
    for (int i = 0; i < OP_INPUTS_MAX; i++)
        tensor_fini(&set->inputs[i]);
    for (int i = 0; i < OP_OUTPUTS_MAX; i++)
        tensor_fini(&set->outputs[i]);
}
