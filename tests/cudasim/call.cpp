/* Every call of the runtime, the environment, and errors. */
#include "tests/cudasim/block.hpp"
#include "tests/cudasim/runtime.hpp"

#include <mutex>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace cudasim
{

enum schedule schedule;

static std::recursive_mutex lock;
static int depth;
static cudaError_t errors[DEVICES_MAX]; /* for good */
static thread_local cudaError_t last_error = cudaSuccess;
static bool prepared;

/* The seed after a colon, 1 without. */
static unsigned seed_of(const char *text)
{
    const char *colon = strchr(text, ':');

    return colon ? (unsigned)strtoul(colon + 1, nullptr, 10) : 1;
}

static bool begins(const char *text, const char *word)
{
    return strncmp(text, word, strlen(word)) == 0;
}

static void read_environment()
{
    const char *s = getenv("CUDASIM_SCHEDULE"), *o = getenv("CUDASIM_ORDER");

    if (s && begins(s, "random")) {
        schedule = SCHEDULE_RANDOM;
        random_seed(seed_of(s));
    } else if (s && begins(s, "eager")) {
        schedule = SCHEDULE_EAGER;
    } else if (s && !begins(s, "lazy")) {
        fail("CUDASIM_SCHEDULE=%s is none of lazy, eager, random:SEED", s);
    }
    if (o && begins(o, "random")) {
        grid_set_order(ORDER_RANDOM);
        random_seed(seed_of(o));
    } else if (o && begins(o, "reverse")) {
        grid_set_order(ORDER_REVERSE);
    } else if (o && !begins(o, "forward")) {
        fail("CUDASIM_ORDER=%s is none of forward, reverse, random:SEED", o);
    }
}

static void at_end()
{
    if (getenv("CUDASIM_REPORT"))
        fprintf(stderr,
                "cudasim: %lu operations, %lu launches, %lu blocks, %lu threads, %lu switches, "
                "%lu waits\n",
                stream_counted.operations, stream_counted.launches, counted.blocks, counted.threads,
                counted.switches, stream_counted.waits);
    stream_report_leaks();
    memory_report_leaks();
}

call::call(const char *name) : name_(name)
{
    lock.lock();
    if (!prepared) {
        prepared = true;
        read_environment();
        atexit(at_end);
    }
    memory_prepare();
    if (current.running)
        fail("%s is called from a kernel", name);
    depth++;
}

call::~call()
{
    if (--depth == 0)
        memory_close();
    lock.unlock();
}

cudaError_t call::broken() const
{
    return errors[device_in_use()];
}

void call::refuse_in_capture() const
{
    if (stream_capture_forbids())
        fail("%s while a stream is captured: not permitted", name_);
}

cudaError_t result(cudaError_t error)
{
    if (error != cudaSuccess)
        last_error = error;
    return error;
}

cudaError_t device_error(int device)
{
    return errors[device];
}

void device_look_broken(int device)
{
    const char *path = getenv("CUDASIM_BROKEN");
    FILE *file = path && errors[device] == cudaSuccess ? fopen(path, "r") : nullptr;
    int only = device;

    if (!file)
        return;
    if (fscanf(file, "%d", &only) < 1 || only == device)
        errors[device] = cudaErrorIllegalAddress;
    fclose(file);
}

} // namespace cudasim

using namespace cudasim;

extern "C" {

cudaError_t cudaGetLastError(void)
{
    const cudaError_t error = last_error;

    last_error = errors[device_in_use()];
    return error;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}

const char *cudaGetErrorName(cudaError_t error)
{
    switch (error) {
    case cudaSuccess:
        return "cudaSuccess";
    case cudaErrorInvalidValue:
        return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
        return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
        return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidDevice:
        return "cudaErrorInvalidDevice";
    case cudaErrorNoDevice:
        return "cudaErrorNoDevice";
    case cudaErrorIllegalAddress:
        return "cudaErrorIllegalAddress";
    case cudaErrorNotReady:
        return "cudaErrorNotReady";
    default:
        return "cudaError (of the simulated device)";
    }
}

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
    case cudaSuccess:
        return "no error";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorNoDevice:
        return "no CUDA-capable device is detected";
    case cudaErrorIllegalAddress:
        return "an illegal memory access was encountered";
    default:
        return cudaGetErrorName(error);
    }
}

} // extern "C"
