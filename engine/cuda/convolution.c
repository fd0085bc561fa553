/* Convolutions and linear operations, and their gradients: through cuDNN, whose weights are packed, or
 * by own kernels, which read the plain ones.
 */
#include "engine/cuda/convolution.h"
#include "engine/base/error.h"
#include "engine/base/hash.h"
#include "engine/cuda/cuda_kernels.h"
#include "engine/cuda/cudnn_convolution.h"
#include "engine/cuda/direct_launch.h"
#include "engine/cuda/kernel.h"
#include "engine/cuda/operands.h"
#include "engine/cuda/proof.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SCRATCH_ALIGNMENT = 256, /* of the parts of a kernel's scratch */
    /* The double of cuDNN has one way for all configurations. */
    CONFIGURATIONS_MAX = CUDA_SIMULATED ? 1 : CUDNN_CONFIGURATIONS_MAX,
};

struct convolution {
    struct kernel base;
    enum op_kind kind;
    cudaStream_t stream; /* for packing */
    struct product product;
    struct weight_layout layout;
    struct cudnn_convolution *plan; /* NULL: own kernels */
    /* Gradient of a weight: where in scratch, behind cuDNN's workspace, it lies as cuDNN wants it or in
     * pieces, and the pieces of the bias's. */
    size_t weight_offset, bias_offset;
};

static size_t align_up(size_t bytes)
{
    return (bytes + SCRATCH_ALIGNMENT - 1) / SCRATCH_ALIGNMENT * SCRATCH_ALIGNMENT;
}

static char *scratch_of(const struct kernel_args *args)
{
    return (char *)align_up((size_t)args->scratch);
}

static size_t weight_count(const struct weight_layout *layout)
{
    return (size_t)layout->n_outs * (size_t)layout->n_taps * (size_t)layout->n_ins;
}

/* A bias as a weight of its outputs. */
static struct weight_layout bias_layout(const struct product *p)
{
    return (struct weight_layout){.out = 1, .n_outs = p->y_c, .n_ins = 1, .n_taps = 1};
}

static int forward_run(const struct kernel *kernel, int stage, int part,
                       const struct kernel_args *args, struct error *err)
{
    const struct convolution *c = (const struct convolution *)kernel;
    const void *bias = c->product.bias ? args->in[2] : NULL;
    const void *residual = c->product.residual ? args->in[3] : NULL;

    if (c->plan)
        return cudnn_convolution_run(c->plan, args->queue, args->in[0], args->in[1], args->out[0],
                                     bias, residual, scratch_of(args), err);
    if (c->product.groups > 1)
        return cuda_check_launch(launch_grouped(&c->product, args->in[0], args->in[1], bias,
                                                args->out[0], args->queue),
                                 c->kind, err);
    return cuda_check_launch(launch_direct(&c->product, &c->layout, args->in[0], args->in[1], bias,
                                           residual, args->out[0], args->queue),
                             c->kind, err);
}

static int grad_data_run(const struct kernel *kernel, int stage, int part,
                         const struct kernel_args *args, struct error *err)
{
    const struct convolution *c = (const struct convolution *)kernel;

    if (c->plan)
        return cudnn_convolution_run(c->plan, args->queue, args->out[0], args->in[1], args->in[0],
                                     NULL, NULL, scratch_of(args), err);
    return cuda_check_launch(launch_direct_grad_data(&c->product, &c->layout, args->in[0],
                                                     args->in[1], args->out[0], args->queue),
                             c->kind, err);
}

static int grad_weight_run(const struct kernel *kernel, int stage, int part,
                           const struct kernel_args *args, struct error *err)
{
    const struct convolution *c = (const struct convolution *)kernel;
    const struct product *p = &c->product;
    char *scratch = scratch_of(args);
    void *weight = scratch + c->weight_offset, *sums = scratch + c->bias_offset;
    cudaError_t status;

    if (c->plan) {
        int rc = cudnn_convolution_run(c->plan, args->queue, args->in[0], weight, args->in[1], NULL,
                                       NULL, scratch, err);

        if (rc < 0)
            return rc;
        status = launch_weight_unpack(&c->layout, weight, p->x_type, args->out[0], args->queue);
    } else {
        status = launch_direct_grad_weight(p, &c->layout, args->in[0], args->in[1], args->out[0],
                                           weight, args->queue);
    }
    if (status == cudaSuccess && p->bias)
        status = launch_bias_grad(p, args->in[1], args->out[1], sums, args->queue);
    return cuda_check_launch(status, c->kind, err);
}

