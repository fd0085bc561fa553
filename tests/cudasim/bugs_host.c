#include "tests/cudasim/bug.h"
#include "tests/cudasim/faulty_launch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static const size_t BYTES = BUG_FLOATS * sizeof(float);

static void fill(float *p, int n, float value, cudaStream_t stream)
{
    BUG_TRY(fill_launch(p, n, value, (n + 255) / 256, 256, 0, stream));
}

static void fetch(struct bug_ground *g, const float *device, cudaStream_t stream)
{
    BUG_TRY(cudaMemcpyAsync(g->back, device, BYTES, cudaMemcpyDeviceToHost, stream));
}

/* Memory. */

static void past_end(struct bug_ground *g)
{
    fill(g->p, BUG_FLOATS + 24 + 1, 2, g->stream);
}

static void past_end_in_rounding(struct bug_ground *g)
{
    fill(g->p, BUG_FLOATS + 1, 2, g->stream);
}

static void before_start(struct bug_ground *g)
{
    fill(g->q - 1 - 1024, 1, 2, g->stream);
}

static void use_after_free(struct bug_ground *g)
{
    BUG_TRY(cudaFree(g->q));
    fill(g->q, BUG_FLOATS, 2, g->stream);
}

static void free_twice(struct bug_ground *g)
{
    BUG_TRY(cudaFree(g->q));
    BUG_TRY(cudaFree(g->q));
}

static void host_reads_device(struct bug_ground *g)
{
    BUG_TRY(cudaStreamSynchronize(g->stream));
    printf("%g\n", (double)g->p[3]);
}

static void host_pointer_to_kernel(struct bug_ground *g)
{
    BUG_TRY(copy_launch(g->p, g->host, BUG_FLOATS, g->stream));
}

static void device_unwritten(struct bug_ground *g)
{
    bug_expect(g, g->q, BUG_FLOATS, 1);
}

static void leak(struct bug_ground *g)
{
    void *p;

    BUG_TRY(cudaMalloc(&p, 100));
}

static void pinned_used_after_free(struct bug_ground *g)
{
    float *host = g->back;

    BUG_TRY(cudaFreeHost(g->back));
    g->back = NULL;
    BUG_TRY(cudaMemcpyAsync(g->q, host, BYTES, cudaMemcpyHostToDevice, g->stream));
    BUG_TRY(cudaStreamSynchronize(g->stream));
}

static void pinned_past_end(struct bug_ground *g)
{
    g->back[BUG_FLOATS + 24] = 1;
}

/* Order. */

static void no_wait(struct bug_ground *g)
{
    fetch(g, g->p, g->stream);
    bug_expect_back(g, BUG_FLOATS, 1);
}

static void pinned_reused_early(struct bug_ground *g)
{
    BUG_TRY(cudaMemcpyAsync(g->q, g->host, BYTES, cudaMemcpyHostToDevice, g->stream));
    for (int i = 0; i < BUG_FLOATS; i++)
        g->host[i] = 7;
    bug_expect(g, g->q, BUG_FLOATS, 1);
}

static void no_event(struct bug_ground *g)
{
    BUG_TRY(copy_launch(g->q, g->p, BUG_FLOATS, g->other));
    fetch(g, g->q, g->other);
    BUG_TRY(cudaStreamSynchronize(g->other));
    bug_expect_back(g, BUG_FLOATS, 1);
}

static void event_before_record(struct bug_ground *g)
{
    BUG_TRY(cudaStreamWaitEvent(g->other, g->event, 0));
    BUG_TRY(cudaEventRecord(g->event, g->stream));
}

static void event_too_early(struct bug_ground *g)
{
    BUG_TRY(cudaStreamSynchronize(g->stream));
    BUG_TRY(cudaEventRecord(g->event, g->stream));
    fill(g->p, BUG_FLOATS, 2, g->stream);
    BUG_TRY(cudaStreamWaitEvent(g->other, g->event, 0));
    fetch(g, g->p, g->other);
    BUG_TRY(cudaStreamSynchronize(g->other));
    bug_expect_back(g, BUG_FLOATS, 2);
}

/* Calls. */

static void wrong_direction(struct bug_ground *g)
{
    BUG_TRY(cudaMemcpyAsync(g->back, g->p, BYTES, cudaMemcpyHostToDevice, g->stream));
}

static void no_direction(struct bug_ground *g)
{
    BUG_TRY(cudaMemcpyAsync(g->back, g->p, BYTES, cudaMemcpyDefault, g->stream));
}

static void copy_too_long(struct bug_ground *g)
{
    BUG_TRY(cudaMemcpyAsync(g->back, g->p, BYTES + 4, cudaMemcpyDeviceToHost, g->stream));
}

