/* What softdiff-cuda.so exports. */
#include "engine/cuda/cuda_device.h"
#include "engine/module.h"

__attribute__((visibility("default"))) const struct module softdiff_module = {
    .interface = MODULE_INTERFACE,
    .build = MODULE_BUILD,
    .device = &cuda_device_ops,
};
