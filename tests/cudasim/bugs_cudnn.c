/* Plans of cuDNN used wrongly, through the engine's own calls; and graphs that cuDNN would take for something
 * else than they were meant to be. */
#include "engine/base/error.h"
#include "engine/cuda/cudnn_call.h"
#include "engine/cuda/cudnn_convolution.h"
#include "engine/cuda/cudnn_device.h"
#include "tests/cudasim/bug.h"
#include "tests/cudasim/faulty_launch.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Images of SIDE x SIDE positions with CHANNELS channels; float16. CHANNELS is more than float16 counts up
 * to by ones. */
enum { N = 2, SIDE = 2, CHANNELS = 4096, OUTPUTS = 64, ONE = 0x3C00, HALF_4096 = 0x6C00 };

static const size_t X_BYTES = N * SIDE * SIDE * CHANNELS * sizeof(uint16_t);
static const size_t Y_BYTES = N * SIDE * SIDE * OUTPUTS * sizeof(uint16_t);
static const size_t WEIGHT_BYTES = (size_t)OUTPUTS * CHANNELS * sizeof(uint16_t);

/* A product of ones, every sum of which is CHANNELS, or with a bias of ones the same, since float16 has no
 * 4097. */
struct plan {
    struct cudnn_device *device;
    struct cudnn_convolution *convolution;
    uint16_t *x, *weight, *y, *bias; /* of the device: ones, but what comes out is NaN */
    void *workspace;
    size_t workspace_bytes;
};

static void try_own(int rc, const struct error *err)
{
    if (rc == 0)
        return;
    printf("failed: %s\n", err->text);
    fflush(stdout);
    _exit(1);
}

static uint16_t *allocate(struct bug_ground *g, size_t bytes, int value)
{
    uint16_t *host, *device;

    BUG_TRY(cudaMalloc((void **)&device, bytes));
    if (value < 0)
        return device;
    BUG_TRY(cudaMallocHost((void **)&host, bytes));
    for (size_t i = 0; i < bytes / sizeof(*host); i++)
        host[i] = (uint16_t)value;
    BUG_TRY(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, g->stream));
    BUG_TRY(cudaStreamSynchronize(g->stream));
    BUG_TRY(cudaFreeHost(host));
    return device;
}

static struct plan plan_create(struct bug_ground *g, bool bias, enum product_kind kind)
{
    const struct product product = {
        .kind = kind,
        .n = N,
        .x_h = SIDE,
        .x_w = SIDE,
        .x_c = CHANNELS,
        .y_h = SIDE,
        .y_w = SIDE,
        .y_c = OUTPUTS,
        .window_h = 1,
        .window_w = 1,
        .groups = 1,
        .stride = 1,
        .x_type = DTYPE_F16,
        .y_type = DTYPE_F16,
        .bias = bias,
        .scale = 1,
    };
    const char *names[CUDNN_CONFIGURATIONS_MAX];
    struct plan p = {0};
    struct error err;
    int n;

    try_own(cudnn_device_create(0, &p.device, &err), &err);
    n = cudnn_convolution_names(p.device, &product, names, &err);
    if (n < 1)
        try_own(error_set(&err, -1, "cuDNN has %d configurations for this", n), &err);
    /* The one with a workspace, if there is one. */
    for (int i = 0; i < n && p.workspace_bytes == 0; i++) {
        cudnn_convolution_destroy(p.convolution);
        try_own(cudnn_convolution_create(p.device, &product, names[i], &p.convolution, &err), &err);
        p.workspace_bytes = cudnn_convolution_workspace(p.convolution);
    }
    p.x = allocate(g, X_BYTES, ONE);
    p.weight = allocate(g, WEIGHT_BYTES, kind == PRODUCT_GRAD_WEIGHT ? -1 : ONE);
    p.y = allocate(g, Y_BYTES, kind == PRODUCT_GRAD_WEIGHT ? ONE : -1);
    p.bias = bias ? allocate(g, OUTPUTS * sizeof(uint16_t), ONE) : NULL;
    if (p.workspace_bytes > 0)
        p.workspace = allocate(g, p.workspace_bytes, -1);
    return p;
}

static void plan_destroy(struct plan *p)
{
    void *const memory[] = {p->x, p->weight, p->y, p->bias, p->workspace};

    for (size_t i = 0; i < sizeof(memory) / sizeof(memory[0]); i++)
        if (memory[i])
            BUG_TRY(cudaFree(memory[i]));
    cudnn_convolution_destroy(p->convolution);
    cudnn_device_destroy(p->device);
}

