/* The table of operations: a row says all that engine/ knows of one, besides what its rule asks
 * (op_rules.c), its gradient's rule (gradient.c) and its kernels. */
#include "engine/op.h"
#include "engine/base/error.h"
#include "engine/op_rules.h"
#include "engine/signature.h"

#include <errno.h>

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
        .rule = op_rule_convolution, .products = CONVOLUTION_PRODUCTS},
    [OP_CONVOLUTION_ADD] = {
        .name = "convolution_add",
        .signature = "C:nhwi P:oikk ?P:o C:nHWo -> C:nHWo",
        .rule = op_rule_convolution, .products = CONVOLUTION_PRODUCTS},
    [OP_CONVOLUTION_GENERAL] = {
        .name = "convolution_general",
        .signature = "C:nhwi P:ojkl ?P:o -> f:nHWo",
        .rule = op_rule_convolution_general, .products = "HWojkl"},
    [OP_CONVOLUTION_GRAD_DATA] = {
        .name = "convolution_grad_data",
        .signature = "C:nHWo P:oikk -> C:nhwi",
        .rule = op_rule_convolution_grad_data,
        .products = CONVOLUTION_PRODUCTS},
    [OP_CONVOLUTION_GRAD_WEIGHT] = {
        .name = "convolution_grad_weight",
        .signature = "C:nhwi C:nHWo -> E:oikk E:o",
        .rule = op_rule_convolution_grad_weight,
        .products = CONVOLUTION_PRODUCTS},
    [OP_LINEAR] = {
        .name = "linear",
        .signature = "a:n*i E:oi ?P:o -> a:n*o",
        .transposed = "a:n*i E:io ?P:o -> a:n*o",
        .rule = op_rule_linear, .products = LINEAR_PRODUCTS},
    [OP_LINEAR_GRAD_DATA] = {
        .name = "linear_grad_data",
        .signature = "a:n*o E:oi -> a:n*i",
        .transposed = "a:n*o E:io -> a:n*i",
        .rule = op_rule_linear, .products = LINEAR_PRODUCTS},
    [OP_LINEAR_GRAD_WEIGHT] = {
        .name = "linear_grad_weight",
        .signature = "a:n*i a:n*o -> E:oi E:o",
        .transposed = "a:n*i a:n*o -> E:io E:o", .products = LINEAR_PRODUCTS},
    [OP_GROUP_NORM] = {
        .name = "group_norm",
        .signature = "C:nhwc P:c P:c ?E:nc -> C:nhwc E:n2g",
        .rule = op_rule_group_norm},
    [OP_GROUP_NORM_GRAD] = {
        .name = "group_norm_grad",
        .signature = "C:nhwc P:c P:c E:n2g C:nhwc ?E:nc -> C:nhwc E:c E:c ?E:nc",
        .rule = op_rule_group_norm_grad},
    [OP_SILU] = {
        .name = "silu", .signature = "a:n* -> a:n*", .elementwise = true},
    [OP_SILU_GRAD] = {
        .name = "silu_grad", .signature = "a:n* a:n* -> a:n*", .elementwise = true},
    [OP_RELU] = {
        .name = "relu", .signature = "a:n* -> a:n*", .elementwise = true,
        .rule = op_rule_relu},
    [OP_MAX_POOL] = {
        .name = "max_pool", .signature = "a:nhwc -> a:nHWc",
        .rule = op_rule_max_pool},
    [OP_MEAN_POOL] = {
        .name = "mean_pool", .signature = "a:nhwc -> E:nc"},
    [OP_AVERAGE_POOL] = {
        .name = "average_pool", .signature = "a:nhwc -> a:nhwc"},
    [OP_UPFIRDN] = {
        .name = "upfirdn", .signature = "a:nhwc ?P:c -> a:nHWc",
        .rule = op_rule_upfirdn},
    [OP_CONCAT] = {
        .name = "concat", .signature = "a:nhwi a:nhwj -> a:nhwk",
        .rule = op_rule_concat},
    [OP_SLICE] = {
        .name = "slice", .signature = "a:nhwc -> a:nhwk",
        .rule = op_rule_slice},
    [OP_ATTENTION] = {
        .name = "attention",
        .signature = "C:nhwc C:nhwc C:nhwc -> C:nhwc C:npp",
        .rule = op_rule_attention, .products = "2ppc"},
    [OP_ATTENTION_GRAD] = {
        .name = "attention_grad",
        .signature = "C:nhwc C:nhwc C:nhwc C:npp C:nhwc -> C:nhwc C:nhwc C:nhwc",
        .rule = op_rule_attention, .products = "4ppc"},
    [OP_FOURIER] = {
        .name = "fourier", .signature = "E:n1 E:f -> E:ne", .rule = op_rule_fourier, .constant = ALL},
    [OP_POSITIONAL] = {
        .name = "positional", .signature = "E:n1 -> E:ne", .rule = op_rule_positional, .constant = ALL},
    [OP_ADD] = {
        .name = "add", .signature = "a:n* a:n* -> a:n*", .elementwise = true},
    [OP_AFFINE] = {
        .name = "affine", .signature = "f:n* -> f:n*", .elementwise = true},
    [OP_MIX] = {
        .name = "mix", .signature = "E:nk +f:n* -> f:n*",
        .rule = op_rule_mix, .constant = FIRST},
    [OP_MULTIPLY] = {
        .name = "multiply", .signature = "a:nhwc f:nhwd -> a:nhwc",
        .rule = op_rule_multiply, .constant = NOT_FIRST, .elementwise = true},
    [OP_SEPARABLE] = {
        .name = "separable",
        .signature = "E:nhwc E:mHh E:mWw -> E:nHWc",
        .transposed = "E:nHWc E:mHh E:mWw -> E:nhwc",
        .constant = NOT_FIRST},
    [OP_TOEPLITZ] = {
        .name = "toeplitz", .signature = "E:nhwc E:nh ?E:nw ?E:n1 -> E:nhwc",
        .rule = op_rule_toeplitz, .constant = NOT_FIRST},
    [OP_MULTIPLY_TABLE] = {
        .name = "multiply_table", .signature = "E:nhwc E:khwd E:n2 -> E:nhwc",
        .rule = op_rule_multiply_table, .constant = NOT_FIRST},
    [OP_MULTIPLY_RANK] = {
        .name = "multiply_rank", .signature = "E:nhwc E:hw1 E:n2 -> E:nhwc",
        .constant = NOT_FIRST},
    [OP_MODES] = {
        .name = "modes", .signature = "E:nssc E:nk E:sm -> E:nssc", .rule = op_rule_modes},
    [OP_LOOKUP] = {
        .name = "lookup", .signature = "E:r* ?E:n1 -> E:n*", .constant = NOT_FIRST},
    [OP_LOOKUP_GRAD] = {
        .name = "lookup_grad", .signature = "E:n1 E:n* -> E:r*", .rule = op_rule_lookup_grad},
    [OP_PIXELS] = {
        .name = "pixels", .signature = "E:n* -> B:n*"},
    [OP_NORMAL] = {
        .name = "normal", .signature = "K:n4 ?E:n2 ?K:n4 -> E:n*", .rule = op_rule_normal,
        .constant = ALL},
    [OP_DROPOUT_MASK] = {
        .name = "dropout_mask", .signature = "K:n4 -> C:n*", .rule = op_rule_dropout_mask,
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
        .name = "sum", .signature = "E:* -> E:k", .rule = op_rule_sum, .constant = ALL},
    [OP_NORM] = {
        .name = "norm", .signature = "S:k -> E:1", .constant = ALL},
    [OP_ADAM] = {
        .name = "adam", .signature = "S:k S:k S:k S:k E:1 E:8 -> S:k S:k S:k S:k",
        .constant = ALL},
    [OP_AVERAGE] = {
        .name = "average", .signature = "S:k S:k E:1 E:j -> S:k", .rule = op_rule_average,
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
