/* The table of operations: a row says all that engine/ knows of one, besides its gradient's rule
 * (gradient.c) and its kernels. */
#include "engine/op.h"
#include "engine/base/error.h"
#include "engine/signature.h"

#include <errno.h>

enum { FIR_SIDE = 4, WINDOW_MAX = 7 };

static bool absent(const struct kernel_spec *spec, int input)
{
    return input >= spec->n_inputs || spec->inputs[input].absent;
}

/* Windows of side k over x [h,w] that give y [H,W]. */
static int windows_rule(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    int k = s->size['k'], stride = spec->attributes.window.stride;
    int pad = spec->attributes.window.pad, h = s->size['h'], w = s->size['w'];
    long long bottom = (long long)h + 2 * pad - k, right = (long long)w + 2 * pad - k;

    if (stride != 1 && stride != 2)
        return signature_mismatch(spec, err, "stride %d, not 1 or 2", stride);
    if (bottom < 0 || right < 0)
        return signature_mismatch(spec, err, "a window of side %d is larger than a %dx%d image", k,
                                  h, w);
    if (!signature_bind(s, 'H', bottom / stride + 1) || !signature_bind(s, 'W', right / stride + 1))
        return signature_mismatch(spec, err,
                                  "a window of side %d, stride %d, padding %d over %dx%d does not "
                                  "give %dx%d",
                                  k, stride, pad, h, w, s->size['H'], s->size['W']);
    return 0;
}

static int convolution_rule(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    int k = s->size['k'], pad = spec->attributes.window.pad;

    if (k != 1 && k != 3)
        return signature_mismatch(spec, err, "a window of side %d, not 1 or 3", k);
    if (pad != 0 && pad != 1)
        return signature_mismatch(spec, err, "padding %d, not 0 or 1", pad);
    return windows_rule(spec, s, err);
}

/* Along one axis: the outputs of windows of k over size numbers with zeros in front and behind. 0 where
 * there is none. */
static long long outputs_of(int size, int k, int stride, const int pad[2])
{
    long long free = (long long)size + pad[0] + pad[1] - k;

    return free < 0 ? 0 : free / stride + 1;
}

static int convolution_general_rule(const struct kernel_spec *spec, struct signature *s,
                                    struct error *err)
{
    int kh = s->size['k'], kw = s->size['l'], groups = spec->attributes.general.groups;
    int stride = spec->attributes.general.stride;
    const int *pad = spec->attributes.general.pad;

    if (kh > WINDOW_MAX || kw > WINDOW_MAX)
        return signature_mismatch(spec, err, "a window of %dx%d, not 1x1 to %dx%d", kh, kw,
                                  WINDOW_MAX, WINDOW_MAX);
    if (stride != 1 && stride != 2)
        return signature_mismatch(spec, err, "stride %d, not 1 or 2", stride);
    for (int i = 0; i < 4; i++) {
        if (pad[i] < 0 || pad[i] >= (i < 2 ? kh : kw))
            return signature_mismatch(spec, err, "padding %d of a window of %dx%d", pad[i], kh, kw);
    }
    if (groups < 1 || s->size['o'] % groups != 0 ||
        s->size['i'] != (long long)s->size['j'] * groups)
        return signature_mismatch(spec, err, "%d channels, %d of them to each of %d, in %d groups",
                                  s->size['i'], s->size['j'], s->size['o'], groups);
    if (!signature_bind(s, 'H', outputs_of(s->size['h'], kh, stride, pad)) ||
        !signature_bind(s, 'W', outputs_of(s->size['w'], kw, stride, pad + 2)))
        return signature_mismatch(spec, err,
                                  "a window of %dx%d, stride %d over %dx%d does not give "
                                  "%dx%d",
                                  kh, kw, stride, s->size['h'], s->size['w'], s->size['H'],
                                  s->size['W']);
    return 0;
}

static int convolution_grad_data_rule(const struct kernel_spec *spec, struct signature *s,
                                      struct error *err)
{
    const int *in = spec->attributes.window.in;

    if (!signature_bind(s, 'h', in[0]) || !signature_bind(s, 'w', in[1]))
        return signature_mismatch(spec, err, "window.in is %dx%d, the output %dx%d", in[0], in[1],
                                  s->size['h'], s->size['w']);
    return convolution_rule(spec, s, err);
}

static int convolution_grad_weight_rule(const struct kernel_spec *spec, struct signature *s,
                                        struct error *err)
{
    if (!signature_bind(s, 'k', spec->attributes.window.side))
        return signature_mismatch(spec, err, "window.side is %d, the output has %d",
                                  spec->attributes.window.side, s->size['k']);
    return convolution_rule(spec, s, err);
}

