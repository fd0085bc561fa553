#include "engine/cuda/cuda_device.h"
#include "engine/base/error.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static struct cuda_device *cuda_device(struct device *device)
{
    return (struct cuda_device *)device;
}

/* Whether all that a process asks of a GPU fails from now on, as CUDA's manual has it. */
static bool is_sticky(cudaError_t status)
{
    static const cudaError_t sticky[] = {
        cudaErrorContained,           cudaErrorECCUncorrectable,
        cudaErrorNvlinkUncorrectable, cudaErrorIllegalAddress,
        cudaErrorLaunchTimeout,       cudaErrorAssert,
        cudaErrorHardwareStackError,  cudaErrorIllegalInstruction,
        cudaErrorMisalignedAddress,   cudaErrorInvalidAddressSpace,
        cudaErrorInvalidPc,           cudaErrorLaunchFailure,
        cudaErrorDevicesUnavailable,  cudaErrorUnknown,
    };
    bool found = false;

    for (size_t i = 0; i < sizeof(sticky) / sizeof(sticky[0]); i++)
        found |= status == sticky[i];
    return found;
}

int cuda_check(cudaError_t status, const char *what, struct error *err)
{
    int code = status == cudaErrorMemoryAllocation ? -ENOMEM : is_sticky(status) ? -ENODEV : -EIO;

    if (status == cudaSuccess)
        return 0;
    cudaGetLastError(); /* what was told once is not told again */
    return error_set(err, code, "could not %s: %s (%s)", what, cudaGetErrorString(status),
                     cudaGetErrorName(status));
}

int cuda_enter(const struct cuda_device *device, struct error *err)
{
    return cuda_check(cudaSetDevice(device->ordinal), "use the GPU", err);
}

/* Says how much there is and would have to be. */
static int out_of_memory(size_t bytes, struct error *err)
{
    size_t available = 0, total = 0;

    cudaMemGetInfo(&available, &total);
    return error_set(err, -ENOMEM,
                     "out of memory of the GPU: %.1f MiB more are needed, %.1f of %.1f MiB are "
                     "free",
                     (double)bytes / 0x1p20, (double)available / 0x1p20, (double)total / 0x1p20);
}

int cuda_memory_create(struct device *device, size_t bytes, void **out, struct error *err)
{
    void *memory = NULL;
    int rc = cuda_enter(cuda_device(device), err);

    if (rc == 0)
        rc = cuda_check(cudaMalloc(&memory, bytes ? bytes : 1), "get memory of the GPU", err);
    if (rc == -ENOMEM)
        return out_of_memory(bytes, err);
    if (rc == 0)
        *out = memory;
    return rc;
}

void cuda_memory_destroy(struct device *device, void *memory)
{
    if (!memory)
        return;
    cuda_enter(cuda_device(device), NULL); /* of a lost device, too, memory is given back */
    cudaFree(memory);
}

/* Waits, since the host's memory may change or be freed when the caller goes on. */
static int copy_and_wait(struct device *device, void *dst, const void *src, size_t bytes,
                         enum cudaMemcpyKind kind, const char *what, struct error *err)
{
    cudaStream_t stream = cuda_device(device)->stream;
    int rc = cuda_enter(cuda_device(device), err);

    if (rc == 0)
        rc = cuda_check(cudaMemcpyAsync(dst, src, bytes, kind, stream), what, err);
    return rc < 0 ? rc : cuda_check(cudaStreamSynchronize(stream), what, err);
}

int cuda_memory_upload(struct device *device, void *dst, const void *src, size_t bytes,
                       struct error *err)
{
    return copy_and_wait(device, dst, src, bytes, cudaMemcpyHostToDevice, "copy to the GPU", err);
}

int cuda_memory_download(struct device *device, void *dst, const void *src, size_t bytes,
                         struct error *err)
{
    return copy_and_wait(device, dst, src, bytes, cudaMemcpyDeviceToHost, "copy from the GPU", err);
}

int cuda_memory_copy(struct device *device, void *dst, const void *src, size_t bytes,
                     struct error *err)
{
    int rc = cuda_enter(cuda_device(device), err);

    return rc < 0 ? rc
                  : cuda_check(cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToDevice,
                                               cuda_device(device)->stream),
                               "copy on the GPU", err);
}

int cuda_memory_clear(struct device *device, void *memory, size_t bytes, struct error *err)
{
    int rc = cuda_enter(cuda_device(device), err);

    return rc < 0 ? rc
                  : cuda_check(cudaMemsetAsync(memory, 0, bytes, cuda_device(device)->stream),
                               "clear memory of the GPU", err);
}

int cuda_pinned_create(struct device *device, size_t bytes, void **out, struct error *err)
{
    void *memory = NULL;
    int rc = cuda_enter(cuda_device(device), err);

    if (rc == 0)
        rc = cuda_check(cudaMallocHost(&memory, bytes ? bytes : 1),
                        "get memory that the GPU can copy from", err);
    if (rc < 0)
        return rc;
    memset(memory, 0, bytes);
    *out = memory;
    return 0;
}

void cuda_pinned_destroy(struct device *device, void *memory)
{
    if (!memory)
        return;
    cuda_enter(cuda_device(device), NULL);
    cudaFreeHost(memory);
}
