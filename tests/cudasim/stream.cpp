/* Streams and events: work that is queued, and who runs it when. */
#include "tests/cudasim/runtime.hpp"

#include <time.h>

namespace cudasim
{

std::set<CUstream_st *> streams;
std::set<CUevent_st *> events;
stream_counts stream_counted;

static void run_next(CUstream_st *s);

static double now_ms()
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

void stream_check(cudaStream_t stream, const char *what)
{
    if (!stream || stream == cudaStreamLegacy || stream == cudaStreamPerThread)
        fail("%s on the default stream: name one", what);
    if (!streams.count(stream))
        fail("%s on a stream that does not exist", what);
}

static void check_event(cudaEvent_t event, const char *what)
{
    if (!events.count(event))
        fail("%s of an event that does not exist", what);
}

bool stream_captures(cudaStream_t stream)
{
    return stream->capture != nullptr;
}

bool stream_capture_forbids()
{
    for (auto *s : streams)
        if (s->capture &&
            (s->capture->for_all_threads || s->capture->capturer == std::this_thread::get_id()))
            return true;
    return false;
}

void stream_report_leaks()
{
    if (!streams.empty() || !events.empty())
        fail("leak: %zu streams, %zu events", streams.size(), events.size());
}

/* Until the event was recorded that often. */
static void run_until(CUevent_st *event, uint64_t record)
{
    while (event->done < record) {
        auto recorder = event->recorders.find(record);

        if (recorder == event->recorders.end())
            fail("an event waits for a record that nobody will make");
        run_next(recorder->second);
    }
}

static void run_next(CUstream_st *s)
{
    CUstream_st::operation op = std::move(s->queue.front());
    void *before;

    s->queue.pop_front();
    stream_counted.operations++;
    if (op.kind == CUstream_st::operation::WAIT)
        run_until(op.event, op.record);
    before = identity_enter(s->identity);
    sync_acquire(op.task ? (void *)op.task.get() : (void *)s);
    if (op.kind == CUstream_st::operation::WAIT) {
        sync_acquire(&op.event->order);
    } else if (op.kind == CUstream_st::operation::RECORD) {
        op.event->done = op.record;
        op.event->recorders.erase(op.record);
        op.event->ms = now_ms();
        sync_release(&op.event->order);
    } else if (device_error(s->device) == cudaSuccess) {
        memory_open(s->device);
        op.task->run(op.task->arg);
        device_look_broken(s->device);
    }
    op.task.reset(); /* as the stream, to the thread sanitizer */
    sync_release(&s->order);
    identity_leave(before);
}

void stream_drain(cudaStream_t stream)
{
    while (!stream->queue.empty())
        run_next(stream);
    sync_acquire(&stream->order);
}

void stream_drain_device(int device)
{
    for (auto *s : streams)
        if (s->device == device)
            stream_drain(s);
}

void stream_drain_all()
{
    for (auto *s : streams)
        stream_drain(s);
}

/* After something was queued: all of it, none, or a bit of anybody's. */
static void maybe_run(CUstream_st *s)
{
    if (schedule == SCHEDULE_EAGER)
        while (!s->queue.empty())
            run_next(s);
    if (schedule != SCHEDULE_RANDOM)
        return;
    for (unsigned n = random_next() % 4; n > 0; n--) {
        auto any = streams.begin();

        std::advance(any, random_next() % streams.size());
        if (!(*any)->queue.empty())
            run_next(*any);
    }
}

cudaError_t stream_push(cudaStream_t stream, const char *what, void (*run)(void *), void *arg,
                        void (*destroy)(void *))
{
    auto task = std::make_shared<work>(what, run, arg, destroy);

    stream_check(stream, what);
    if (stream->device != device_in_use())
        fail("%s on a stream of device %d while device %d is in use", what, stream->device,
             device_in_use());
    if (stream->capture) {
        stream->capture->nodes.push_back({task, stream->captured_last});
        stream->captured_last = {(int)stream->capture->nodes.size() - 1};
        return cudaSuccess;
    }
    sync_release(task.get());
    stream->queue.push_back({CUstream_st::operation::RUN, std::move(task), nullptr, 0});
    maybe_run(stream);
    return result(device_error(stream->device));
}

static void push_event(CUstream_st *s, CUevent_st *event, bool records)
{
    sync_release(s);
    s->queue.push_back({records ? CUstream_st::operation::RECORD : CUstream_st::operation::WAIT,
                        nullptr, event, event->recorded});
    maybe_run(s);
}

/* A stream that waits for an event of a capture joins it. */
static void wait_in_capture(CUstream_st *s, CUevent_st *event)
{
    if (!s->capture) {
        s->capture = event->capture;
        s->captures_first = false;
        s->captured_last.clear();
    }
    for (int n : event->captured_after)
        s->captured_last.push_back(n);
}

} // namespace cudasim