static int max_pool_rule(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    int side = spec->attributes.window.side;

    if (side != 2 && side != 3)
        return signature_mismatch(spec, err, "a window of side %d, not 2 or 3", side);
    if (spec->attributes.window.pad != 0)
        return signature_mismatch(spec, err, "padding %d, not 0", spec->attributes.window.pad);
    signature_bind(s, 'k', side);
    return windows_rule(spec, s, err);
}

static int relu_rule(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    if (!(spec->attributes.relu.top > 0))
        return signature_mismatch(spec, err, "%g as the largest, not more than 0",
                                  (double)spec->attributes.relu.top);
    return 0;
}

static int linear_rule(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    if (s->any != DTYPE_F32 && !spec->inputs[1].parameter)
        return signature_mismatch(spec, err,
                                  "a matrix that is no parameter multiplies exact "
                                  "values only");
    return 0;
}

static int group_norm_rule(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    int groups = spec->attributes.group_norm.groups, c = s->size['c'];

    if (groups < 1 || c % groups != 0)
        return signature_mismatch(spec, err, "%d channels do not make %d groups", c, groups);
    if (!signature_bind(s, 'g', groups))
        return signature_mismatch(spec, err, "statistics of %d groups, not %d", s->size['g'],
                                  groups);
    if (!(spec->attributes.group_norm.eps > 0))
        return signature_mismatch(spec, err, "eps is %g, not above 0",
                                  (double)spec->attributes.group_norm.eps);
    return 0;
}

static int group_norm_grad_rule(const struct kernel_spec *spec, struct signature *s,
                                struct error *err)
{
    if (absent(spec, 5) != (spec->n_outputs < 4))
        return signature_mismatch(spec, err, "the gradient of a shift goes with the shift");
    return group_norm_rule(spec, s, err);
}

static int upfirdn_rule(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    int up = spec->attributes.upfirdn.up, down = spec->attributes.upfirdn.down;
    const int *pad = spec->attributes.upfirdn.pad;
    long long bottom = (long long)s->size['h'] * up + pad[0] + pad[1] - FIR_SIDE;
    long long right = (long long)s->size['w'] * up + pad[2] + pad[3] - FIR_SIDE;

    if ((up != 1 && up != 2) || (down != 1 && down != 2))
        return signature_mismatch(spec, err, "up %d and down %d, not 1 or 2", up, down);
    if (bottom < 0 || right < 0)
        return signature_mismatch(spec, err, "its padding leaves nothing of a %dx%d image",
                                  s->size['h'], s->size['w']);
    if (!signature_bind(s, 'H', bottom / down + 1) || !signature_bind(s, 'W', right / down + 1))
        return signature_mismatch(spec, err, "up %d, down %d of %dx%d does not give %dx%d", up,
                                  down, s->size['h'], s->size['w'], s->size['H'], s->size['W']);
    return 0;
}

static int concat_rule(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    if (!signature_bind(s, 'k', (long long)s->size['i'] + s->size['j']))
        return signature_mismatch(spec, err, "%d and %d channels do not make %d", s->size['i'],
                                  s->size['j'], s->size['k']);
    return 0;
}

static int slice_rule(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    int first = spec->attributes.slice.first, count = spec->attributes.slice.count;

    if (first < 0 || count < 1 || count > s->size['c'] - first || !signature_bind(s, 'k', count))
        return signature_mismatch(spec, err, "%d channels from %d of %d do not make %d", count,
                                  first, s->size['c'], s->size['k']);
    return 0;
}

static int attention_rule(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    if (!signature_bind(s, 'p', (long long)s->size['h'] * s->size['w']))
        return signature_mismatch(spec, err, "%d positions of p for an image of %dx%d",
                                  s->size['p'], s->size['h'], s->size['w']);
    return 0;
}

static int fourier_rule(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    if (!signature_bind(s, 'e', 2LL * s->size['f']))
        return signature_mismatch(spec, err, "%d frequencies do not make %d features", s->size['f'],
                                  s->size['e']);
    return 0;
}

static int positional_rule(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    if (s->size['e'] < 4 || s->size['e'] % 2 != 0)
        return signature_mismatch(spec, err, "%d features are odd or fewer than four",
                                  s->size['e']);
    return 0;
}

static int mix_rule(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    int first = spec->attributes.mix.first, count = spec->n_inputs - 1;

    if (first < 0 || count > s->size['k'] - first)
        return signature_mismatch(spec, err, "%d coefficients from %d of %d", count, first,
                                  s->size['k']);
    return 0;
}

