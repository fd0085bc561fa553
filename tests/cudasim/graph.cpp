/* Captures and graphs. A graph is replayed in the most unusual order that its edges allow. */
#include "tests/cudasim/runtime.hpp"

#include <algorithm>

struct CUgraphExec_st {
    std::vector<cudasim::node> nodes;
    std::vector<int> order;
};

namespace cudasim
{

struct replay {
    std::vector<node> nodes;
    std::vector<int> order;
};

/* Every node after those it depends on; otherwise the last first, the first first where nothing is
 * late, or any. */
static std::vector<int> choose_order(const std::vector<node> &nodes)
{
    std::vector<int> order, ready, waits_for(nodes.size(), 0);

    for (size_t i = 0; i < nodes.size(); i++)
        waits_for[i] = (int)nodes[i].after.size();
    for (size_t i = 0; i < nodes.size(); i++)
        if (waits_for[i] == 0)
            ready.push_back((int)i);
    while (!ready.empty()) {
        auto next = schedule == SCHEDULE_EAGER ? std::min_element(ready.begin(), ready.end())
                                               : std::max_element(ready.begin(), ready.end());

        if (schedule == SCHEDULE_RANDOM)
            next = ready.begin() + random_next() % ready.size();
        const int n = *next;

        ready.erase(next);
        order.push_back(n);
        for (size_t i = 0; i < nodes.size(); i++)
            for (int on : nodes[i].after)
                if (on == n && --waits_for[i] == 0)
                    ready.push_back((int)i);
    }
    return order;
}

static void replay_run(void *arg)
{
    const replay *r = static_cast<replay *>(arg);

    for (int i : r->order)
        r->nodes[i].task->run(r->nodes[i].task->arg);
}

/* Whether all that `last` names comes before what `ends` names. */
static bool leads_to(const CUgraph_st *graph, const std::vector<int> &last,
                     const std::vector<int> &ends)
{
    std::vector<int> open(ends);
    std::set<int> seen;

    while (!open.empty()) {
        const int n = open.back();

        open.pop_back();
        if (!seen.insert(n).second)
            continue;
        open.insert(open.end(), graph->nodes[n].after.begin(), graph->nodes[n].after.end());
    }
    return std::all_of(last.begin(), last.end(), [&](int n) { return seen.count(n) != 0; });
}

} // namespace cudasim

using namespace cudasim;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    call c("cudaStreamBeginCapture");

    if (c.broken())
        return result(c.broken());
    stream_check(stream, "cudaStreamBeginCapture");
    if (stream->capture)
        return result(cudaErrorIllegalState);
    stream->capture = new CUgraph_st;
    stream->capture->capturer = std::this_thread::get_id();
    stream->capture->for_all_threads = mode == cudaStreamCaptureModeGlobal;
    stream->captures_first = true;
    stream->captured_last.clear();
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *out)
{
    call c("cudaStreamIsCapturing");

    stream_check(stream, "cudaStreamIsCapturing");
    *out = stream->capture ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out)
{
    call c("cudaStreamEndCapture");
    CUgraph_st *graph;

    stream_check(stream, "cudaStreamEndCapture");
    if (!stream->capture || !stream->captures_first)
        fail("cudaStreamEndCapture of a stream on which no capture began");
    graph = stream->capture;
    for (auto *s : streams) {
        if (s->capture != graph)
            continue;
        if (!leads_to(graph, s->captured_last, stream->captured_last))
            fail("a capture ends before all its streams are joined");
        s->capture = nullptr;
    }
    for (auto *e : events)
        if (e->capture == graph) {
            e->capture = nullptr;
            e->captured_after.clear();
        }
    *out = graph;
    return c.broken();
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long)
{
    call c("cudaGraphInstantiate");

    if (c.broken())
        return result(c.broken());
    if (!graph)
        return result(cudaErrorInvalidValue);
    *out = new CUgraphExec_st{graph->nodes, choose_order(graph->nodes)};
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *out, cudaGraph_t graph,
                                          unsigned long long flags)
{
    return cudaGraphInstantiate(out, graph, flags);
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream)
{
    call c("cudaGraphUpload");

    stream_check(stream, "cudaGraphUpload");
    return exec ? c.broken() : result(cudaErrorInvalidValue);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    call c("cudaGraphLaunch");

    if (!exec)
        return result(cudaErrorInvalidValue);
    if (schedule == SCHEDULE_RANDOM)
        exec->order = choose_order(exec->nodes);
    return stream_push(stream, "cudaGraphLaunch", replay_run, new replay{exec->nodes, exec->order},
                       destroy_as<replay>);
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count)
{
    call c("cudaGraphGetNodes");

    if (nodes)
        return result(cudaErrorNotSupported);
    *count = graph->nodes.size();
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    call c("cudaGraphDestroy");

    delete graph;
    return c.broken();
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    call c("cudaGraphExecDestroy");

    delete exec;
    return c.broken();
}

} // extern "C"