static void plan_run(const struct plan *p, cudaStream_t stream)
{
    struct error err;

    try_own(cudnn_convolution_run(p->convolution, stream, p->x, p->weight, p->y, p->bias, NULL,
                                  p->workspace, &err),
            &err);
}

/* Ends the program with "wrong result" unless y is right, after waiting or before it. */
static void expect(struct bug_ground *g, const struct plan *p, cudaStream_t stream, bool wait)
{
    void *bytes = g->back;
    uint16_t *back = bytes;

    for (size_t i = 0; i < Y_BYTES / sizeof(*back); i++)
        back[i] = 0;
    BUG_TRY(cudaMemcpyAsync(back, p->y, Y_BYTES, cudaMemcpyDeviceToHost, stream));
    if (wait)
        BUG_TRY(cudaStreamSynchronize(stream));
    for (size_t i = 0; i < Y_BYTES / sizeof(*back); i++) {
        if (back[i] == HALF_4096)
            continue;
        printf("wrong result: [%zu] is %#x, should be %#x\n", i, back[i], HALF_4096);
        fflush(stdout);
        _exit(1);
    }
}

/* A product with a workspace: the gradient of a weight. */
static struct plan plan_with_workspace(struct bug_ground *g)
{
    struct plan p = plan_create(g, false, PRODUCT_GRAD_WEIGHT);

    if (p.workspace_bytes == 0) {
        puts("there is no plan with a workspace to try this with");
        exit(0); /* which is no bug found */
    }
    return p;
}

static void legal_cudnn(struct bug_ground *g)
{
    struct plan p = plan_create(g, true, PRODUCT_FORWARD);

    plan_run(&p, g->stream);
    expect(g, &p, g->stream, true);
    plan_destroy(&p);
}

static void legal_workspace(struct bug_ground *g)
{
    struct plan p = plan_with_workspace(g);

    plan_run(&p, g->stream);
    BUG_TRY(cudaStreamSynchronize(g->stream));
    plan_destroy(&p);
}

static void cudnn_no_workspace(struct bug_ground *g)
{
    struct plan p = plan_with_workspace(g);

    p.workspace = NULL;
    plan_run(&p, g->stream);
}

static void cudnn_workspace_too_small(struct bug_ground *g)
{
    struct plan p = plan_with_workspace(g);

    p.workspace = allocate(g, p.workspace_bytes / 2, -1);
    plan_run(&p, g->stream);
}

static void cudnn_workspace_not_apart(struct bug_ground *g)
{
    struct plan p = plan_with_workspace(g);

    p.weight = allocate(g, p.workspace_bytes + WEIGHT_BYTES, -1);
    p.workspace = p.weight;
    p.weight += p.workspace_bytes / 4 / 256 * 256;
    plan_run(&p, g->stream);
}

/* What lies in the workspace is gone after a run. */
static void cudnn_kept_in_workspace(struct bug_ground *g)
{
    struct plan p = plan_with_workspace(g);

    BUG_TRY(fill_launch(p.workspace, 16, 1, 1, 32, 0, g->stream));
    plan_run(&p, g->stream);
    bug_expect(g, p.workspace, 16, 1);
}

static void cudnn_workspace_freed(struct bug_ground *g)
{
    struct plan p = plan_with_workspace(g);
    cudaGraphExec_t exec;
    cudaGraph_t graph;

    BUG_TRY(cudaStreamBeginCapture(g->stream, cudaStreamCaptureModeGlobal));
    plan_run(&p, g->stream);
    BUG_TRY(cudaStreamEndCapture(g->stream, &graph));
    BUG_TRY(cudaGraphInstantiate(&exec, graph, 0));
    BUG_TRY(cudaFree(p.workspace));
    BUG_TRY(cudaGraphLaunch(exec, g->stream));
    BUG_TRY(cudaStreamSynchronize(g->stream));
}

static void cudnn_misaligned(struct bug_ground *g)
{
    struct plan p = plan_create(g, false, PRODUCT_FORWARD);

    p.x = allocate(g, X_BYTES + 256, ONE) + 1;
    plan_run(&p, g->stream);
}

/* As if it were for fewer images. */
static void cudnn_tensor_too_small(struct bug_ground *g)
{
    struct plan p = plan_create(g, false, PRODUCT_FORWARD);

    p.y = allocate(g, Y_BYTES / N, -1);
    plan_run(&p, g->stream);
}

static void cudnn_tensor_of_host(struct bug_ground *g)
{
    struct plan p = plan_create(g, true, PRODUCT_FORWARD);

    void *host = g->host;

    p.bias = host;
    plan_run(&p, g->stream);
}

