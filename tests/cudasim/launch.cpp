/* What goes onto a stream: kernels, copies, fills, functions of the host. */
#include "tests/cudasim/block.hpp"
#include "tests/cudasim/device.hpp"
#include "tests/cudasim/runtime.hpp"

#include <string.h>

namespace cudasim
{

enum { SHARED_DEFAULT = 48 * 1024, SHARED_OPT_IN = 227 * 1024, GRID_YZ_MAX = 65535 };

static std::map<const void *, size_t> opted_in; /* kernels that may have more shared memory */

struct launched {
    std::string name;
    grid g;
    void (*destroy)(void *);

    launched(const cudasim_launch *l)
        : name(l->name), g{nullptr, l->grid, l->block, l->shared_bytes, l->body, l->arg},
          destroy(l->destroy)
    {
        g.name = name.c_str();
    }
    ~launched()
    {
        destroy(g.arg);
    }
};

static void launched_run(void *arg)
{
    grid_run(&static_cast<launched *>(arg)->g);
}

struct copy {
    void *dst;
    const void *src;
    size_t width, height, dst_pitch, src_pitch;
    std::string staged; /* of pageable memory, which is read before the call returns */
};

static void copy_run(void *arg)
{
    const copy *c = static_cast<copy *>(arg);
    const char *src = c->staged.empty() ? (const char *)c->src : c->staged.data();

    for (size_t row = 0; row < c->height; row++)
        memcpy((char *)c->dst + row * c->dst_pitch, src + row * c->src_pitch, c->width);
}

struct filling {
    void *dst;
    int value;
    size_t bytes;
};

static void filling_run(void *arg)
{
    const filling *f = static_cast<filling *>(arg);

    memset(f->dst, f->value, f->bytes);
}

struct host_call {
    cudaHostFn_t function;
    void *arg;
    int device;
};

static void host_call_run(void *arg)
{
    const host_call *h = static_cast<host_call *>(arg);

    memory_close();
    h->function(h->arg);
    memory_open(h->device);
}

static size_t span(size_t pitch, size_t width, size_t height)
{
    return pitch * (height - 1) + width;
}

static void check_side(const char *what, const void *p, size_t bytes, bool of_device)
{
    if (of_device && !memory_contains(p, bytes))
        fail("cudaMemcpyAsync: %s %p with %zu bytes is in no allocation of the device's", what, p,
             bytes);
    if (!of_device && memory_is_of_device(p))
        fail("cudaMemcpyAsync: %s %p is the device's, the direction says the host's", what, p);
}

static cudaError_t push_copy(std::unique_ptr<copy> c, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    const size_t dst_bytes = span(c->dst_pitch, c->width, c->height);
    const size_t src_bytes = span(c->src_pitch, c->width, c->height);
    const bool to_pageable = !to_device && !memory_is_pinned(c->dst, dst_bytes);
    const bool from_pageable = !from_device && !memory_is_pinned(c->src, src_bytes);
    cudaError_t error;

    stream_check(stream, "cudaMemcpyAsync");
    if (!to_device && !from_device)
        fail("cudaMemcpyAsync of kind %d: name the direction", (int)kind);
    check_side("the destination", c->dst, dst_bytes, to_device);
    check_side("the source", c->src, src_bytes, from_device);
    if ((to_pageable || from_pageable) && stream_captures(stream))
        fail("cudaMemcpyAsync in a capture, of memory that is not page-locked");
    if (from_pageable)
        c->staged.assign((const char *)c->src, src_bytes);
    error = stream_push(stream, "cudaMemcpyAsync", copy_run, c.release(), destroy_as<copy>);
    if (to_pageable)
        stream_drain(stream);
    return error == cudaSuccess ? result(device_error(stream->device)) : error;
}

static bool is_valid(const dim3 &grid, const dim3 &block)
{
    const size_t threads = (size_t)block.x * block.y * block.z;

    return threads >= 1 && threads <= BLOCK_THREADS_MAX && block.z <= 64 && grid.x >= 1 &&
           grid.y >= 1 && grid.z >= 1 && grid.x <= 2147483647u && grid.y <= GRID_YZ_MAX &&
           grid.z <= GRID_YZ_MAX;
}

} // namespace cudasim