static int multiply_rule(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    if (s->size['d'] != 1 && s->size['d'] != s->size['c'])
        return signature_mismatch(spec, err, "%d channels times %d", s->size['c'], s->size['d']);
    return 0;
}

static int toeplitz_rule(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    if (absent(spec, 2) && s->size['h'] != s->size['w'])
        return signature_mismatch(spec, err, "one row of weights for an image of %dx%d",
                                  s->size['h'], s->size['w']);
    return 0;
}

static int multiply_table_rule(const struct kernel_spec *spec, struct signature *s,
                               struct error *err)
{
    if (s->size['k'] < 2)
        return signature_mismatch(spec, err, "a table of fewer than two entries");
    return multiply_rule(spec, s, err);
}

static int modes_rule(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    long long m = s->size['m'], count = s->size['c'] * m * (m + 1) / 2;

    if (count != s->size['k'])
        return signature_mismatch(spec, err, "%d coefficients for %d channels of %lld modes",
                                  s->size['k'], s->size['c'], m);
    return 0;
}

static int lookup_grad_rule(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    if (!signature_bind(s, 'r', spec->attributes.slice.count))
        return signature_mismatch(spec, err, "slice.count is %d, the table has %d rows",
                                  spec->attributes.slice.count, s->size['r']);
    return 0;
}

static int normal_rule(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    if (absent(spec, 1) != absent(spec, 2))
        return signature_mismatch(spec, err, "another key goes with weights");
    return 0;
}

static int dropout_mask_rule(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    float rate = spec->attributes.draw.rate;

    if (!(rate >= 0 && rate < 1))
        return signature_mismatch(spec, err, "rate %g is not in [0, 1)", (double)rate);
    return 0;
}

static int sum_rule(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    double count = signature_product(s, "*");
    int first = spec->attributes.slice.first;

    if (s->size['k'] == 0)
        signature_bind(s, 'k', (long long)count);
    if (first < 0 || first + count > s->size['k'])
        return signature_mismatch(spec, err, "%g elements from %d on leave a sum of %d", count,
                                  first, s->size['k']);
    return 0;
}

static int average_rule(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    int first = spec->attributes.slice.first;

    if (first < 0 || first >= s->size['j'])
        return signature_mismatch(spec, err, "number %d of %d", first, s->size['j']);
    return 0;
}

/* Sets of inputs. */
#define FIRST     1u
#define NOT_FIRST (~1u)
#define ALL       (~0u)

#define CONVOLUTION_PRODUCTS "HWoikk"
#define LINEAR_PRODUCTS      "*io"