static size_t convolution_packed_bytes(const struct kernel *kernel, int input)
{
    const struct convolution *c = (const struct convolution *)kernel;
    size_t count = input == 2 ? (size_t)c->product.y_c : weight_count(&c->layout);

    return count * dtype_size(c->product.x_type);
}

static int convolution_pack(const struct kernel *kernel, int input, const float *src, void *dst,
                            struct error *err)
{
    const struct convolution *c = (const struct convolution *)kernel;
    const struct weight_layout layout = input == 2 ? bias_layout(&c->product) : c->layout;
    float scale = input == 2 ? c->product.scale : 1;

    return cuda_check_launch(launch_weight_pack(&layout, src, scale, dst, c->product.x_type,
                                                c->stream),
                             c->kind, err);
}

static void convolution_destroy(struct kernel *kernel)
{
    struct convolution *c = (struct convolution *)kernel;

    if (!c)
        return;
    cudnn_convolution_destroy(c->plan);
    free(c);
}

static const struct kernel_ops ops[PRODUCT_KINDS] = {
    [PRODUCT_FORWARD] = {.run = forward_run,
                         .destroy = convolution_destroy,
                         .packed_bytes = convolution_packed_bytes,
                         .pack = convolution_pack},
    [PRODUCT_GRAD_DATA] = {.run = grad_data_run,
                           .destroy = convolution_destroy,
                           .packed_bytes = convolution_packed_bytes,
                           .pack = convolution_pack},
    [PRODUCT_GRAD_WEIGHT] = {.run = grad_weight_run, .destroy = convolution_destroy},
};

/* Of the plain weight: [o,i/groups,kh,kw], or of a linear operation [o,i] or [i,o]. */
static struct weight_layout layout_of(const struct kernel_spec *spec, const struct product *p)
{
    const int n_taps = p->window_h * p->window_w, n_ins = p->x_c / p->groups;
    struct weight_layout layout = {
        .out = n_ins * n_taps,
        .in = n_taps,
        .tap = 1,
        .n_outs = p->y_c,
        .n_ins = n_ins,
        .n_taps = n_taps,
    };
    bool linear = spec->kind == OP_LINEAR || spec->kind == OP_LINEAR_GRAD_DATA ||
                  spec->kind == OP_LINEAR_GRAD_WEIGHT;

    if (linear && spec->attributes.linear.in_first) {
        layout.out = 1;
        layout.in = p->y_c;
    }
    return layout;
}

/* Equal for what is packed alike. */
static uint64_t packing_of(const struct convolution *c, int input)
{
    const struct weight_layout layout = input == 2 ? bias_layout(&c->product) : c->layout;
    char text[128];

    snprintf(text, sizeof(text), "cudnn %d %d %d %d %a", (int)c->product.x_type, layout.out,
             layout.in, layout.tap, (double)(input == 2 ? c->product.scale : 1));
    return hash_text(HASH_START, text) | 1;
}

static void lay_scratch_out(struct convolution *c)
{
    const struct product *p = &c->product;
    size_t bytes = c->plan ? align_up(cudnn_convolution_workspace(c->plan)) : 0;

    if (p->kind == PRODUCT_GRAD_WEIGHT) {
        c->weight_offset = bytes;
        bytes += align_up(c->plan ? weight_count(&c->layout) * dtype_size(p->x_type)
                                  : direct_grad_weight_bytes(p));
        c->bias_offset = bytes;
        bytes += p->bias ? align_up(bias_grad_bytes(p)) : 0;
    }
    c->base.scratch_bytes = bytes > 0 ? bytes + SCRATCH_ALIGNMENT : 0;
}

/* Leaves the names of those out that lose bits, all of them or those before the first that keeps them. */
static int leave_out(struct cuda_device *device, const struct product *product, bool all, int n,
                     const char **names, struct error *err)
{
    int n_left = 0;

    for (int i = 0; i < n; i++) {
        bool kept = true;
        int rc = all || n_left == 0 ? proof_run(device, product, names[i], &kept, err) : 0;

        if (rc < 0)
            return rc;
        if (kept)
            names[n_left++] = names[i];
    }
    return n_left;
}