static void cudnn_tensor_left_out(struct bug_ground *g)
{
    struct plan p = plan_create(g, true, PRODUCT_FORWARD);

    p.bias = NULL;
    plan_run(&p, g->stream);
}

static void cudnn_not_apart(struct bug_ground *g)
{
    struct plan p = plan_create(g, false, PRODUCT_FORWARD);

    p.y = p.x + 128;
    plan_run(&p, g->stream);
}

static void cudnn_default_stream(struct bug_ground *g)
{
    struct plan p = plan_create(g, false, PRODUCT_FORWARD);

    plan_run(&p, NULL);
}

static void cudnn_no_event(struct bug_ground *g)
{
    struct plan p = plan_create(g, false, PRODUCT_FORWARD);

    plan_run(&p, g->stream);
    expect(g, &p, g->other, true);
}

static void cudnn_no_wait(struct bug_ground *g)
{
    struct plan p = plan_create(g, false, PRODUCT_FORWARD);

    plan_run(&p, g->stream);
    expect(g, &p, g->stream, false);
}

static void cudnn_weight_not_packed(struct bug_ground *g)
{
    struct plan p = plan_create(g, false, PRODUCT_FORWARD);

    p.weight = allocate(g, WEIGHT_BYTES, -1);
    plan_run(&p, g->stream);
    expect(g, &p, g->stream, true);
}

/* What is set in cuDNN's own words: a product of ones, as above. */
struct words {
    int64_t y_uid, weight_channels;
    cudnnDataType_t sums;
};

static const struct words right_words = {.y_uid = 3,
                                         .weight_channels = CHANNELS,
                                         .sums = CUDNN_DATA_FLOAT};