/* clang-format off */
const struct op_info op_info[OP_KINDS] = {
    [OP_CONVOLUTION] = {
        .name = "convolution",
        .signature = "C:nhwi P:oikk ?P:o -> f:nHWo",
        .rule = convolution_rule, .products = CONVOLUTION_PRODUCTS},
    [OP_CONVOLUTION_ADD] = {
        .name = "convolution_add",
        .signature = "C:nhwi P:oikk ?P:o C:nHWo -> C:nHWo",
        .rule = convolution_rule, .products = CONVOLUTION_PRODUCTS},
    [OP_CONVOLUTION_GENERAL] = {
        .name = "convolution_general",
        .signature = "C:nhwi P:ojkl ?P:o -> f:nHWo",
        .rule = convolution_general_rule, .products = "HWojkl"},
    [OP_CONVOLUTION_GRAD_DATA] = {
        .name = "convolution_grad_data",
        .signature = "C:nHWo P:oikk -> C:nhwi",
        .rule = convolution_grad_data_rule,
        .products = CONVOLUTION_PRODUCTS},
    [OP_CONVOLUTION_GRAD_WEIGHT] = {
        .name = "convolution_grad_weight",
        .signature = "C:nhwi C:nHWo -> E:oikk E:o",
        .rule = convolution_grad_weight_rule,
        .products = CONVOLUTION_PRODUCTS},
    [OP_LINEAR] = {
        .name = "linear",
        .signature = "a:n*i E:oi ?P:o -> a:n*o",
        .transposed = "a:n*i E:io ?P:o -> a:n*o",
        .rule = linear_rule, .products = LINEAR_PRODUCTS},
    [OP_LINEAR_GRAD_DATA] = {
        .name = "linear_grad_data",
        .signature = "a:n*o E:oi -> a:n*i",
        .transposed = "a:n*o E:io -> a:n*i",
        .rule = linear_rule, .products = LINEAR_PRODUCTS},
    [OP_LINEAR_GRAD_WEIGHT] = {
        .name = "linear_grad_weight",
        .signature = "a:n*i a:n*o -> E:oi E:o",
        .transposed = "a:n*i a:n*o -> E:io E:o", .products = LINEAR_PRODUCTS},
    [OP_GROUP_NORM] = {
        .name = "group_norm",
        .signature = "C:nhwc P:c P:c ?E:nc -> C:nhwc E:n2g",
        .rule = group_norm_rule},
    [OP_GROUP_NORM_GRAD] = {
        .name = "group_norm_grad",
        .signature = "C:nhwc P:c P:c E:n2g C:nhwc ?E:nc -> C:nhwc E:c E:c ?E:nc",
        .rule = group_norm_grad_rule},
    [OP_SILU] = {
        .name = "silu", .signature = "a:n* -> a:n*", .elementwise = true},
    [OP_SILU_GRAD] = {
        .name = "silu_grad", .signature = "a:n* a:n* -> a:n*", .elementwise = true},
    [OP_RELU] = {
        .name = "relu", .signature = "a:n* -> a:n*", .elementwise = true,
        .rule = relu_rule},
    [OP_MAX_POOL] = {
        .name = "max_pool", .signature = "a:nhwc -> a:nHWc",
        .rule = max_pool_rule},
    [OP_MEAN_POOL] = {
        .name = "mean_pool", .signature = "a:nhwc -> E:nc"},
    [OP_AVERAGE_POOL] = {
        .name = "average_pool", .signature = "a:nhwc -> a:nhwc"},
    [OP_UPFIRDN] = {
        .name = "upfirdn", .signature = "a:nhwc ?P:c -> a:nHWc",
        .rule = upfirdn_rule},
    [OP_CONCAT] = {
        .name = "concat", .signature = "a:nhwi a:nhwj -> a:nhwk",
        .rule = concat_rule},
    [OP_SLICE] = {
        .name = "slice", .signature = "a:nhwc -> a:nhwk",
        .rule = slice_rule},
    [OP_ATTENTION] = {
        .name = "attention",
        .signature = "C:nhwc C:nhwc C:nhwc -> C:nhwc C:npp",
        .rule = attention_rule, .products = "2ppc"},
    [OP_ATTENTION_GRAD] = {
        .name = "attention_grad",
        .signature = "C:nhwc C:nhwc C:nhwc C:npp C:nhwc -> C:nhwc C:nhwc C:nhwc",
        .rule = attention_rule, .products = "4ppc"},
    [OP_FOURIER] = {
        .name = "fourier", .signature = "E:n1 E:f -> E:ne", .rule = fourier_rule, .constant = ALL},
    [OP_POSITIONAL] = {
        .name = "positional", .signature = "E:n1 -> E:ne", .rule = positional_rule, .constant = ALL},
    [OP_ADD] = {
        .name = "add", .signature = "a:n* a:n* -> a:n*", .elementwise = true},
    [OP_AFFINE] = {
        .name = "affine", .signature = "f:n* -> f:n*", .elementwise = true},
    [OP_MIX] = {
        .name = "mix", .signature = "E:nk +f:n* -> f:n*",
        .rule = mix_rule, .constant = FIRST},
    [OP_MULTIPLY] = {
        .name = "multiply", .signature = "a:nhwc f:nhwd -> a:nhwc",
        .rule = multiply_rule, .constant = NOT_FIRST, .elementwise = true},
    [OP_SEPARABLE] = {
        .name = "separable",
        .signature = "E:nhwc E:mHh E:mWw -> E:nHWc",
        .transposed = "E:nHWc E:mHh E:mWw -> E:nhwc",
        .constant = NOT_FIRST},
    [OP_TOEPLITZ] = {
        .name = "toeplitz", .signature = "E:nhwc E:nh ?E:nw ?E:n1 -> E:nhwc",
        .rule = toeplitz_rule, .constant = NOT_FIRST},
    [OP_MULTIPLY_TABLE] = {
        .name = "multiply_table", .signature = "E:nhwc E:khwd E:n2 -> E:nhwc",
        .rule = multiply_table_rule, .constant = NOT_FIRST},
    [OP_MULTIPLY_RANK] = {
        .name = "multiply_rank", .signature = "E:nhwc E:hw1 E:n2 -> E:nhwc",
        .constant = NOT_FIRST},
    [OP_MODES] = {
        .name = "modes", .signature = "E:nssc E:nk E:sm -> E:nssc", .rule = modes_rule},
    [OP_LOOKUP] = {
        .name = "lookup", .signature = "E:r* ?E:n1 -> E:n*", .constant = NOT_FIRST},
    [OP_LOOKUP_GRAD] = {
        .name = "lookup_grad", .signature = "E:n1 E:n* -> E:r*", .rule = lookup_grad_rule},
    [OP_PIXELS] = {
        .name = "pixels", .signature = "E:n* -> B:n*"},
    [OP_NORMAL] = {
        .name = "normal", .signature = "K:n4 ?E:n2 ?K:n4 -> E:n*", .rule = normal_rule,
        .constant = ALL},
    [OP_DROPOUT_MASK] = {
        .name = "dropout_mask", .signature = "K:n4 -> C:n*", .rule = dropout_mask_rule,
        .constant = ALL},
    [OP_HALF_SQUARE] = {
        .name = "half_square", .signature = "E:n* E:n1 -> E:n1", .constant = NOT_FIRST},
    [OP_HALF_SQUARE_GRAD] = {
        .name = "half_square_grad", .signature = "E:n* E:n1 E:n1 -> E:n*", .elementwise = true},
    [OP_LOAD] = {
        .name = "load", .signature = "S:n* K:n1 -> E:n*", .constant = ALL},
    [OP_STORE] = {
        .name = "store", .signature = "E:n* K:n1 -> S:n*", .constant = ALL},
    [OP_SUM] = {
        .name = "sum", .signature = "E:* -> E:k", .rule = sum_rule, .constant = ALL},
    [OP_NORM] = {
        .name = "norm", .signature = "S:k -> E:1", .constant = ALL},
    [OP_ADAM] = {
        .name = "adam", .signature = "S:k S:k S:k S:k E:1 E:8 -> S:k S:k S:k S:k",
        .constant = ALL},
    [OP_AVERAGE] = {
        .name = "average", .signature = "S:k S:k E:1 E:j -> S:k", .rule = average_rule,
        .constant = ALL},
};
/* clang-format on */