/* Names of the ways to compute a product, the best first; what has passed the proof, or at least its
 * first. Negative: what cuDNN failed with. */
static int names_of(struct cuda_device *device, const struct kernel_spec *spec,
                    const struct product *product, bool all,
                    const char *names[DEVICE_ALGORITHMS_MAX], struct error *err)
{
    bool packed = product->kind == PRODUCT_GRAD_WEIGHT || spec->inputs[1].parameter;
    int n = 0;

    _Static_assert((int)CUDNN_CONFIGURATIONS_MAX < (int)DEVICE_ALGORITHMS_MAX, "and direct");
    if (packed)
        n = cudnn_convolution_names(device->cudnn, product, names, err);
    if (n > CONFIGURATIONS_MAX)
        n = CONFIGURATIONS_MAX;
    if (n > 0)
        n = leave_out(device, product, all, n, names, err);
    if (n < 0)
        return n;
    names[n] = "direct";
    return n + 1;
}

int cuda_algorithms(struct device *device, const struct kernel_spec *spec,
                    const char *names[DEVICE_ALGORITHMS_MAX])
{
    struct product product;
    int n;

    if (!product_of(spec, &product))
        return 0;
    n = names_of((struct cuda_device *)device, spec, &product, true, names, NULL);
    return n < 0 ? 0 : n;
}

struct vector_step cuda_vector_step(const struct kernel_spec *spec, const struct kernel_args *args)
{
    return (struct vector_step){
        .weight = args->in[1],
        .bias = spec->n_inputs > 2 && !spec->inputs[2].absent ? args->in[2] : NULL,
        .y = args->out[0],
        .n_outs = (int)shape_count(&spec->outputs[0].shape),
    };
}

static cudaError_t vectors_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                                  cudaStream_t stream)
{
    const struct vector_steps steps = {
        .x = args->in[0],
        .n_ins = (int)shape_count(&spec->inputs[0].shape),
        .count = 1,
        .at = {cuda_vector_step(spec, args)},
    };

    return launch_vectors(&steps, spec->inputs[0].n, stream);
}

int cuda_convolution_create(struct cuda_device *device, const struct kernel_spec *spec,
                            struct kernel **out, struct error *err)
{
    const char *names[DEVICE_ALGORITHMS_MAX];
    struct weight_layout layout;
    struct convolution *c;
    struct product product;
    bool kept = true;
    int n, i, rc = 0;

    if (!product_of(spec, &product))
        return error_set(err, -ENOTSUP, "%s is no product", op_name(spec->kind));
    layout = layout_of(spec, &product);
    n = names_of(device, spec, &product, false, names, err);
    i = n < 0 ? n : device_algorithm_of((struct device *)device, spec, n, names, err);
    if (i < 0)
        return i;
    if (i == n - 1 && spec->kind == OP_LINEAR && direct_is_vectors(&product, &layout))
        return cuda_kernel_create(spec, vectors_launch, 0, out, err);
    if (i < n - 1)
        rc = proof_run(device, &product, names[i], &kept, err);
    if (rc == 0 && !kept)
        rc = error_set(err, -EINVAL, "%s by %s: the bits of an image depend on how many there are",
                       op_name(spec->kind), names[i]);
    if (rc < 0)
        return rc;
    c = calloc(1, sizeof(*c));
    if (!c)
        return error_set(err, -ENOMEM, "out of memory making a kernel for %s", op_name(spec->kind));
    kernel_init(&c->base, &ops[product.kind]);
    c->kind = spec->kind;
    c->stream = device->stream;
    c->product = product;
    c->layout = layout;
    if (i < n - 1)
        rc = cudnn_convolution_create(device->cudnn, &product, names[i], &c->plan, err);
    if (rc < 0) {
        error_prefix(err, "%s on a GPU: ", op_name(spec->kind));
        convolution_destroy(&c->base);
        return rc;
    }
    lay_scratch_out(c);
    if (c->plan && product.kind != PRODUCT_GRAD_WEIGHT) {
        c->base.packing[1] = packing_of(c, 1);
        if (product.bias)
            c->base.packing[2] = packing_of(c, 2);
    }
    *out = &c->base;
    return 0;
}
