#include "engine/cuda/cudnn.h"
#include "engine/base/error.h"
#include "engine/cuda/cudnn_device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Plans for described GPUs came with 9.8, the notes on engines that plans are chosen by with 9.11. */
enum { VERSION_MIN = 91100 };

const char *cudnn_version_text(void)
{
    static char text[32];
    size_t version = cudnnGetVersion();

    snprintf(text, sizeof(text), "%zu.%zu.%zu", version / 10000, version / 100 % 100,
             version % 100);
    return text;
}

static int device_allocate(struct cudnn_device **out, struct error *err)
{
    struct cudnn_device *device;

    if (cudnnGetVersion() < VERSION_MIN)
        return error_set(err, -ENOTSUP, "cuDNN %s is older than %d.%d", cudnn_version_text(),
                         VERSION_MIN / 10000, VERSION_MIN / 100 % 100);
    device = calloc(1, sizeof(*device));
    if (!device)
        return error_set(err, -ENOMEM, "out of memory for cuDNN");
    cudnn_builder_init(&device->builder, err);
    device->properties = cudnn_make(&device->builder, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    *out = device;
    return 0;
}

/* Ends the making of a device; afterwards its builder has no error to write to. */
static int device_finish(struct cudnn_device *device, struct cudnn_device **out)
{
    int rc = device->builder.rc;

    device->builder.err = NULL;
    if (rc < 0)
        cudnn_device_destroy(device);
    else
        *out = device;
    return rc;
}

int cudnn_device_create(int ordinal, struct cudnn_device **out, struct error *err)
{
    struct cudnn_device *device = NULL;
    const int32_t id = ordinal;
    int rc = device_allocate(&device, err);

    if (rc < 0)
        return rc;
    cudnn_give(&device->builder, device->properties, CUDNN_ATTR_DEVICEPROP_DEVICE_ID,
               CUDNN_TYPE_INT32, 1, &id);
    cudnn_finish(&device->builder, device->properties);
    if (device->builder.rc == 0)
        device->builder.rc = cudnn_check(cudnnCreate(&device->handle), "use the GPU", err);
    return device_finish(device, out);
}

int cudnn_device_create_described(const char *json, struct cudnn_device **out, struct error *err)
{
    struct cudnn_device *device = NULL;
    int rc = device_allocate(&device, err);

    if (rc < 0)
        return rc;
    cudnn_give(&device->builder, device->properties, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
               CUDNN_TYPE_CHAR, (int64_t)strlen(json) + 1, json);
    cudnn_finish(&device->builder, device->properties);
    rc = device_finish(device, out);
    if (rc < 0)
        error_prefix(err, "the description of a GPU: ");
    return rc;
}

void cudnn_device_destroy(struct cudnn_device *device)
{
    if (!device)
        return;
    cudnn_choices_destroy(device->choices);
    if (device->handle)
        cudnnDestroy(device->handle);
    cudnn_builder_fini(&device->builder);
    free(device);
}

bool cudnn_device_runs(const struct cudnn_device *device)
{
    return device->handle != NULL;
}
