#include "engine/cuda/cudnn_call.h"
#include "engine/base/error.h"

#include <errno.h>
#include <string.h>

static int code_of(cudnnStatus_t status)
{
    switch (status / 1000) { /* cuDNN numbers its kinds of errors by thousands */
    case 0:
        return 0;
    case CUDNN_STATUS_BAD_PARAM / 1000:
        return -EINVAL;
    case CUDNN_STATUS_NOT_SUPPORTED / 1000:
        return -ENOTSUP;
    default:
        return status == CUDNN_STATUS_ALLOC_FAILED ? -ENOMEM : -EIO;
    }
}

int cudnn_check(cudnnStatus_t status, const char *attempted, struct error *err)
{
    int rc = code_of(status);
    char text[160] = "";

    if (rc == 0)
        return 0;
    cudnnGetLastErrorString(text, sizeof(text));
    for (char *p = text; *p; p++) {
        if (*p == '\n')
            *p = ' ';
    }
    return error_set(err, rc, "cuDNN could not %s: %s%s%s", attempted, cudnnGetErrorString(status),
                     text[0] ? ", " : "", text);
}

void cudnn_builder_init(struct cudnn_builder *b, struct error *err)
{
    b->rc = 0;
    b->err = err;
    b->n = 0;
}

void cudnn_builder_fini(struct cudnn_builder *b)
{
    while (b->n > 0)
        cudnnBackendDestroyDescriptor(b->list[--b->n]);
}

static void note(struct cudnn_builder *b, cudnnStatus_t status, const char *attempted)
{
    if (b->rc == 0)
        b->rc = cudnn_check(status, attempted, b->err);
}

cudnnBackendDescriptor_t cudnn_make(struct cudnn_builder *b, cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t d = NULL;

    if (b->rc == 0 && b->n == CUDNN_DESCRIPTORS_MAX)
        b->rc = error_set(b->err, -EINVAL, "more than %d cuDNN descriptors", b->n);
    if (b->rc < 0)
        return NULL;
    note(b, cudnnBackendCreateDescriptor(type, &d), "make a descriptor");
    if (b->rc == 0)
        b->list[b->n++] = d;
    return d;
}

void cudnn_give(struct cudnn_builder *b, cudnnBackendDescriptor_t d,
                cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t n,
                const void *values)
{
    if (b->rc == 0)
        note(b, cudnnBackendSetAttribute(d, name, type, n, values), "set an attribute");
}

void cudnn_give_descriptor(struct cudnn_builder *b, cudnnBackendDescriptor_t d,
                           cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t value)
{
    cudnn_give(b, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

void cudnn_finish(struct cudnn_builder *b, cudnnBackendDescriptor_t d)
{
    if (b->rc == 0)
        note(b, cudnnBackendFinalize(d), "finish a descriptor");
}

int64_t cudnn_ask(struct cudnn_builder *b, cudnnBackendDescriptor_t d,
                  cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t n_max,
                  void *values)
{
    int64_t n = 0;

    if (b->rc == 0)
        note(b, cudnnBackendGetAttribute(d, name, type, n_max, &n, values), "read an attribute");
    return b->rc < 0 ? 0 : n < n_max ? n : n_max;
}
