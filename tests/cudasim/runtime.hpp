/* Inside the double of libcudart: the prototypes are those of the real cuda_runtime_api.h, so that a
 * wrong call does not compile. Work is queued, and runs when somebody waits for it, at once, or at any
 * moment between (CUDASIM_SCHEDULE=lazy, the default; eager; random:SEED); whoever does not wait sees
 * what was there before. The order of threads and blocks is CUDASIM_ORDER=forward, reverse, random:SEED.
 *
 * More of the environment: CUDASIM_DEVICES=N; CUDASIM_MEMORY_MIB=N, the memory of a device;
 * CUDASIM_FAIL_ALLOCATION=N, the Nth finds no memory; CUDASIM_BROKEN=FILE: once it exists, every device
 * is in error for good, or that whose number the file holds; CUDASIM_REPORT=1: counts to standard error
 * at exit; CUDASIM_ABORT=1: a core file.
 *
 * Calls of several host threads are taken one at a time. Each thread has a device in use, and a last error.
 * Streams, events and memory belong to the device that was in use when they were made: work reaches only
 * the memory of its stream's device, and is queued while that device is in use (CUDA asks this of kernels
 * alone, but we never mean anything else). */
#ifndef TESTS_CUDASIM_RUNTIME_HPP
#define TESTS_CUDASIM_RUNTIME_HPP

#include "tests/cudasim/fail.hpp"
#include "tests/cudasim/fiber.hpp"

#include <cuda_runtime_api.h>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <stddef.h>
#include <stdint.h>
#include <string>
#include <thread>
#include <vector>

namespace cudasim
{

enum { DEVICES_MAX = 16 };

enum schedule { SCHEDULE_LAZY, SCHEDULE_EAGER, SCHEDULE_RANDOM };
extern enum schedule schedule;

/* What a stream does one after another. Owns its argument. */
struct work {
    std::string what;
    void (*run)(void *);
    void (*destroy)(void *);
    void *arg;

    work(const char *name, void (*f)(void *), void *a, void (*d)(void *))
        : what(name), run(f), destroy(d), arg(a)
    {
    }
    work(const work &) = delete;
    work &operator=(const work &) = delete;
    ~work()
    {
        destroy(arg);
    }
};
using work_ref = std::shared_ptr<work>;

/* A node of a graph, after those that it depends on. */
struct node {
    work_ref task;
    std::vector<int> after;
};

/* A call of the runtime, from its first line to its return: the lock, the first call's preparations, and,
 * if work was run, the device's memory closed again. */
class call
{
  public:
    explicit call(const char *name);
    ~call();
    call(const call &) = delete;
    call &operator=(const call &) = delete;
    cudaError_t broken()
        const; /* cudaSuccess, or the error that the device in use is in for good */
    void refuse_in_capture() const;

  private:
    const char *name_;
};

/* Notes an error for cudaGetLastError() and returns it. */
cudaError_t result(cudaError_t error);

/* memory.cpp */
void memory_prepare();
void memory_open(
    int device);     /* for its work: until the call of the runtime returns, or another's */
void memory_close(); /* whatever the host touches there ends it */
/* Whether n bytes lie in one allocation that lives; in page-locked memory of the host; in an address
 * of the device, alive or not. */
bool memory_contains(const void *p, size_t bytes);
bool memory_is_pinned(const void *p, size_t bytes);
bool memory_is_of_device(const void *p);
void memory_report_leaks();

/* stream.cpp */
struct stream_counts {
    unsigned long operations, launches, waits;
};
extern stream_counts stream_counted;
/* Enqueues or, in a capture, adds a node. what names the call for texts; takes arg whatever comes. */
cudaError_t stream_push(cudaStream_t stream, const char *what, void (*run)(void *), void *arg,
                        void (*destroy)(void *));
void stream_drain(cudaStream_t stream);
void stream_drain_device(int device);
void stream_drain_all();
/* Ends the process unless it is a stream of ours that lives. */
void stream_check(cudaStream_t stream, const char *what);
bool stream_captures(cudaStream_t stream);
/* Whether a capture goes on in which this thread may not wait, allocate or free. */
bool stream_capture_forbids();
void stream_report_leaks();

int device_in_use(); /* of this thread */
cudaError_t device_error(int device);
void device_look_broken(int device); /* after work: whether it is now */

template <class T> void destroy_as(void *arg)
{
    delete static_cast<T *>(arg);
}

} // namespace cudasim

struct CUgraph_st {
    std::vector<cudasim::node> nodes;
    std::thread::id capturer;
    bool for_all_threads = true; /* the capture forbids them, too, what is unsafe */
};

struct CUevent_st {
    uint64_t recorded = 0, done = 0;             /* how many times */
    std::map<uint64_t, CUstream_st *> recorders; /* of the records that are still queued */
    double ms = 0;
    bool timed = true;
    int device = cudasim::device_in_use();
    CUgraph_st *capture = nullptr; /* recorded in it, after these nodes */
    std::vector<int> captured_after;
    char order = 0;
};

struct CUstream_st {
    struct operation {
        enum { RUN, RECORD, WAIT } kind;
        cudasim::work_ref task;
        CUevent_st *event;
        uint64_t record; /* which of the event's */
    };
    std::deque<operation> queue;
    int device = cudasim::device_in_use();
    CUgraph_st *capture = nullptr;
    bool captures_first = false; /* the stream that the capture began on */
    std::vector<int> captured_last;
    void *identity = nullptr;
    char order = 0;
};

namespace cudasim
{
extern std::set<CUstream_st *> streams;
extern std::set<CUevent_st *> events;
} // namespace cudasim

#endif
