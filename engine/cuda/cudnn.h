/* cuDNN as one GPU sees it: what cuDNN is told of the GPU, and the handle that runs its plans.
 *
 * Plans are made from a description of the GPU alone. That of a GPU that is there is cuDNN's own; of
 * others it is a JSON text (tests/cuda/gpus), for which plans are made and checked by cuDNN on machines
 * without a GPU, where they cannot run.
 * Thread: one at a time.
 */
#ifndef ENGINE_CUDA_CUDNN_H
#define ENGINE_CUDA_CUDNN_H

#include <stdbool.h>

struct cudnn_device;
struct error;

/* Of the GPU that the CUDA runtime calls ordinal. 0; -ENOTSUP (cuDNN is older than what this was
 * compiled for, or cannot be used here), -ENOMEM, -EIO. */
int cudnn_device_create(int ordinal, struct cudnn_device **out, struct error *err);
/* Of a GPU that need not be there. 0; -EINVAL (no description), and as above. */
int cudnn_device_create_described(const char *json, struct cudnn_device **out, struct error *err);
void cudnn_device_destroy(struct cudnn_device *device); /* NULL is fine */

/* Whether its plans can run here. */
bool cudnn_device_runs(const struct cudnn_device *device);

/* Version of the library in use as major.minor.patch, until the process ends. */
const char *cudnn_version_text(void);

#endif
