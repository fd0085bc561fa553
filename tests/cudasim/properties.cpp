/* The simulated device as it describes itself: an H100. */
#include "tests/cudasim/runtime.hpp"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace cudasim
{

enum { MULTIPROCESSORS = 132, SHARED_BLOCK = 48 * 1024, SHARED_OPT_IN = 227 * 1024 };

static int n_devices()
{
    const char *n = getenv("CUDASIM_DEVICES");

    if (n && atoi(n) > DEVICES_MAX)
        fail("CUDASIM_DEVICES=%s: at most %d are simulated", n, DEVICES_MAX);
    return n ? atoi(n) : 1;
}

static thread_local int in_use;

int device_in_use()
{
    return in_use;
}

} // namespace cudasim

using namespace cudasim;

extern "C" {

cudaError_t cudaGetDeviceCount(int *out)
{
    call c("cudaGetDeviceCount");

    *out = n_devices();
    return *out ? cudaSuccess : result(cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int device)
{
    call c("cudaSetDevice");

    if (device < 0 || device >= n_devices())
        return result(cudaErrorInvalidDevice);
    in_use = device;
    return c.broken();
}

cudaError_t cudaGetDevice(int *out)
{
    call c("cudaGetDevice");

    *out = in_use;
    return c.broken();
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *out, int device)
{
    call c("cudaGetDeviceProperties");
    size_t free_bytes;

    if (device < 0 || device >= n_devices())
        return result(cudaErrorInvalidDevice);
    memset(out, 0, sizeof(*out));
    snprintf(out->name, sizeof(out->name), "simulated H100");
    cudaMemGetInfo(&free_bytes, &out->totalGlobalMem);
    out->major = 9;
    out->multiProcessorCount = MULTIPROCESSORS;
    out->warpSize = 32;
    out->maxThreadsPerBlock = 1024;
    out->maxThreadsPerMultiProcessor = 2048;
    out->sharedMemPerBlock = SHARED_BLOCK;
    out->sharedMemPerBlockOptin = SHARED_OPT_IN;
    out->sharedMemPerMultiprocessor = SHARED_OPT_IN + 1024;
    out->regsPerBlock = 65536;
    out->l2CacheSize = 50 << 20;
    out->asyncEngineCount = 3;
    out->concurrentKernels = 1;
    return c.broken();
}

cudaError_t cudaDeviceGetAttribute(int *out, enum cudaDeviceAttr attribute, int device)
{
    call c("cudaDeviceGetAttribute");

    if (device < 0 || device >= n_devices())
        return result(cudaErrorInvalidDevice);
    switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
        *out = MULTIPROCESSORS;
        return c.broken();
    case cudaDevAttrComputeCapabilityMajor:
        *out = 9;
        return c.broken();
    case cudaDevAttrComputeCapabilityMinor:
        *out = 0;
        return c.broken();
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *out = SHARED_OPT_IN;
        return c.broken();
    default:
        return result(cudaErrorInvalidValue);
    }
}

cudaError_t cudaDriverGetVersion(int *out)
{
    *out = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *out)
{
    *out = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    *least = 0;
    *greatest = -5;
    return cudaSuccess;
}

} // extern "C"