using namespace cudasim;

extern "C" {

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *out, unsigned flags, int)
{
    call c("cudaStreamCreate");

    if (c.broken())
        return result(c.broken());
    if (flags != cudaStreamNonBlocking)
        fail("a stream is created without cudaStreamNonBlocking");
    *out = new CUstream_st;
    (*out)->identity = identity_create();
    streams.insert(*out);
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
    return cudaStreamCreateWithPriority(out, flags, 0);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    call c("cudaStreamDestroy");

    stream_check(stream, "cudaStreamDestroy");
    stream_drain(stream);
    streams.erase(stream);
    identity_destroy(stream->identity);
    delete stream;
    return c.broken();
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    call c("cudaStreamSynchronize");

    stream_check(stream, "cudaStreamSynchronize");
    c.refuse_in_capture();
    stream_counted.waits++;
    stream_drain(stream);
    return result(device_error(stream->device));
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    call c("cudaStreamQuery");

    stream_check(stream, "cudaStreamQuery");
    c.refuse_in_capture();
    if (stream->queue.empty()) {
        sync_acquire(&stream->order);
        return result(device_error(stream->device));
    }
    run_next(stream);
    return cudaErrorNotReady;
}

cudaError_t cudaDeviceSynchronize(void)
{
    call c("cudaDeviceSynchronize");

    c.refuse_in_capture();
    stream_counted.waits++;
    stream_drain_device(device_in_use());
    return result(c.broken());
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
    call c("cudaEventCreate");

    if (c.broken())
        return result(c.broken());
    *out = new CUevent_st;
    (*out)->timed = !(flags & cudaEventDisableTiming);
    events.insert(*out);
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *out)
{
    return cudaEventCreateWithFlags(out, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    call c("cudaEventDestroy");

    check_event(event, "cudaEventDestroy");
    run_until(event, event->recorded);
    for (auto *s : streams) /* those that still wait for it */
        for (auto &op : s->queue)
            if (op.event == event) {
                stream_drain(s);
                break;
            }
    events.erase(event);
    delete event;
    return c.broken();
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    call c("cudaEventRecord");

    stream_check(stream, "cudaEventRecord");
    check_event(event, "cudaEventRecord");
    if (event->device != stream->device)
        fail("cudaEventRecord of an event of device %d on a stream of device %d", event->device,
             stream->device);
    event->capture = stream->capture;
    if (stream->capture) {
        event->captured_after = stream->captured_last;
        return cudaSuccess;
    }
    event->recorded++;
    event->recorders[event->recorded] = stream;
    push_event(stream, event, true);
    return result(device_error(stream->device));
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned)
{
    return cudaEventRecord(event, stream);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    call c("cudaStreamWaitEvent");

    stream_check(stream, "cudaStreamWaitEvent");
    check_event(event, "cudaStreamWaitEvent");
    if (event->capture) {
        wait_in_capture(stream, event);
        return cudaSuccess;
    }
    if (!event->recorded)
        fail("cudaStreamWaitEvent of an event that was never recorded: it waits for nothing");
    if (stream->capture)
        fail("cudaStreamWaitEvent in a capture, of an event recorded outside of it");
    push_event(stream, event, false);
    return result(device_error(stream->device));
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    call c("cudaEventSynchronize");

    check_event(event, "cudaEventSynchronize");
    c.refuse_in_capture();
    stream_counted.waits++;
    run_until(event, event->recorded);
    sync_acquire(&event->order);
    return result(device_error(event->device));
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    call c("cudaEventQuery");

    check_event(event, "cudaEventQuery");
    c.refuse_in_capture();
    if (event->done == event->recorded) {
        sync_acquire(&event->order);
        return result(device_error(event->device));
    }
    run_next(event->recorders.at(event->recorded));
    return cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    call c("cudaEventElapsedTime");

    check_event(start, "cudaEventElapsedTime");
    check_event(end, "cudaEventElapsedTime");
    if (!start->timed || !end->timed || !start->recorded || !end->recorded)
        return result(cudaErrorInvalidResourceHandle);
    if (start->done < start->recorded || end->done < end->recorded)
        return cudaErrorNotReady;
    *ms = (float)(end->ms - start->ms);
    return cudaSuccess;
}

} // extern "C"
