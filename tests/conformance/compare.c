#include "tests/conformance/compare.h"

#include <math.h>
#include <string.h>

static const struct {
    enum op_kind kind;
    int output;
    enum dtype dtype;
    struct limit limit;
} exceptions[] = {
    /* Copies are exact. */
    {OP_CONCAT, 0, DTYPE_F32, {0, 0}},
    {OP_CONCAT, 0, DTYPE_BF16, {0, 0}},
    {OP_CONCAT, 0, DTYPE_F16, {0, 0}},
    {OP_SLICE, 0, DTYPE_F32, {0, 0}},
    {OP_SLICE, 0, DTYPE_BF16, {0, 0}},
    {OP_SLICE, 0, DTYPE_F16, {0, 0}},
    {OP_LOOKUP, 0, DTYPE_F32, {0, 0}},
    /* So are choices. */
    {OP_RELU, 0, DTYPE_F32, {0, 0}},
    {OP_RELU, 0, DTYPE_BF16, {0, 0}},
    {OP_RELU, 0, DTYPE_F16, {0, 0}},
    {OP_MAX_POOL, 0, DTYPE_F32, {0, 0}},
    {OP_MAX_POOL, 0, DTYPE_BF16, {0, 0}},
    {OP_MAX_POOL, 0, DTYPE_F16, {0, 0}},
    /* Rounded twice: p before the product with v, the gradient of the logits before those with k
     * and q. Over four seeds 1.4e-5 and 6.0e-3. */
    {OP_ATTENTION, 0, DTYPE_BF16, {0x1p-16, 8e-3}},
    {OP_ATTENTION_GRAD, 0, DTYPE_BF16, {0x1.4p-16, 8e-3}},
    {OP_ATTENTION_GRAD, 1, DTYPE_BF16, {0x1.4p-16, 8e-3}},
    /* Likewise, with three bits more: 1.4e-7 and 5.6e-4. */
    {OP_ATTENTION, 0, DTYPE_F16, {0x1p-22, 1e-3}},
    {OP_ATTENTION_GRAD, 0, DTYPE_F16, {0x1p-22, 1e-3}},
    {OP_ATTENTION_GRAD, 1, DTYPE_F16, {0x1p-22, 1e-3}},
};

/* Convolutions that a device may compute from transformed inputs and weights (engine/cpu/winograd.h),
 * and their limits. Forward needs none of its own: over four seeds 6.4e-6 and 3.6e-3. */
static const struct limit winograd_add_limit = {0x1p-16, 6e-3};       /* 5.2e-6 and 4.3e-3 */
static const struct limit winograd_grad_data_limit = {0x1p-16, 6e-3}; /* 1.1e-5 and 5.1e-3 */
static const struct limit winograd_grad_weight_limit = {3e-5, 8e-3};  /* 2.3e-5 and 6.4e-3 */

/* NULL: the usual one. */
static const struct limit *winograd_limit(const struct kernel_spec *spec)
{
    bool weight_grad = spec->kind == OP_CONVOLUTION_GRAD_WEIGHT;
    bool padded = spec->algorithm && strcmp(spec->algorithm, "winograd-padded") == 0;
    const struct shape *x = &spec->inputs[0].shape;
    const struct shape *weight = weight_grad ? &spec->outputs[0].shape : &spec->inputs[1].shape;
    int side = weight_grad ? 2 : 4; /* of a tile */

    if ((spec->algorithm && !padded && strcmp(spec->algorithm, "winograd") != 0) ||
        (spec->kind != OP_CONVOLUTION_ADD && spec->kind != OP_CONVOLUTION_GRAD_DATA &&
         !weight_grad) ||
        spec->inputs[0].dtype != DTYPE_BF16 || weight->dims[2] != 3 ||
        spec->attributes.window.stride != 1 || spec->attributes.window.pad != 1 ||
        (!weight_grad && x->dims[0] < 8) || x->dims[0] % side != 0 || x->dims[1] % side != 0 ||
        (!padded && (weight->dims[0] % 32 != 0 || weight->dims[1] % 32 != 0)))
        return NULL;
    return weight_grad                        ? &winograd_grad_weight_limit
           : spec->kind == OP_CONVOLUTION_ADD ? &winograd_add_limit
                                              : &winograd_grad_data_limit;
}

/* cuDNN's configurations have names like e41-2_0 (engine/cuda/cudnn_configuration.h). */
static bool is_cudnn(const struct kernel_spec *spec)
{
    const char *name = spec->algorithm;

    return name && name[0] == 'e' && name[1] >= '0' && name[1] <= '9';
}

/* What cuDNN has compiled takes biases and gives gradients of weights in 16 bits. */
static bool cudnn_limit(const struct kernel_spec *spec, int output, struct limit *out)
{
    enum op_kind kind = spec->kind;

    if (output > 0 || !is_cudnn(spec))
        return false;
    *out = limit_of_dtype(spec->inputs[0].dtype);
    if (kind == OP_CONVOLUTION_ADD) /* over four seeds 1.06 and 1.2 times that */
        out->worst *= 1.4;
    return kind == OP_CONVOLUTION_ADD || kind == OP_CONVOLUTION_GRAD_WEIGHT ||
           kind == OP_LINEAR_GRAD_WEIGHT;
}

struct limit limit_of(const struct kernel_spec *spec, int output)
{
    enum op_kind kind = spec->kind;
    enum dtype dtype = spec->outputs[output].dtype;
    struct limit rounded;

    if (cudnn_limit(spec, output, &rounded))
        return rounded;
    if (output == 0 && winograd_limit(spec))
        return *winograd_limit(spec);
    for (size_t i = 0; i < sizeof(exceptions) / sizeof(exceptions[0]); i++) {
        if (exceptions[i].kind == kind && exceptions[i].output == output &&
            exceptions[i].dtype == dtype)
            return exceptions[i].limit;
    }
    return limit_of_dtype(dtype);
}

bool within(const struct difference *difference, const struct limit *limit)
{
    return difference->nmse <= limit->nmse && difference->worst <= limit->worst;
}

struct difference compare(const struct tensor *got, const struct tensor *want, double floor)
{
    const size_t count = tensor_count(&want->desc);
    struct difference d = {0};
    double scale = floor, squares = 0, wanted_squares = 0, worst = 0;

    for (size_t i = 0; i < count; i++)
        scale = fmax(scale, fabs(tensor_at(want, i)));
    for (size_t i = 0; i < count; i++) {
        double g = tensor_at(got, i), w = tensor_at(want, i);
        double e = g == w ? 0 : isnan(g - w) || scale == 0 ? INFINITY : fabs(g - w) / scale;

        if (e > worst || i == 0) {
            worst = e;
            d.worst_index = i;
            d.got = g;
            d.want = w;
        }
        squares += e * e;
        wanted_squares += scale == 0 ? 0 : (w / scale) * (w / scale);
    }
    wanted_squares =
        fmax(wanted_squares, scale == 0 ? 0 : (double)count * (floor / scale) * (floor / scale));
    d.worst = worst;
    d.nmse = squares == 0 ? 0 : squares / wanted_squares;
    return d;
}