enum dtype value_dtype(enum value_type type, enum dtype compute)
{
    switch (type) {
    case VALUE_KEY:
        return DTYPE_U32;
    case VALUE_PIXEL:
        return DTYPE_U8;
    case VALUE_COMPUTE:
        return compute;
    default:
        return DTYPE_F32;
    }
}

const char *op_name(enum op_kind kind)
{
    return op_info[kind].name;
}

static const char *signature_of(const struct kernel_spec *spec)
{
    const struct op_info *info = &op_info[spec->kind];
    bool transposed = spec->attributes.linear.in_first || spec->attributes.separable.transposed;

    return info->transposed && transposed ? info->transposed : info->signature;
}

static int match(const struct kernel_spec *spec, enum dtype compute, bool partial,
                 struct signature *s, struct error *err)
{
    int rc;

    if ((unsigned)spec->kind >= OP_KINDS)
        return error_set(err, -EINVAL, "there is no operation %d", (int)spec->kind);
    if (spec->n_inputs < 0 || spec->n_inputs > OP_INPUTS_MAX || spec->n_outputs < 0 ||
        spec->n_outputs > OP_OUTPUTS_MAX)
        return signature_mismatch(spec, err, "%d inputs and %d outputs", spec->n_inputs,
                                  spec->n_outputs);
    rc = signature_match(spec, signature_of(spec), compute, partial, s, err);
    if (rc == 0 && op_info[spec->kind].rule)
        rc = op_info[spec->kind].rule(spec, s, err);
    return rc;
}

/* What compute values of a concrete spec are. */
static enum dtype compute_of(const struct kernel_spec *spec)
{
    enum dtype compute = DTYPE_F32;

    for (int i = 0; i < spec->n_inputs && i < OP_INPUTS_MAX; i++) {
        if (!spec->inputs[i].absent && dtype_is_rounded(spec->inputs[i].dtype))
            compute = spec->inputs[i].dtype;
    }
    for (int i = 0; i < spec->n_outputs && i < OP_OUTPUTS_MAX; i++) {
        if (dtype_is_rounded(spec->outputs[i].dtype))
            compute = spec->outputs[i].dtype;
    }
    return compute;
}

int op_check(const struct kernel_spec *spec, struct error *err)
{
    struct signature s;

    return match(spec, compute_of(spec), false, &s, err);
}

int op_infer(struct kernel_spec *spec, enum dtype compute, struct error *err)
{
    struct signature s;
    int rc = match(spec, compute, true, &s, err);

    return rc < 0 ? rc : signature_infer(spec, signature_of(spec), &s, err);
}

double op_products(const struct kernel_spec *spec)
{
    const char *products = op_info[spec->kind].products;
    struct signature s;

    if (!products || match(spec, compute_of(spec), false, &s, NULL) < 0)
        return 0;
    return signature_product(&s, products);
}
