#include "engine/cuda/cuda_device.h"
#include "engine/base/error.h"
#include "engine/cuda/convolution.h"
#include "engine/cuda/cudnn.h"
#include "engine/cuda/joined.h"
#include "engine/cuda/nccl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* The oldest generation with tensor cores that nvcc still compiles for, and the first that
     * multiplies bfloat16. */
    SM_MIN = 75,
    SM_BF16 = 80,
    /* Of a run with sums, which keeps all activations until they have been differentiated. */
    SUMS_MAX_IMAGES = 128,
};

static struct cuda_device *cuda_device(struct device *device)
{
    return (struct cuda_device *)device;
}

static int cuda_count(struct error *err)
{
    int n = 0;
    cudaError_t status = cudaGetDeviceCount(&n);

    if (status != cudaSuccess) {
        cudaGetLastError();
        return error_set(err, -ENOTSUP, "there is no GPU that can be used: %s (%s)",
                         cudaGetErrorString(status), cudaGetErrorName(status));
    }
    return n > 0 ? n : error_set(err, -ENOTSUP, "there is no GPU");
}

static void cuda_close(struct device *device)
{
    struct cuda_device *cuda = cuda_device(device);

    if (!cuda)
        return;
    cuda_enter(cuda, NULL);
    nccl_destroy(cuda->nccl);
    cudnn_device_destroy(cuda->cudnn);
    if (cuda->stream)
        cudaStreamDestroy(cuda->stream);
    free(cuda);
}

static int read_attributes(struct cuda_device *cuda, struct error *err)
{
    int major = 0, minor = 0, shared = 0;
    const struct {
        enum cudaDeviceAttr attribute;
        int *out;
    } rows[] = {
        {cudaDevAttrComputeCapabilityMajor, &major},
        {cudaDevAttrComputeCapabilityMinor, &minor},
        {cudaDevAttrMultiProcessorCount, &cuda->n_multiprocessors},
        {cudaDevAttrMaxSharedMemoryPerBlockOptin, &shared},
    };
    struct cudaDeviceProp properties;
    int rc = 0;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && rc == 0; i++)
        rc = cuda_check(cudaDeviceGetAttribute(rows[i].out, rows[i].attribute, cuda->ordinal),
                        "ask the GPU what it can do", err);
    if (rc == 0)
        rc = cuda_check(cudaGetDeviceProperties(&properties, cuda->ordinal),
                        "ask the GPU for its name", err);
    if (rc < 0)
        return rc;
    cuda->sm = 10 * major + minor;
    cuda->shared_max = (size_t)shared;
    snprintf(cuda->name, sizeof(cuda->name), "%.63s", properties.name);
    return 0;
}

static int open_gpu(struct cuda_device *cuda, struct error *err)
{
    int rc = cuda_enter(cuda, err);

    if (rc == 0)
        rc = read_attributes(cuda, err);
    if (rc == 0 && cuda->sm < (CUDA_SM_MIN > SM_MIN ? CUDA_SM_MIN : SM_MIN))
        rc = error_set(err, -ENOTSUP,
                       "%s is of compute capability %d.%d, this was compiled for %d.%d", cuda->name,
                       cuda->sm / 10, cuda->sm % 10, CUDA_SM_MIN / 10, CUDA_SM_MIN % 10);
    /* Not the default stream, whose work waits for that of all others. */
    if (rc == 0)
        rc = cuda_check(cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking),
                        "make a stream", err);
    return rc < 0 ? rc : cudnn_device_create(cuda->ordinal, &cuda->cudnn, err);
}

static int cuda_open(int ordinal, int n_threads, struct device **out, struct error *err)
{
    struct cuda_device *cuda;
    int n = cuda_count(err), rc;

    if (n < 0)
        return n;
    if (ordinal >= n)
        return error_set(err, -ENOTSUP, "there is no GPU %d, the last is %d", ordinal, n - 1);
    cuda = calloc(1, sizeof(*cuda));
    if (!cuda)
        return error_set(err, -ENOMEM, "out of memory opening a GPU");
    cuda->base.ops = &cuda_device_ops;
    cuda->ordinal = ordinal;
    rc = open_gpu(cuda, err);
    if (rc < 0) {
        cuda_close((struct device *)cuda);
        return rc;
    }
    *out = (struct device *)cuda;
    return 0;
}