static void set_too_long(struct bug_ground *g)
{
    BUG_TRY(cudaMemsetAsync(g->p, 0, BYTES + 4, g->stream));
}

static void default_stream(struct bug_ground *g)
{
    fill(g->p, BUG_FLOATS, 1, NULL);
}

static void blocking_stream(struct bug_ground *g)
{
    cudaStream_t stream;

    BUG_TRY(cudaStreamCreateWithFlags(&stream, cudaStreamDefault));
}

static void destroyed_stream(struct bug_ground *g)
{
    cudaStream_t stream;

    BUG_TRY(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    BUG_TRY(cudaStreamDestroy(stream));
    fill(g->p, BUG_FLOATS, 1, stream);
}

static void too_many_threads(struct bug_ground *g)
{
    BUG_TRY(fill_launch(g->p, BUG_FLOATS, 1, 1, 1056, 0, g->stream));
}

static void empty_grid(struct bug_ground *g)
{
    BUG_TRY(fill_launch(g->p, BUG_FLOATS, 1, 0, 256, 0, g->stream));
}

static void half_a_warp(struct bug_ground *g)
{
    BUG_TRY(fill_launch(g->p, 16, 1, 1, 16, 0, g->stream));
}

static void no_opt_in(struct bug_ground *g)
{
    BUG_TRY(fill_launch(g->p, BUG_FLOATS, 1, 4, 256, 60000, g->stream));
}

/* A graph may have been captured in between. */
static void opt_in_lowered(struct bug_ground *g)
{
    static const char kernel;

    BUG_TRY(cudaFuncSetAttribute(&kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 60000));
    BUG_TRY(cudaFuncSetAttribute(&kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 50000));
}

/* Graphs. */

static void begin(struct bug_ground *g)
{
    BUG_TRY(cudaStreamSynchronize(g->stream));
    BUG_TRY(cudaStreamBeginCapture(g->stream, cudaStreamCaptureModeGlobal));
}

static cudaGraphExec_t end(cudaStream_t stream)
{
    cudaGraph_t graph;
    cudaGraphExec_t exec;

    BUG_TRY(cudaStreamEndCapture(stream, &graph));
    BUG_TRY(cudaGraphInstantiate(&exec, graph, 0));
    BUG_TRY(cudaGraphDestroy(graph));
    return exec;
}

static void replay(struct bug_ground *g, cudaGraphExec_t exec)
{
    BUG_TRY(cudaGraphLaunch(exec, g->stream));
    BUG_TRY(cudaStreamSynchronize(g->stream));
    BUG_TRY(cudaGraphExecDestroy(exec));
}

static void malloc_in_capture(struct bug_ground *g)
{
    void *p;

    begin(g);
    BUG_TRY(cudaMalloc(&p, 10));
}

static void wait_in_capture(struct bug_ground *g)
{
    begin(g);
    BUG_TRY(cudaStreamSynchronize(g->stream));
}

static void wait_for_other_in_capture(struct bug_ground *g)
{
    begin(g);
    BUG_TRY(cudaStreamSynchronize(g->other));
}

static void pageable_in_capture(struct bug_ground *g)
{
    static float there[BUG_FLOATS];

    begin(g);
    BUG_TRY(cudaMemcpyAsync(there, g->p, BYTES, cudaMemcpyDeviceToHost, g->stream));
}

static void fork_stream(struct bug_ground *g)
{
    BUG_TRY(cudaEventRecord(g->event, g->stream));
    BUG_TRY(cudaStreamWaitEvent(g->other, g->event, 0));
}

static void join_stream(struct bug_ground *g)
{
    BUG_TRY(cudaEventRecord(g->event, g->other));
    BUG_TRY(cudaStreamWaitEvent(g->stream, g->event, 0));
}

static void unjoined_capture(struct bug_ground *g)
{
    begin(g);
    fork_stream(g);
    fill(g->p, BUG_FLOATS, 1, g->other);
    end(g->stream);
}

/* The copy comes before the stream that writes what it copies is joined. */
static void joined_late(struct bug_ground *g)
{
    begin(g);
    fork_stream(g);
    fill(g->q, BUG_FLOATS, 1, g->other);
    BUG_TRY(cudaMemcpyAsync(g->p, g->q, BYTES, cudaMemcpyDeviceToDevice, g->stream));
    join_stream(g);
    replay(g, end(g->stream));
    bug_expect(g, g->p, BUG_FLOATS, 1);
}

/* The stream that was forked does not wait for what comes before. */
static void forked_early(struct bug_ground *g)
{
    begin(g);
    fork_stream(g);
    fill(g->q, BUG_FLOATS, 1, g->stream);
    BUG_TRY(cudaMemcpyAsync(g->p, g->q, BYTES, cudaMemcpyDeviceToDevice, g->other));
    join_stream(g);
    replay(g, end(g->stream));
    bug_expect(g, g->p, BUG_FLOATS, 1);
}

static void stale_argument(struct bug_ground *g)
{
    float *now = g->p;
    cudaGraphExec_t exec;

    begin(g);
    fill(now, BUG_FLOATS, 5, g->stream);
    exec = end(g->stream);
    now = g->q;
    replay(g, exec);
    bug_expect(g, now, BUG_FLOATS, 5);
}

static void graph_after_free(struct bug_ground *g)
{
    cudaGraphExec_t exec;

    begin(g);
    fill(g->q, BUG_FLOATS, 5, g->stream);
    exec = end(g->stream);
    BUG_TRY(cudaFree(g->q));
    g->q = NULL;
    replay(g, exec);
}

/* Several devices, several threads. */

static void stream_of_other_device(struct bug_ground *g)
{
    BUG_TRY(cudaSetDevice(1));
    fill(g->p, BUG_FLOATS, 2, g->stream);
}

static cudaStream_t make_stream(int device)
{
    cudaStream_t stream;

    BUG_TRY(cudaSetDevice(device));
    BUG_TRY(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return stream;
}

static void memory_of_other_device(struct bug_ground *g)
{
    cudaStream_t stream = make_stream(1);

    fill(g->p, BUG_FLOATS, 2, stream);
    BUG_TRY(cudaStreamSynchronize(stream));
}

static void event_of_other_device(struct bug_ground *g)
{
    BUG_TRY(cudaEventRecord(g->event, make_stream(1)));
}

static void *allocate(void *p)
{
    BUG_TRY(cudaMalloc(&p, BYTES));
    BUG_TRY(cudaFree(p));
    return NULL;
}

static void allocate_in_other_thread(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, allocate, NULL);
    pthread_join(thread, NULL);
}

static void malloc_in_capture_of_others(struct bug_ground *g)
{
    begin(g);
    allocate_in_other_thread();
}

/* What is right. */

static void legal_malloc_of_other_thread(struct bug_ground *g)
{
    cudaGraphExec_t exec;

    BUG_TRY(cudaStreamBeginCapture(g->other, cudaStreamCaptureModeThreadLocal));
    fill(g->p, BUG_FLOATS, 2, g->other);
    allocate_in_other_thread();
    exec = end(g->other);
    replay(g, exec);
    bug_expect(g, g->p, BUG_FLOATS, 2);
}

static void legal_devices(struct bug_ground *g)
{
    cudaStream_t stream = make_stream(1);
    float *there;

    BUG_TRY(cudaMalloc((void **)&there, BYTES));
    BUG_TRY(cudaMemcpyAsync(there, g->host, BYTES, cudaMemcpyHostToDevice, stream));
    BUG_TRY(cudaMemcpyAsync(g->back, there, BYTES, cudaMemcpyDeviceToHost, stream));
    BUG_TRY(cudaSetDevice(0));
    fill(g->q, BUG_FLOATS, 5, g->stream);
    BUG_TRY(cudaStreamSynchronize(stream));
    bug_expect_back(g, BUG_FLOATS, 1);
    bug_expect(g, g->q, BUG_FLOATS, 5);
    BUG_TRY(cudaFree(there));
    BUG_TRY(cudaStreamDestroy(stream));
}

static void legal_calls(struct bug_ground *g)
{
    fetch(g, g->p, g->stream);
    BUG_TRY(cudaStreamSynchronize(g->stream));
    bug_expect_back(g, BUG_FLOATS, 1);
}

/* Freeing waits. */
static void legal_free_of_pending(struct bug_ground *g)
{
    fill(g->q, BUG_FLOATS, 2, g->stream);
    BUG_TRY(cudaFree(g->q));
    g->q = NULL;
}

static void legal_event(struct bug_ground *g)
{
    fork_stream(g);
    BUG_TRY(copy_launch(g->q, g->p, BUG_FLOATS, g->other));
    join_stream(g);
    bug_expect(g, g->q, BUG_FLOATS, 1);
}

static void legal_graph(struct bug_ground *g)
{
    begin(g);
    fork_stream(g);
    BUG_TRY(copy_launch(g->q, g->p, BUG_FLOATS, g->other));
    fill(g->p, BUG_FLOATS / 2, 3, g->stream);
    join_stream(g);
    BUG_TRY(cudaMemcpyAsync(g->p, g->q, BYTES / 2, cudaMemcpyDeviceToDevice, g->stream));
    replay(g, end(g->stream));
    bug_expect(g, g->p + BUG_FLOATS / 2, BUG_FLOATS / 2, 1);
}

const struct bug bugs_host[] = {
    {"legal_calls", legal_calls, SEEN_ALWAYS, NULL},
    {"legal_event", legal_event, SEEN_ALWAYS, NULL},
    {"legal_devices", legal_devices, SEEN_ALWAYS, NULL},
    {"legal_free_of_pending", legal_free_of_pending, SEEN_ALWAYS, NULL},
    {"legal_graph", legal_graph, SEEN_ALWAYS, NULL},
    {"legal_malloc_of_other_thread", legal_malloc_of_other_thread, SEEN_ALWAYS, NULL},
    {"past_end", past_end, SEEN_ALWAYS, "past the end of allocation"},
    {"past_end_in_rounding", past_end_in_rounding, SEEN_BY_ADDRESS, "AddressSanitizer"},
    {"before_start", before_start, SEEN_ALWAYS, "is in no allocation of the device's"},
    {"use_after_free", use_after_free, SEEN_ALWAYS, "is in no allocation of the device's"},
    {"free_twice", free_twice, SEEN_ALWAYS, "was freed before"},
    {"host_reads_device", host_reads_device, SEEN_ALWAYS, "outside of the device's work"},
    {"host_pointer_to_kernel", host_pointer_to_kernel, SEEN_ALWAYS,
     "is in no allocation of the device's"},
    {"device_unwritten", device_unwritten, SEEN_ALWAYS, "wrong result"},
    {"leak", leak, SEEN_ALWAYS, "leak: device memory"},
    {"pinned_used_after_free", pinned_used_after_free, SEEN_ALWAYS,
     "touched freed page-locked memory"},
    {"pinned_past_end", pinned_past_end, SEEN_ALWAYS, "past the end of allocation"},
    {"no_wait", no_wait, SEEN_ALWAYS, "wrong result"},
    {"pinned_reused_early", pinned_reused_early, SEEN_ALWAYS, "wrong result"},
    {"no_event", no_event, SEEN_ALWAYS, "wrong result"},
    {"event_before_record", event_before_record, SEEN_ALWAYS, "was never recorded"},
    {"event_too_early", event_too_early, SEEN_ALWAYS, "wrong result"},
    {"wrong_direction", wrong_direction, SEEN_ALWAYS, "is in no allocation of the device's"},
    {"no_direction", no_direction, SEEN_ALWAYS, "name the direction"},
    {"copy_too_long", copy_too_long, SEEN_ALWAYS, "is in no allocation of the device's"},
    {"set_too_long", set_too_long, SEEN_ALWAYS, "is in no allocation of the device's"},
    {"default_stream", default_stream, SEEN_ALWAYS, "on the default stream"},
    {"blocking_stream", blocking_stream, SEEN_ALWAYS, "without cudaStreamNonBlocking"},
    {"destroyed_stream", destroyed_stream, SEEN_ALWAYS, "on a stream that does not exist"},
    {"too_many_threads", too_many_threads, SEEN_ALWAYS, "cudaErrorInvalidConfiguration"},
    {"empty_grid", empty_grid, SEEN_ALWAYS, "cudaErrorInvalidConfiguration"},
    {"half_a_warp", half_a_warp, SEEN_ALWAYS, "is not whole warps"},
    {"no_opt_in", no_opt_in, SEEN_ALWAYS, "no SDK_OPT_IN?"},
    {"opt_in_lowered", opt_in_lowered, SEEN_ALWAYS, "what was captured may need more"},
    {"malloc_in_capture", malloc_in_capture, SEEN_ALWAYS, "while a stream is captured"},
    {"wait_in_capture", wait_in_capture, SEEN_ALWAYS, "while a stream is captured"},
    {"wait_for_other_in_capture", wait_for_other_in_capture, SEEN_ALWAYS,
     "while a stream is captured"},
    {"pageable_in_capture", pageable_in_capture, SEEN_ALWAYS, "that is not page-locked"},
    {"unjoined_capture", unjoined_capture, SEEN_ALWAYS, "before all its streams are joined"},
    {"joined_late", joined_late, SEEN_ALWAYS, "wrong result"},
    {"forked_early", forked_early, SEEN_ALWAYS, "wrong result"},
    {"stale_argument", stale_argument, SEEN_ALWAYS, "wrong result"},
    {"graph_after_free", graph_after_free, SEEN_ALWAYS, "touched freed device memory"},
    {"stream_of_other_device", stream_of_other_device, SEEN_ALWAYS,
     "on a stream of device 0 while device 1 is in use"},
    {"memory_of_other_device", memory_of_other_device, SEEN_ALWAYS,
     "work of device 1 touched memory of device 0"},
    {"event_of_other_device", event_of_other_device, SEEN_ALWAYS, "of an event of device 0"},
    {"malloc_in_capture_of_others", malloc_in_capture_of_others, SEEN_ALWAYS,
     "while a stream is captured"},
    {NULL, NULL, SEEN_ALWAYS, NULL},
};