static cudnnBackendDescriptor_t tensor(struct cudnn_builder *b, int64_t uid, int64_t n, int64_t c,
                                       int64_t side)
{
    const int64_t alignment = 16, dims[4] = {n, c, side, side};
    const int64_t strides[4] = {c * side * side, 1, c * side, c};
    const cudnnDataType_t type = CUDNN_DATA_HALF;
    cudnnBackendDescriptor_t d = cudnn_make(b, CUDNN_BACKEND_TENSOR_DESCRIPTOR);

    cudnn_give(b, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    cudnn_give(b, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    cudnn_give(b, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
    cudnn_give(b, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    cudnn_give(b, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    cudnn_finish(b, d);
    return d;
}

static cudnnBackendDescriptor_t window(struct cudnn_builder *b, cudnnDataType_t sums)
{
    const int64_t n_dims = 2, zeros[2] = {0, 0}, ones[2] = {1, 1};
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    cudnnBackendDescriptor_t d = cudnn_make(b, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);

    cudnn_give(b, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &n_dims);
    cudnn_give(b, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    cudnn_give(b, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    cudnn_give(b, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, zeros);
    cudnn_give(b, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, zeros);
    cudnn_give(b, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, ones);
    cudnn_give(b, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, ones);
    cudnn_finish(b, d);
    return d;
}

static cudnnBackendDescriptor_t graph(struct cudnn_builder *b, const struct words *w)
{
    const float one = 1, zero = 0;
    cudnnBackendDescriptor_t d, made;

    d = cudnn_make(b, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
    cudnn_give_descriptor(b, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                          window(b, w->sums));
    cudnn_give_descriptor(b, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                          tensor(b, 1, N, CHANNELS, SIDE));
    cudnn_give_descriptor(b, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                          tensor(b, 2, OUTPUTS, w->weight_channels, 1));
    cudnn_give_descriptor(b, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                          tensor(b, w->y_uid, N, OUTPUTS, SIDE));
    cudnn_give(b, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &one);
    cudnn_give(b, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &zero);
    cudnn_finish(b, d);
    made = cudnn_make(b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    cudnn_give_descriptor(b, made, CUDNN_ATTR_OPERATIONGRAPH_OPS, d);
    cudnn_finish(b, made);
    return made;
}

/* The plan that cuDNN proposes first. */
static cudnnBackendDescriptor_t propose(struct cudnn_builder *b, struct cudnn_device *device,
                                        cudnnBackendDescriptor_t of)
{
    const cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
    cudnnBackendDescriptor_t heuristics, proposed, plan;

    heuristics = cudnn_make(b, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    cudnn_give_descriptor(b, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, of);
    cudnn_give(b, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    cudnn_give_descriptor(b, heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device->properties);
    cudnn_finish(b, heuristics);
    proposed = cudnn_make(b, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    cudnn_ask(b, heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
              &proposed);
    plan = cudnn_make(b, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    cudnn_give_descriptor(b, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, proposed);
    cudnn_give_descriptor(b, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device->properties);
    cudnn_finish(b, plan);
    return plan;
}

static void run_words(struct bug_ground *g, const struct words *w)
{
    const int64_t uids[] = {1, 2, w->y_uid};
    struct plan p = plan_create(g, false, PRODUCT_FORWARD);
    void *const pointers[] = {p.x, p.weight, p.y};
    cudnnBackendDescriptor_t plan, pack;
    struct cudnn_builder b;
    int64_t bytes = 0;
    struct error err;
    void *workspace;

    cudnn_builder_init(&b, &err);
    plan = propose(&b, p.device, graph(&b, w));
    cudnn_ask(&b, plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &bytes);
    try_own(b.rc, &err);
    BUG_TRY(cudaMalloc(&workspace, (size_t)bytes + 1));
    pack = cudnn_make(&b, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    cudnn_give(&b, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3, uids);
    cudnn_give(&b, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, pointers);
    cudnn_give(&b, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    cudnn_finish(&b, pack);
    try_own(b.rc, &err);
    try_own(cudnn_check(cudnnSetStream(p.device->handle, g->stream), "take a stream", &err), &err);
    try_own(cudnn_check(cudnnBackendExecute(p.device->handle, plan, pack), "run", &err), &err);
    expect(g, &p, g->stream, true);
    cudnn_builder_fini(&b);
    BUG_TRY(cudaFree(workspace));
    plan_destroy(&p);
}

static void legal_words(struct bug_ground *g)
{
    run_words(g, &right_words);
}

static void cudnn_half_sums(struct bug_ground *g)
{
    struct words w = right_words;

    w.sums = CUDNN_DATA_HALF;
    run_words(g, &w);
}

static void cudnn_one_number_twice(struct bug_ground *g)
{
    struct words w = right_words;

    w.y_uid = 1;
    run_words(g, &w);
}

static void cudnn_grouped(struct bug_ground *g)
{
    struct words w = right_words;

    w.weight_channels = CHANNELS / 2;
    run_words(g, &w);
}

const struct bug bugs_cudnn[] = {
    {"legal_cudnn", legal_cudnn, SEEN_ALWAYS, NULL},
    {"legal_workspace", legal_workspace, SEEN_ALWAYS, NULL},
    {"legal_words", legal_words, SEEN_ALWAYS, NULL},
    {"cudnn_no_workspace", cudnn_no_workspace, SEEN_ALWAYS, "a workspace of"},
    {"cudnn_workspace_too_small", cudnn_workspace_too_small, SEEN_ALWAYS, "a workspace of"},
    {"cudnn_workspace_not_apart", cudnn_workspace_not_apart, SEEN_ALWAYS, "overlap"},
    {"cudnn_kept_in_workspace", cudnn_kept_in_workspace, SEEN_ALWAYS, "wrong result"},
    {"cudnn_workspace_freed", cudnn_workspace_freed, SEEN_ALWAYS, "touched freed device memory"},
    {"cudnn_misaligned", cudnn_misaligned, SEEN_ALWAYS, "is not aligned to 16 bytes"},
    {"cudnn_tensor_too_small", cudnn_tensor_too_small, SEEN_ALWAYS,
     "are in no allocation of the device's"},
    {"cudnn_tensor_of_host", cudnn_tensor_of_host, SEEN_ALWAYS,
     "are in no allocation of the device's"},
    {"cudnn_tensor_left_out", cudnn_tensor_left_out, SEEN_ALWAYS, "has no memory"},
    {"cudnn_not_apart", cudnn_not_apart, SEEN_ALWAYS, "overlap"},
    {"cudnn_default_stream", cudnn_default_stream, SEEN_ALWAYS, "on the default stream"},
    {"cudnn_no_event", cudnn_no_event, SEEN_ALWAYS, "wrong result"},
    {"cudnn_no_wait", cudnn_no_wait, SEEN_ALWAYS, "wrong result"},
    {"cudnn_weight_not_packed", cudnn_weight_not_packed, SEEN_ALWAYS, "wrong result"},
    {"cudnn_half_sums", cudnn_half_sums, SEEN_ALWAYS, "wrong result"},
    {"cudnn_one_number_twice", cudnn_one_number_twice, SEEN_ALWAYS,
     "two tensors have the number 1"},
    {"cudnn_grouped", cudnn_grouped, SEEN_ALWAYS, "differ in channels"},
    {NULL, NULL, SEEN_ALWAYS, NULL},
};
