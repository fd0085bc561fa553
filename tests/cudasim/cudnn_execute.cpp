/* The real library, handles, and the execution of plans: what is checked when one is enqueued. */
#include "tests/cudasim/cudnn.hpp"

#include <dlfcn.h>
#include <fstream>
#include <iterator>
#include <stdio.h>
#include <stdlib.h>

namespace cudasim
{

/* As an H100 describes itself. */
static const char H100[] =
    "{\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],"
    "\"regsPerBlock\":65536,\"multiProcessorCount\":132,\"warpSize\":32,"
    "\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":232448,"
    "\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,\"maxCtasPerSM\":32,"
    "\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,\"pciDeviceId\":0,\"isTccDriver\":0,"
    "\"supportCoopLaunch\":1,\"totalGlobalMem\":85017624576,\"smClockRateKHz\":1980000,"
    "\"memClockRateKHz\":2619000,\"l2CacheSize\":52428800,\"cudaDeviceId\":0,\"deviceVer\":900,"
    "\"driverVer\":13000,\"deviceName\":\"NVIDIA H100 80GB HBM3\"}";

const char *cudnn_device()
{
    static std::string json;
    const char *path = getenv("CUDASIM_DEVICE");

    if (!json.empty())
        return json.c_str();
    if (!path)
        return H100;
    std::ifstream file(path);

    json.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    if (json.empty())
        fail("CUDASIM_DEVICE=%s: could not be read", path);
    return json.c_str();
}

const char *cudnn_fault()
{
    const char *fault = getenv("CUDASIM_CUDNN_FAULT");

    return fault ? fault : "";
}

template <class F> static void find(void *library, const char *name, F *out)
{
    *out = (F)dlsym(library, name);
    if (!*out)
        fail("cuDNN has no %s", name);
}

static real_cudnn load()
{
    real_cudnn real = {};
    const char *wanted = getenv("CUDASIM_CUDNN");

    if (wanted && strcmp(wanted, "none") == 0)
        return real;
    real.library = dlopen(CUDASIM_CUDNN_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!real.library)
        fail("could not load cuDNN, which says what is valid: %s", dlerror());
    find(real.library, "cudnnBackendCreateDescriptor", &real.create);
    find(real.library, "cudnnBackendDestroyDescriptor", &real.destroy);
    find(real.library, "cudnnBackendSetAttribute", &real.set);
    find(real.library, "cudnnBackendGetAttribute", &real.get);
    find(real.library, "cudnnBackendFinalize", &real.finalize);
    find(real.library, "cudnnGetLastErrorString", &real.last_error);
    find(real.library, "cudnnGetErrorString", &real.error_string);
    return real;
}

const real_cudnn *cudnn_real()
{
    static const real_cudnn real = load();

    return &real;
}

/* Every tensor of the graph that is not virtual has memory, aligned as it was declared. */
static std::map<int64_t, tensor> check_tensors(const execution *e)
{
    std::map<int64_t, tensor> tensors;

    for (const descriptor *operation : descriptors_of(e->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS))
        for (const descriptor *d : tensors_of(operation)) {
            const tensor t = tensor_of(d);
            auto p = e->pointers.find(t.uid);

            if (t.is_virtual)
                continue;
            if (p == e->pointers.end())
                fail("cudnnBackendExecute: tensor %ld has no memory", (long)t.uid);
            if ((uintptr_t)p->second % (size_t)t.alignment)
                fail("cudnnBackendExecute: tensor %ld at %p is not aligned to %ld bytes",
                     (long)t.uid, p->second, (long)t.alignment);
            if (!memory_contains(p->second, t.bytes))
                fail("cudnnBackendExecute: tensor %ld at %p: its %zu bytes are in no allocation of "
                     "the device's",
                     (long)t.uid, p->second, t.bytes);
            tensors.emplace(t.uid, t);
        }
    return tensors;
}

/* Two tensors are the same memory or disjoint; the workspace is apart. */
static void check_overlaps(const execution *e, const std::map<int64_t, tensor> &tensors)
{
    struct range {
        const char *begin, *end;
        long uid;
    };
    std::vector<range> ranges;

    for (const auto &entry : tensors) {
        const char *p = (const char *)e->pointers.at(entry.first);

        ranges.push_back({p, p + entry.second.bytes, (long)entry.first});
    }
    if (e->workspace_bytes > 0) {
        const char *p = (const char *)e->workspace;

        ranges.push_back({p, p + e->workspace_bytes, -1});
    }
    for (const range &a : ranges)
        for (const range &b : ranges)
            if (a.uid != b.uid && a.begin < b.end && b.begin < a.end &&
                (a.begin != b.begin || a.end != b.end))
                fail("cudnnBackendExecute: tensors %ld and %ld overlap (-1: the workspace)", a.uid,
                     b.uid);
}

static void execution_destroy(void *arg)
{
    execution *e = static_cast<execution *>(arg);

    descriptor_release(e->graph);
    delete e;
}

} // namespace cudasim

using namespace cudasim;

extern "C" {

size_t cudnnGetVersion(void)
{
    return CUDNN_VERSION;
}

const char *cudnnGetErrorString(cudnnStatus_t status)
{
    if (cudnn_real()->library)
        return cudnn_real()->error_string(status);
    return status == CUDNN_STATUS_SUCCESS ? "CUDNN_STATUS_SUCCESS" : "CUDNN_STATUS_(an error)";
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *out)
{
    *out = new cudnnContext{nullptr};
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    delete handle;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    handle->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan_handle,
                                  cudnnBackendDescriptor_t pack_handle)
{
    call c("cudnnBackendExecute");
    const descriptor *plan = descriptor_of(plan_handle), *pack = descriptor_of(pack_handle);
    const auto uids = numbers_of(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const auto pointers = numbers_of(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    int64_t bytes = 0;

    if (!handle || !plan->finalized || !pack->finalized || !plan->graph ||
        uids.size() != pointers.size())
        return cudnn_refuse(CUDNN_STATUS_BAD_PARAM, "a plan or a pack that is not ready");
    if (cudnnBackendGetAttribute(plan_handle, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                 CUDNN_TYPE_INT64, 1, nullptr, &bytes) != CUDNN_STATUS_SUCCESS)
        return CUDNN_STATUS_BAD_PARAM;
    execution *e =
        new execution{plan->graph,
                      {},
                      attribute_of<void *>(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, nullptr),
                      (size_t)bytes};

    e->graph->references++;
    for (size_t i = 0; i < uids.size(); i++)
        e->pointers[uids[i]] = (void *)pointers[i];
    if (bytes > 0 && !memory_contains(e->workspace, (size_t)bytes))
        fail("cudnnBackendExecute: a workspace of %ld bytes at %p is in no allocation of the "
             "device's",
             (long)bytes, e->workspace);
    check_overlaps(e, check_tensors(e));
    return stream_push(handle->stream, "cudnnBackendExecute", execution_run, e,
                       execution_destroy) == cudaSuccess
               ? CUDNN_STATUS_SUCCESS
               : cudnn_refuse(CUDNN_STATUS_EXECUTION_FAILED, "the device is in error");
}

} // extern "C"