static int cuda_precision(struct device *device, enum precision wanted, enum precision *out,
                          struct error *err)
{
    const struct cuda_device *cuda = cuda_device(device);

    if (wanted == PRECISION_BF16 && cuda->sm < SM_BF16)
        return error_set(err, -ENOTSUP,
                         "bf16 needs a GPU of compute capability %d.%d; %s has %d.%d", SM_BF16 / 10,
                         SM_BF16 % 10, cuda->name, cuda->sm / 10, cuda->sm % 10);
    *out = wanted == PRECISION_AUTO ? PRECISION_FP16 : wanted;
    return 0;
}

/* "13.0" */
static const char *runtime_version(char text[16])
{
    int version = 0;

    cudaRuntimeGetVersion(&version);
    snprintf(text, 16, "%d.%d", version / 1000, version % 1000 / 10);
    return text;
}

static void cuda_describe(struct device *device, char *text, size_t size)
{
    const struct cuda_device *cuda = cuda_device(device);
    char runtime[16];

    snprintf(text, size, "%s, compute capability %d.%d, cuDNN %s, CUDA %s", cuda->name,
             cuda->sm / 10, cuda->sm % 10, cudnn_version_text(), runtime_version(runtime));
}

/* The name of a GPU has spaces, the words of a machine have none. */
static void cuda_machine(struct device *device, char *text, size_t size)
{
    const struct cuda_device *cuda = cuda_device(device);
    char runtime[16];

    snprintf(text, size, "%s sm_%d cuDNN-%s cudart-%s", cuda->name, cuda->sm, cudnn_version_text(),
             runtime_version(runtime));
    for (size_t i = 0; i < strlen(cuda->name) && i + 1 < size; i++) {
        if (text[i] == ' ')
            text[i] = '-';
    }
}

static int create_kernel(struct device *device, const struct kernel_spec *spec, struct kernel **out,
                         struct error *err)
{
    struct cuda_device *cuda = cuda_device(device);
    cuda_create_fn *create = cuda_creator(spec->kind);
    int rc;

    if (!create)
        return error_set(err, -ENOTSUP, "the cuda device has no %s", op_name(spec->kind));
    rc = cuda_enter(cuda, err);
    return rc < 0 ? rc : create(cuda, spec, out, err);
}

static int run_kernel(struct device *device, const struct kernel *kernel,
                      const struct kernel_args *args, struct error *err)
{
    struct cuda_device *cuda = cuda_device(device);
    struct kernel_args queued = *args;
    int rc = cuda_enter(cuda, err);

    queued.queue = cuda->stream;
    if (rc == 0)
        rc = kernel_run(kernel, &queued, err);
    return rc < 0 ? rc : cuda_check(cudaStreamSynchronize(cuda->stream), "run a kernel", err);
}

/* A power of 2, as are its halves: for such sizes proof.h has looked at the bits of products. */
static int cuda_size(struct device *device, const struct plan_outline *outline)
{
    int batch = outline->batch_max, size = outline->sums ? SUMS_MAX_IMAGES : CUDA_SIZE_MAX;

    if (!outline->sums) {
        while (size > batch)
            size /= 2;
        return size;
    }
    if (size > batch)
        size = batch;
    while (batch % size != 0)
        size--;
    return size;
}

/* Packing only enqueues, which one thread does as fast as several. */
static void cuda_tasks(struct device *device, int n, void (*task)(void *arg, int i), void *arg)
{
    cuda_enter(cuda_device(device), NULL);
    for (int i = 0; i < n; i++)
        task(arg, i);
}

const struct device_ops cuda_device_ops = {
    .name = CUDA_SIMULATED ? "cudasim" : "cuda",
    .count = cuda_count,
    .open = cuda_open,
    .close = cuda_close,
    .precision = cuda_precision,
    .describe = cuda_describe,
    .machine = cuda_machine,
    .algorithms = cuda_algorithms,
    .kernel_create = create_kernel,
    .kernel_run = run_kernel,
    .size = cuda_size,
    .halves = true,
    .simulated = CUDA_SIMULATED,
    .joins = cuda_joins,
    .executor = &cuda_executor_ops,
    .tasks = cuda_tasks,
    .memory_create = cuda_memory_create,
    .memory_destroy = cuda_memory_destroy,
    .upload = cuda_memory_upload,
    .download = cuda_memory_download,
    .memory_copy = cuda_memory_copy,
    .memory_clear = cuda_memory_clear,
};