using namespace cudasim;

cudaError_t cudasim_enqueue(const cudasim_launch *l)
{
    call c(l->name);
    auto opted = opted_in.find(l->function);
    const size_t limit = opted == opted_in.end() ? (size_t)SHARED_DEFAULT : opted->second;

    if (c.broken() || !is_valid(l->grid, l->block)) {
        l->destroy(l->arg);
        return result(c.broken() ? c.broken() : cudaErrorInvalidConfiguration);
    }
    if (l->shared_bytes > limit)
        fail("kernel %s wants %zu bytes of shared memory, may have %zu: no SDK_OPT_IN?", l->name,
             l->shared_bytes, limit);
    if ((l->block.x * l->block.y * l->block.z) % WARP)
        fail("kernel %s: a block of %u threads is not whole warps", l->name,
             l->block.x * l->block.y * l->block.z);
    for (int i = 0; i < l->n_pointers; i++)
        if (l->pointers[i] && !memory_contains(l->pointers[i], 1))
            fail("kernel %s: its pointer %d, %p, is in no allocation of the device's", l->name, i,
                 l->pointers[i]);
    stream_counted.launches++;
    return stream_push(l->stream, l->name, launched_run, new launched(l), destroy_as<launched>);
}

extern "C" {

cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute attribute, int value)
{
    call c("cudaFuncSetAttribute");

    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        value > SHARED_OPT_IN)
        return result(cudaErrorInvalidValue);
    /* A graph that was captured with more is made, or started, after this. */
    if (opted_in.count(function) && opted_in[function] > (size_t)value)
        fail("a kernel that may have %zu bytes of shared memory is let have %d: what was captured "
             "may "
             "need more",
             opted_in[function], value);
    opted_in[function] = (size_t)value;
    return c.broken();
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    call c("cudaMemcpyAsync");

    if (c.broken())
        return result(c.broken());
    if (bytes == 0)
        return cudaSuccess;
    return push_copy(std::make_unique<copy>(copy{dst, src, bytes, 1, bytes, bytes, {}}), kind,
                     stream);
}

cudaError_t cudaMemcpy2DAsync(void *dst, size_t dst_pitch, const void *src, size_t src_pitch,
                              size_t width, size_t height, enum cudaMemcpyKind kind,
                              cudaStream_t stream)
{
    call c("cudaMemcpy2DAsync");

    if (c.broken())
        return result(c.broken());
    if (width > dst_pitch || width > src_pitch)
        return result(cudaErrorInvalidPitchValue);
    if (width == 0 || height == 0)
        return cudaSuccess;
    return push_copy(std::make_unique<copy>(
                         copy{dst, src, width, height, dst_pitch, src_pitch, {}}),
                     kind, stream);
}

cudaError_t cudaMemcpy(void *, const void *, size_t, enum cudaMemcpyKind)
{
    fail("cudaMemcpy uses the default stream: use cudaMemcpyAsync");
}

cudaError_t cudaMemset(void *, int, size_t)
{
    fail("cudaMemset uses the default stream: use cudaMemsetAsync");
}

cudaError_t cudaMemsetAsync(void *dst, int value, size_t bytes, cudaStream_t stream)
{
    call c("cudaMemsetAsync");

    if (c.broken())
        return result(c.broken());
    if (bytes && !memory_contains(dst, bytes))
        fail("cudaMemsetAsync: %p with %zu bytes is in no allocation of the device's", dst, bytes);
    return stream_push(stream, "cudaMemsetAsync", filling_run, new filling{dst, value, bytes},
                       destroy_as<filling>);
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *arg)
{
    call c("cudaLaunchHostFunc");

    if (c.broken())
        return result(c.broken());
    return stream_push(stream, "cudaLaunchHostFunc", host_call_run,
                       new host_call{function, arg, device_in_use()}, destroy_as<host_call>);
}

} // extern "C"
