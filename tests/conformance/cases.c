#include "tests/conformance/cases.h"
#include "tests/conformance/row_cases.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define N_ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

/* What the data inputs of a row hold; parameters are always random. */
enum content {
    RANDOM,
    ZERO,
    CONSTANT,
    LARGE,  /* 1e15; 1e3 where compute values are float16 */
    SMALL,  /* 1e-30 */
    OFFSET, /* 10 +- 0.01: cancels in E[x^2] - E[x]^2 */
    STRONG, /* 4: softmax close to one-hot */
};

enum { EXACT_X = 1, EXACT_Y = 2, EXACT_M = 4 }; /* float32 where the others are COMPUTE */

static struct fill fill_of(enum content content)
{
    static const struct fill fills[] = {
        [RANDOM] = {1, 0, false, 0, false},      [ZERO] = {0, 0, false, 0, false},
        [CONSTANT] = {0, 0.7f, false, 0, false}, [LARGE] = {1e15f, 0, false, 0, false},
        [SMALL] = {1e-30f, 0, false, 0, false},  [OFFSET] = {1e-2f, 10, false, 0, false},
        [STRONG] = {4, 0, false, 0, false},
    };

    return fills[content];
}

static struct fill fill_weight(int fan_in)
{
    struct fill fill = {.scale = 1 / sqrtf((float)fan_in)};

    return fill;
}

static const struct fill unit_fill = {1, 0, false, 0, false};
static const struct fill time_fill = {2, 0, true, 0, false}; /* sigma between 0.002 and 400 */

static struct tensor_desc batched(enum dtype dtype, int n, int n_dims, int d0, int d1, int d2)
{
    struct tensor_desc desc = {
        .dtype = dtype,
        .shape = {.batched = true, .n_dims = n_dims, .dims = {d0, d1, d2}},
        .n = n,
    };

    return desc;
}

static struct tensor_desc images(enum dtype dtype, int n, int h, int w, int c)
{
    return batched(dtype, n, 3, h, w, c);
}

static struct tensor_desc vectors(enum dtype dtype, int n, int c)
{
    return batched(dtype, n, 1, c, 0, 0);
}

static struct tensor_desc parameter(int n_dims, int d0, int d1, int d2, int d3)
{
    struct tensor_desc desc = {
        .dtype = DTYPE_F32,
        .parameter = true,
        .shape = {.n_dims = n_dims, .dims = {d0, d1, d2, d3}},
        .n = 1,
    };

    return desc;
}

static struct tensor_desc sum(struct tensor_desc of_parameter)
{
    of_parameter.parameter = false;
    return of_parameter;
}

static void input(struct op_case *c, struct tensor_desc desc, struct fill fill)
{
    c->fill[c->spec.n_inputs] = fill;
    c->spec.inputs[c->spec.n_inputs++] = desc;
}

static void optional_input(struct op_case *c, bool present, struct tensor_desc desc,
                           struct fill fill)
{
    desc.absent = !present;
    input(c, desc, fill);
}

static void output(struct op_case *c, struct tensor_desc desc)
{
    c->spec.outputs[c->spec.n_outputs++] = desc;
}

static const struct convolution_row {
    int n, h, w, i, o, k, stride, pad;
    bool bias;
    enum content content;
    int exact;
} convolution_rows[] = {
    {1, 4, 4, 3, 32, 3, 1, 1, true, RANDOM, 0},       /* the first convolution */
    {3, 8, 8, 32, 3, 3, 1, 1, true, RANDOM, EXACT_Y}, /* the last */
    {1, 7, 9, 5, 7, 3, 1, 1, true, RANDOM, 0},        /* nothing fits a vector */
    {3, 1, 1, 16, 16, 3, 1, 1, true, RANDOM, 0},      /* only the centre of the window */
    {1, 5, 3, 17, 1, 3, 1, 1, false, RANDOM, 0},
    {3, 2, 2, 8, 24, 3, 1, 1, false, RANDOM, 0},
    {3, 9, 7, 16, 24, 3, 2, 1, true, RANDOM, 0},
    {1, 8, 6, 16, 16, 3, 2, 1, true, RANDOM, 0},   /* the last row of x is read once */
    {1, 17, 17, 32, 32, 3, 2, 0, true, RANDOM, 0}, /* after FIR padding */
    {3, 6, 5, 12, 8, 3, 1, 0, true, RANDOM, 0},
    {1, 1, 1, 1, 1, 1, 1, 0, true, RANDOM, 0},
    {3, 7, 9, 24, 48, 1, 1, 0, true, RANDOM, 0},
    {1, 7, 8, 16, 32, 1, 2, 0, false, RANDOM, 0},
    {1, 16, 16, 3, 64, 1, 1, 0, true, RANDOM, 0}, /* a step of the input pyramid */
    {1, 32, 32, 32, 32, 3, 1, 1, true, RANDOM, 0},
    {1, 32, 32, 3, 32, 3, 1, 1, true, RANDOM, 0},
    {1, 16, 16, 64, 128, 3, 1, 1, true, RANDOM, 0},
    {3, 4, 4, 384, 256, 3, 1, 1, true, RANDOM, 0},
    {1, 8, 8, 384, 256, 3, 1, 1, true, RANDOM, 0},
    {1, 16, 16, 128, 256, 1, 1, 0, true, RANDOM, 0}, /* a shortcut */
    {3, 2, 2, 32, 96, 3, 1, 1, true, RANDOM, 0},     /* an odd number of tiles of 2x2 */
    {3, 10, 18, 96, 32, 3, 1, 1, false, RANDOM, 0},  /* strips of tiles that cross images */
    {3, 12, 20, 96, 32, 3, 1, 1, true, RANDOM, 0},   /* the same of tiles of 4x4 */
    {1, 32, 32, 64, 64, 3, 1, 1, true, RANDOM, 0},
    {1, 8, 8, 32, 96, 3, 1, 1, true, ZERO, 0},
    {1, 8, 8, 32, 96, 3, 1, 1, true, CONSTANT, 0},
    {1, 8, 8, 32, 96, 3, 1, 1, true, LARGE, 0},
    {1, 8, 8, 32, 96, 3, 1, 1, false, SMALL, 0},
    {1, 5, 6, 16, 16, 3, 1, 1, true, ZERO, 0},
    {1, 5, 6, 16, 16, 3, 1, 1, true, CONSTANT, 0},
    {1, 5, 6, 16, 16, 3, 1, 1, true, LARGE, 0},
    {1, 5, 6, 16, 16, 3, 1, 1, false, SMALL, 0},
    {1, 4, 6, 32, 32, 3, 1, 1, true, ZERO, 0},
    {1, 4, 6, 32, 32, 3, 1, 1, true, CONSTANT, 0},
    {1, 4, 6, 32, 32, 3, 1, 1, true, LARGE, 0},
    {1, 4, 6, 32, 32, 3, 1, 1, false, SMALL, 0},
    /* widths that are no multiples of a vector; bands of an image that like other formats of the
     * weights than their neighbours (the first four) */
    {1, 16, 16, 48, 48, 3, 1, 1, true, RANDOM, 0},
    {3, 16, 16, 44, 44, 3, 1, 1, true, RANDOM, 0},
    {1, 16, 16, 72, 36, 3, 1, 1, true, RANDOM, 0},
    {1, 16, 16, 80, 40, 3, 1, 1, false, RANDOM, EXACT_Y},
    {1, 16, 16, 36, 72, 3, 1, 1, true, RANDOM, 0},
    {3, 8, 8, 40, 40, 3, 1, 1, true, RANDOM, 0},
    {1, 32, 32, 24, 24, 3, 1, 1, true, RANDOM, 0},
    {1, 16, 16, 20, 20, 3, 1, 1, true, RANDOM, 0},
    {1, 8, 8, 52, 100, 3, 1, 1, true, RANDOM, 0},
    {1, 8, 8, 5, 1, 3, 1, 1, true, RANDOM, 0},
    {3, 8, 8, 1, 5, 3, 1, 1, true, RANDOM, 0},
    {1, 8, 8, 3, 3, 3, 1, 1, true, RANDOM, 0},
    {1, 17, 17, 48, 40, 3, 2, 0, true, RANDOM, 0},
    {1, 16, 16, 20, 48, 1, 1, 0, true, RANDOM, 0},
};

static void convolution_make(enum op_kind kind, int index, enum dtype compute, struct op_case *c)
{
    const struct convolution_row *r = &convolution_rows[index];
    const int yh = (r->h + 2 * r->pad - r->k) / r->stride + 1;
    const int yw = (r->w + 2 * r->pad - r->k) / r->stride + 1;
    const struct tensor_desc x = images(compute, r->n, r->h, r->w, r->i);
    const struct tensor_desc dy = images(compute, r->n, yh, yw, r->o);
    const struct tensor_desc weight = parameter(4, r->o, r->i, r->k, r->k);
    const struct tensor_desc bias = parameter(1, r->o, 0, 0, 0);

    c->spec.attributes.window.stride = r->stride;
    c->spec.attributes.window.pad = r->pad;
    c->spec.attributes.window.in[0] = r->h;
    c->spec.attributes.window.in[1] = r->w;
    c->spec.attributes.window.side = r->k;
    c->flops = 2.0 * r->n * yh * yw * r->o * r->i * r->k * r->k;
    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d to %d, window %d, stride %d, pad %d", r->n,
             r->h, r->w, r->i, r->o, r->k, r->stride, r->pad);
    if (kind == OP_CONVOLUTION || kind == OP_CONVOLUTION_ADD) {
        input(c, x, fill_of(r->content));
        input(c, weight, fill_weight(r->i * r->k * r->k));
        optional_input(c, r->bias, bias, unit_fill);
        if (kind == OP_CONVOLUTION_ADD) {
            c->spec.attributes.add.scale = 0.7f;
            input(c, dy, fill_of(r->content));
            output(c, dy);
        } else {
            output(c, images(r->exact & EXACT_Y ? DTYPE_F32 : compute, r->n, yh, yw, r->o));
        }
    } else if (kind == OP_CONVOLUTION_GRAD_DATA) {
        input(c, dy, unit_fill);
        input(c, weight, unit_fill);
        output(c, x);
    } else {
        input(c, x, unit_fill);
        input(c, dy, unit_fill);
        output(c, sum(weight));
        output(c, sum(bias));
    }
}

static const struct general_row {
    int n, h, w, i, o, kh, kw, stride, pad[4], groups;
    bool bias;
    enum content content;
    int exact;
} general_rows[] = {
    {1, 11, 13, 3, 32, 7, 7, 2, {0, 0, 0, 0}, 1, true, RANDOM, 0}, /* the first of a face network */
    {1, 9, 9, 16, 24, 1, 7, 1, {0, 0, 3, 3}, 1, true, RANDOM, 0},  /* of Inception-V3 */
    {3, 9, 9, 16, 24, 7, 1, 1, {3, 3, 0, 0}, 1, true, RANDOM, 0},
    {1, 12, 12, 24, 32, 5, 5, 1, {2, 2, 2, 2}, 1, false, RANDOM, 0},
    {3, 8, 8, 32, 48, 1, 3, 1, {0, 0, 1, 1}, 1, true, RANDOM, 0},
    {1, 8, 8, 32, 48, 3, 1, 1, {1, 1, 0, 0}, 1, true, RANDOM, EXACT_Y},
    {1, 15, 15, 3, 32, 3, 3, 2, {0, 0, 0, 0}, 1, true, RANDOM, 0},
    {3, 16, 16, 32, 32, 3, 3, 1, {1, 1, 1, 1}, 32, true, RANDOM, 0}, /* by channel */
    {1, 16, 16, 48, 48, 5, 5, 2, {1, 2, 1, 2}, 48, true, RANDOM, 0}, /* "same" of an even size */
    {1, 7, 9, 12, 24, 3, 5, 2, {2, 0, 1, 3}, 4, true, RANDOM, 0},    /* nothing like another */
    {3, 6, 5, 6, 4, 2, 4, 1, {1, 0, 0, 3}, 2, false, RANDOM, 0},
    {1, 4, 4, 5, 10, 3, 3, 1, {1, 1, 1, 1}, 5, true, RANDOM, 0}, /* two of each channel */
    {3, 1, 1, 8, 8, 7, 7, 1, {3, 3, 3, 3}, 1, true, RANDOM, 0},  /* only the centre of the window */
    {1, 1, 7, 1, 1, 1, 7, 2, {0, 0, 0, 0}, 1, true, RANDOM, 0},
    {1, 2, 3, 16, 16, 1, 1, 2, {0, 0, 0, 0}, 1, true, RANDOM, 0},
    {1, 35, 35, 48, 64, 3, 3, 2, {0, 0, 0, 0}, 1, true, RANDOM, 0}, /* bands do not divide */
    {1, 32, 32, 64, 64, 5, 5, 1, {2, 2, 2, 2}, 1, true, RANDOM, 0}, /* bands */
    {1, 8, 8, 16, 16, 5, 3, 1, {2, 2, 1, 1}, 2, true, ZERO, 0},
    {1, 8, 8, 16, 16, 5, 3, 1, {2, 2, 1, 1}, 2, true, CONSTANT, 0},
    {1, 8, 8, 16, 16, 5, 3, 1, {2, 2, 1, 1}, 2, true, LARGE, 0},
    {1, 8, 8, 16, 16, 5, 3, 1, {2, 2, 1, 1}, 2, false, SMALL, 0},
};

static void general_make(enum op_kind kind, int index, enum dtype compute, struct op_case *c)
{
    const struct general_row *r = &general_rows[index];
    const int yh = (r->h + r->pad[0] + r->pad[1] - r->kh) / r->stride + 1;
    const int yw = (r->w + r->pad[2] + r->pad[3] - r->kw) / r->stride + 1;
    const int fan_in = r->i / r->groups * r->kh * r->kw;

    c->spec.attributes.general.stride = r->stride;
    c->spec.attributes.general.groups = r->groups;
    memcpy(c->spec.attributes.general.pad, r->pad, sizeof(r->pad));
    c->flops = 2.0 * r->n * yh * yw * r->o * fan_in;
    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d to %d, window %dx%d, stride %d, %d groups",
             r->n, r->h, r->w, r->i, r->o, r->kh, r->kw, r->stride, r->groups);
    input(c, images(compute, r->n, r->h, r->w, r->i), fill_of(r->content));
    input(c, parameter(4, r->o, r->i / r->groups, r->kh, r->kw), fill_weight(fan_in));
    optional_input(c, r->bias, parameter(1, r->o, 0, 0, 0), unit_fill);
    output(c, images(r->exact & EXACT_Y ? DTYPE_F32 : compute, r->n, yh, yw, r->o));
}

static const struct linear_row {
    int n, h, w, i, o; /* h 0: vectors */
    bool in_first, bias;
    enum content content;
} linear_rows[] = {
    {1, 0, 0, 128, 512, false, true, RANDOM}, /* of the time embedding */
    {3, 0, 0, 512, 256, false, true, RANDOM},
    {3, 0, 0, 1, 1, false, true, RANDOM},
    {1, 0, 0, 33, 17, true, false, RANDOM},
    {1, 16, 16, 256, 256, true, true, RANDOM}, /* a NIN of an attention block */
    {3, 4, 6, 48, 48, true, true, RANDOM},
    {3, 7, 9, 33, 17, false, false, RANDOM},
    {1, 1, 1, 24, 12, true, true, RANDOM},
    {1, 16, 16, 40, 40, true, true, RANDOM},
    {1, 16, 16, 36, 20, true, true, RANDOM},
    {3, 4, 4, 5, 3, true, true, RANDOM},
    {1, 3, 3, 16, 16, true, true, ZERO},
    {1, 3, 3, 16, 16, false, true, CONSTANT},
    {1, 3, 3, 16, 16, false, true, LARGE},
    {1, 3, 3, 16, 16, true, false, SMALL},
};

static void linear_make(enum op_kind kind, int index, enum dtype compute, struct op_case *c)
{
    const struct linear_row *r = &linear_rows[index];
    const bool vector = r->h == 0;
    const struct tensor_desc x =
        vector ? vectors(compute, r->n, r->i) : images(compute, r->n, r->h, r->w, r->i);
    const struct tensor_desc y =
        vector ? vectors(compute, r->n, r->o) : images(compute, r->n, r->h, r->w, r->o);
    const struct tensor_desc weight =
        r->in_first ? parameter(2, r->i, r->o, 0, 0) : parameter(2, r->o, r->i, 0, 0);
    const struct tensor_desc bias = parameter(1, r->o, 0, 0, 0);

    c->spec.attributes.linear.in_first = r->in_first;
    c->flops = 2.0 * r->n * (vector ? 1 : r->h * r->w) * r->i * r->o;
    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d to %d%s%s", r->n, vector ? 1 : r->h,
             vector ? 1 : r->w, r->i, r->o, r->in_first ? ", in first" : "",
             r->bias ? "" : ", no bias");
    if (kind == OP_LINEAR) {
        input(c, x, fill_of(r->content));
        input(c, weight, fill_weight(r->i));
        optional_input(c, r->bias, bias, unit_fill);
        output(c, y);
    } else if (kind == OP_LINEAR_GRAD_DATA) {
        input(c, y, unit_fill);
        input(c, weight, unit_fill);
        output(c, x);
    } else {
        input(c, x, unit_fill);
        input(c, y, unit_fill);
        output(c, sum(weight));
        output(c, sum(bias));
    }
}

static const struct group_norm_row {
    int n, h, w, c, groups;
    bool silu, shift;
    enum content content;
} group_norm_rows[] = {
    {3, 4, 4, 12, 3, false, false, RANDOM},
    {3, 5, 3, 16, 4, true, true, RANDOM},
    {1, 7, 9, 24, 6, true, false, RANDOM},
    {3, 8, 8, 48, 12, false, true, RANDOM},
    {1, 4, 4, 384, 32, true, true, RANDOM}, /* groups of 12: they straddle vectors */
    {1, 16, 16, 256, 32, true, true, RANDOM},
    {1, 32, 32, 128, 32, true, false, RANDOM},
    {3, 1, 1, 4, 1, false, false, RANDOM},
    {3, 1, 1, 4, 4, false, false, RANDOM}, /* every group is one element */
    {1, 3, 3, 7, 7, true, true, RANDOM},
    {1, 3, 3, 15, 5, true, true, RANDOM},
    {1, 6, 6, 40, 2, false, true, RANDOM}, /* groups of 20 */
    {1, 6, 6, 16, 4, true, false, ZERO},
    {1, 6, 6, 16, 4, false, false, CONSTANT},
    {1, 6, 6, 16, 4, true, true, LARGE},
    {1, 6, 6, 16, 4, true, false, SMALL},
    {3, 8, 8, 24, 6, false, false, OFFSET},
    /* more than a GPU's block holds: in pieces, the last of them not full */
    {1, 41, 40, 32, 8, true, true, RANDOM},
    {1, 33, 32, 48, 8, true, false, OFFSET}, /* groups of 6 */
    {3, 5, 3, 24, 8, true, true, RANDOM},    /* groups of 3 in whole vectors */
    {1, 3, 3, 390, 13, true, true, RANDOM},  /* more channels than threads, and no vectors */
};

/* Where a group is constant, or a shift is all there is in it, outputs are 0 from terms near 1; the
 * gradient of a group of one element from terms near 1/sqrt(eps). */
static float group_norm_floor(const struct group_norm_row *r, bool forward)
{
    if (r->h * r->w * r->c == r->groups)
        return forward ? 1 : 1000;
    return r->content == CONSTANT || r->content == ZERO || r->content == OFFSET ||
           r->c == r->groups;
}

static void group_norm_make(enum op_kind kind, int index, enum dtype compute, struct op_case *c)
{
    const struct group_norm_row *r = &group_norm_rows[index];
    const struct fill beta_fill = {0.5f, 0, false, 0, false},
                      gamma_fill = {0.3f, 1, false, 0, false};
    const struct tensor_desc x = images(compute, r->n, r->h, r->w, r->c);
    const struct tensor_desc channels = parameter(1, r->c, 0, 0, 0);
    const struct tensor_desc shift = vectors(DTYPE_F32, r->n, r->c);
    const struct tensor_desc stats = batched(DTYPE_F32, r->n, 2, 2, r->groups, 0);

    c->spec.attributes.group_norm.groups = r->groups;
    c->spec.attributes.group_norm.eps = 1e-6f;
    c->spec.attributes.group_norm.silu = r->silu;
    c->floor = group_norm_floor(r, kind == OP_GROUP_NORM);
    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d, %d groups%s%s", r->n, r->h, r->w, r->c,
             r->groups, r->silu ? ", silu" : "", r->shift ? ", shift" : "");
    input(c, x, fill_of(r->content));
    input(c, channels, gamma_fill);
    input(c, channels, beta_fill);
    if (kind == OP_GROUP_NORM) {
        optional_input(c, r->shift, shift, fill_of(r->content));
        output(c, x);
        output(c, stats);
        return;
    }
    input(c, stats, unit_fill);
    input(c, x, unit_fill);
    optional_input(c, r->shift, shift, unit_fill);
    output(c, x);
    output(c, sum(channels));
    output(c, sum(channels));
    if (r->shift)
        output(c, shift);
}

static const struct attention_row {
    int n, h, w, c;
    enum content content;
} attention_rows[] = {
    {3, 4, 4, 16, RANDOM},    {3, 4, 6, 48, RANDOM}, {1, 8, 8, 64, RANDOM}, {1, 1, 1, 8, RANDOM},
    {1, 16, 16, 256, RANDOM}, {1, 3, 5, 7, RANDOM},  {1, 4, 4, 32, ZERO},   {1, 4, 4, 32, CONSTANT},
    {1, 4, 4, 16, STRONG},    {1, 4, 4, 16, SMALL},
};

static void attention_make(enum op_kind kind, int index, enum dtype compute, struct op_case *c)
{
    const struct attention_row *r = &attention_rows[index];
    const struct tensor_desc x = images(compute, r->n, r->h, r->w, r->c);
    const struct tensor_desc p = batched(compute, r->n, 2, r->h * r->w, r->h * r->w, 0);
    const bool forward = kind == OP_ATTENTION;

    c->spec.attributes.attention.scale = 1 / sqrtf((float)r->c);
    c->flops = (forward ? 4.0 : 8.0) * r->n * r->h * r->w * r->h * r->w * r->c;
    /* Equal values make all gradients of the logits 0, from terms of size 1. */
    c->floor = !forward && (r->content == CONSTANT || r->h * r->w == 1);
    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d", r->n, r->h, r->w, r->c);
    for (int i = 0; i < 3; i++)
        input(c, x, fill_of(r->content));
    if (forward) {
        output(c, x);
        output(c, p);
        return;
    }
    input(c, p, unit_fill);
    input(c, x, unit_fill);
    for (int i = 0; i < 3; i++)
        output(c, x);
}

static const float fir_kernel[16] = {1, 3, 3, 1, 3, 9, 9, 3, 3, 9, 9, 3, 1, 3, 3, 1};
static const float skew_kernel[16] = {
    0.1f, -0.7f, 0.4f, 0.9f,  1.2f,  0.3f, -0.5f, 0.6f,
    0.8f, 0.2f,  1.1f, -0.4f, -0.9f, 0.5f, 0.7f,  -0.3f,
};

static const struct upfirdn_row {
    int n, h, w, c, up, down, pad[4];
    bool skew; /* the asymmetric kernel, else [1,3,3,1] */
    enum content content;
    bool bias;
} upfirdn_rows[] = {
    {3, 8, 8, 16, 2, 1, {2, 1, 2, 1}, false, RANDOM, false}, /* up by 2 */
    {3, 8, 8, 16, 1, 2, {1, 1, 1, 1}, false, RANDOM, false}, /* down by 2 */
    {3, 8, 8, 16, 2, 1, {2, 1, 2, 1}, false, RANDOM, true},  /* a shortcut that goes up */
    {1, 7, 9, 5, 2, 1, {2, 1, 2, 1}, true, RANDOM, true},
    {1, 16, 16, 600, 2, 1, {2, 1, 2, 1}, false, RANDOM, true},
    {1, 7, 9, 5, 2, 1, {2, 1, 2, 1}, true, RANDOM, false},
    {1, 7, 9, 5, 1, 2, {1, 1, 1, 1}, true, RANDOM, false},
    {1,
     8,
     8,
     12,
     1,
     1,
     {2, 2, 2, 2},
     false,
     RANDOM,
     false}, /* smoothing before a strided convolution */
    {1, 9, 8, 3, 1, 1, {1, 2, 2, 1}, true, RANDOM, false},
    {1, 8, 9, 24, 1, 1, {-1, -2, 2, -1}, true, RANDOM, false}, /* negative pads crop */
    {1, 6, 7, 4, 2, 1, {-1, 3, 3, -2}, true, RANDOM, false},
    {1, 6, 7, 4, 2, 2, {2, 3, 1, 2}, true, RANDOM, false},
    {3, 1, 1, 3, 2, 1, {2, 1, 2, 1}, false, RANDOM, false},
    {1, 2, 2, 1, 1, 2, {1, 1, 1, 1}, false, RANDOM, false},
    {1, 32, 32, 3, 1, 2, {1, 1, 1, 1}, false, RANDOM, false}, /* the input pyramid */
    {1, 16, 16, 128, 2, 1, {2, 1, 2, 1}, false, RANDOM, false},
    {1, 32, 32, 128, 1, 2, {1, 1, 1, 1}, false, RANDOM, false},
    {1, 6, 6, 8, 2, 1, {2, 1, 2, 1}, true, ZERO, false},
    {1, 6, 6, 8, 1, 2, {1, 1, 1, 1}, false, CONSTANT, false},
    {1, 6, 6, 8, 2, 1, {2, 1, 2, 1}, false, LARGE, false},
    {1, 6, 6, 8, 1, 2, {1, 1, 1, 1}, true, SMALL, false},
};

static void upfirdn_make(enum op_kind kind, int index, enum dtype compute, struct op_case *c)
{
    const struct upfirdn_row *r = &upfirdn_rows[index];
    const int yh = (r->h * r->up + r->pad[0] + r->pad[1] - 4) / r->down + 1;
    const int yw = (r->w * r->up + r->pad[2] + r->pad[3] - 4) / r->down + 1;

    for (int i = 0; i < 16; i++)
        c->spec.attributes.upfirdn.kernel[i] =
            r->skew ? skew_kernel[i] : fir_kernel[i] / 64 * (float)(r->up * r->up);
    c->spec.attributes.upfirdn.up = r->up;
    c->spec.attributes.upfirdn.down = r->down;
    memcpy(c->spec.attributes.upfirdn.pad, r->pad, sizeof(r->pad));
    c->flops = 32.0 * r->n * yh * yw * r->c / (r->up * r->up);
    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d, up %d, down %d, pad %d %d %d %d", r->n, r->h,
             r->w, r->c, r->up, r->down, r->pad[0], r->pad[1], r->pad[2], r->pad[3]);
    input(c, images(compute, r->n, r->h, r->w, r->c), fill_of(r->content));
    optional_input(c, r->bias, parameter(1, r->c, 0, 0, 0), unit_fill);
    output(c, images(compute, r->n, yh, yw, r->c));
}

static const struct channels_row {
    int n, h, w, a, b; /* concat: channels of both; slice: first channel and count of a + b + 1 */
} channels_rows[] = {
    {3, 4, 4, 16, 16}, {1, 7, 9, 5, 3},     {1, 1, 1, 1, 1},
    {3, 2, 3, 31, 33}, {1, 8, 8, 256, 128}, {1, 32, 32, 128, 64},
};

static void channels_make(enum op_kind kind, int index, enum dtype compute, struct op_case *c)
{
    const struct channels_row *r = &channels_rows[index];

    if (kind == OP_CONCAT) {
        snprintf(c->text, sizeof(c->text), "%dx%dx%d, %d and %d channels", r->n, r->h, r->w, r->a,
                 r->b);
        input(c, images(compute, r->n, r->h, r->w, r->a), unit_fill);
        input(c, images(compute, r->n, r->h, r->w, r->b), unit_fill);
        output(c, images(compute, r->n, r->h, r->w, r->a + r->b));
        return;
    }
    c->spec.attributes.slice.first = r->a;
    c->spec.attributes.slice.count = r->b;
    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d, channels %d + %d", r->n, r->h, r->w,
             r->a + r->b + 1, r->a, r->b);
    input(c, images(compute, r->n, r->h, r->w, r->a + r->b + 1), unit_fill);
    output(c, images(compute, r->n, r->h, r->w, r->b));
}

static const struct elementwise_row {
    int n, h, w, c;
    enum content content;
    int exact;
} elementwise_rows[] = {
    {3, 4, 4, 16, RANDOM, 0},       {1, 7, 9, 5, RANDOM, 0},        {3, 1, 1, 1, RANDOM, 0},
    {1, 32, 32, 128, RANDOM, 0},    {3, 3, 3, 7, ZERO, 0},          {3, 3, 3, 7, CONSTANT, 0},
    {3, 3, 3, 7, LARGE, 0},         {3, 3, 3, 7, SMALL, 0},         {3, 3, 3, 7, STRONG, 0},
    {3, 5, 3, 11, RANDOM, EXACT_X}, {3, 5, 3, 11, RANDOM, EXACT_Y}, {3, 5, 3, 11, RANDOM, EXACT_M},
};

static void elementwise_make(enum op_kind kind, int index, enum dtype compute, struct op_case *c)
{
    const struct elementwise_row *r = &elementwise_rows[index];
    const bool casts = kind == OP_AFFINE || kind == OP_MIX;
    const int exact = casts ? r->exact : 0;
    const struct tensor_desc x =
        images(exact & EXACT_X ? DTYPE_F32 : compute, r->n, r->h, r->w, r->c);
    const struct tensor_desc y =
        images(exact & EXACT_Y ? DTYPE_F32 : compute, r->n, r->h, r->w, r->c);
    const struct fill fill = fill_of(r->content);

    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d", r->n, r->h, r->w, r->c);
    if (kind == OP_MIX) {
        const int count = 1 + index % 4;

        c->spec.attributes.mix.first = index % 3;
        input(c, vectors(DTYPE_F32, r->n, c->spec.attributes.mix.first + count + 1), unit_fill);
        for (int j = 0; j < count; j++)
            input(c, x, fill);
        output(c, y);
        return;
    }
    input(c, x, fill);
    if (kind == OP_ADD) {
        c->spec.attributes.add.scale = index % 2 ? 1 : sqrtf(0.5f);
        input(c, x, fill);
    } else if (kind == OP_SILU_GRAD) {
        input(c, x, unit_fill);
    } else if (kind == OP_RELU) {
        c->spec.attributes.relu.top = index % 2 ? 0.5f : INFINITY;
    } else if (kind == OP_AFFINE) {
        c->spec.attributes.affine.scale = index % 2 ? 2 : -0.3f;
        c->spec.attributes.affine.shift = r->content == SMALL ? 0 : index % 3 ? -1 : 0;
    } else if (kind == OP_MULTIPLY) {
        enum dtype m_dtype = r->exact & EXACT_M ? DTYPE_F32 : compute;

        input(c, images(m_dtype, r->n, r->h, r->w, index % 2 ? 1 : r->c), unit_fill);
    }
    output(c, y);
}

static void half_square_make(enum op_kind kind, int index, enum dtype compute, struct op_case *c)
{
    const struct elementwise_row *r = &elementwise_rows[index];
    const struct tensor_desc x = images(DTYPE_F32, r->n, r->h, r->w, r->c);
    const struct tensor_desc one = vectors(DTYPE_F32, r->n, 1);

    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d", r->n, r->h, r->w, r->c);
    input(c, x, fill_of(r->content));
    input(c, one, unit_fill);
    if (kind == OP_HALF_SQUARE) {
        output(c, one);
        return;
    }
    input(c, one, unit_fill);
    output(c, x);
}

static const struct pooling_row {
    int n, h, w, c, side, stride;
    enum content content;
} pooling_rows[] = {
    {1, 63, 63, 64, 3, 2, RANDOM},                              /* of SqueezeNet at 128 px */
    {3, 31, 31, 128, 3, 2, RANDOM}, {3, 8, 6, 5, 3, 2, RANDOM}, /* the last row in no window */
    {1, 7, 9, 17, 2, 2, RANDOM},    {3, 5, 3, 1, 3, 1, RANDOM},   {1, 3, 3, 33, 3, 2, RANDOM},
    {1, 2, 2, 16, 2, 1, RANDOM},    {3, 7, 7, 512, 3, 2, RANDOM}, {1, 5, 6, 16, 3, 2, ZERO},
    {1, 5, 6, 16, 3, 2, CONSTANT},  {1, 5, 6, 16, 2, 2, LARGE},   {1, 5, 6, 16, 2, 2, SMALL},
    {1, 64, 64, 16, 3, 2, OFFSET},
};

static void pooling_make(enum op_kind kind, int index, enum dtype compute, struct op_case *c)
{
    const struct pooling_row *r = &pooling_rows[index];

    input(c, images(compute, r->n, r->h, r->w, r->c), fill_of(r->content));
    if (kind == OP_AVERAGE_POOL) {
        snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d", r->n, r->h, r->w, r->c);
        output(c, images(compute, r->n, r->h, r->w, r->c));
        return;
    }
    if (kind == OP_MEAN_POOL) {
        snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d", r->n, r->h, r->w, r->c);
        output(c, vectors(DTYPE_F32, r->n, r->c));
        return;
    }
    c->spec.attributes.window.side = r->side;
    c->spec.attributes.window.stride = r->stride;
    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d, window %d, stride %d", r->n, r->h, r->w, r->c,
             r->side, r->stride);
    output(c, images(compute, r->n, (r->h - r->side) / r->stride + 1,
                     (r->w - r->side) / r->stride + 1, r->c));
}

static const struct embedding_row {
    int n, dim;
} embedding_rows[] = {{1, 4}, {3, 16}, {3, 128}, {1, 256}, {3, 6}, {1, 34}};

static void embedding_make(enum op_kind kind, int index, enum dtype compute, struct op_case *c)
{
    const struct embedding_row *r = &embedding_rows[index];
    const struct fill frequency_fill = {16, 0, false, 0, false};

    snprintf(c->text, sizeof(c->text), "%dx%d", r->n, r->dim);
    input(c, vectors(DTYPE_F32, r->n, 1), time_fill);
    if (kind == OP_FOURIER)
        input(c, parameter(1, r->dim / 2, 0, 0, 0), frequency_fill);
    output(c, vectors(DTYPE_F32, r->n, r->dim));
}

static const struct separable_row {
    int n, h, w, c, yh, yw;
    bool batched_a, batched_b;
    enum content content;
} separable_rows[] = {
    {3, 8, 8, 3, 8, 8, true, true, RANDOM},
    {3, 7, 9, 3, 7, 9, false, false, RANDOM},
    {1, 6, 4, 5, 3, 8, true, false, RANDOM},
    {3, 5, 4, 1, 2, 7, false, true, RANDOM},
    {1, 1, 1, 3, 1, 1, true, true, RANDOM},
    {1, 64, 64, 3, 64, 64, true, true, RANDOM},
    {3, 32, 32, 3, 32, 32, true, true, RANDOM},
    {1, 6, 6, 3, 6, 6, true, true, ZERO},
    {1, 6, 6, 3, 6, 6, true, true, CONSTANT},
    {1, 6, 6, 3, 6, 6, true, true, LARGE},
    {1, 6, 6, 3, 6, 6, true, true, SMALL},
    {1, 4, 52, 64, 5, 52, true, true, RANDOM}, /* wide rows */
};

/* The first half of the cases is plain, the second transposed. */
static void separable_make(enum op_kind kind, int index, enum dtype compute, struct op_case *c)
{
    const struct separable_row *r = &separable_rows[index % N_ROWS(separable_rows)];
    const bool transposed = index >= N_ROWS(separable_rows);
    const struct tensor_desc x = images(DTYPE_F32, r->n, r->h, r->w, r->c);
    const struct tensor_desc y = images(DTYPE_F32, r->n, r->yh, r->yw, r->c);
    struct tensor_desc a = batched(DTYPE_F32, r->n, 2, r->yh, r->h, 0);
    struct tensor_desc b = batched(DTYPE_F32, r->n, 2, r->yw, r->w, 0);

    if (!r->batched_a) {
        a.shape.batched = false;
        a.n = 1;
    }
    if (!r->batched_b) {
        b.shape.batched = false;
        b.n = 1;
    }
    c->spec.attributes.separable.transposed = transposed;
    c->flops = 2.0 * r->n * r->c * r->yh * r->w * (r->h + r->yw);
    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d, to %dx%d%s%s%s", r->n, r->h, r->w, r->c, r->yh,
             r->yw, transposed ? ", transposed" : "", r->batched_a ? "" : ", one a",
             r->batched_b ? "" : ", one b");
    input(c, transposed ? y : x, fill_of(r->content));
    input(c, a, fill_weight(r->h));
    input(c, b, fill_weight(r->w));
    output(c, transposed ? x : y);
}

static const struct random_row {
    int n, h, w, c;
    uint32_t stream;
    float rate;
} random_rows[] = {
    {3, 4, 4, 16, 2, 0.1f}, {3, 7, 9, 5, 6, 0.5f},   {1, 1, 1, 1, 0, 0.0f},
    {3, 1, 1, 3, 9, 0.9f},  {1, 64, 64, 3, 1, 0.1f}, {1, 16, 16, 128, 11, 0.2f},
};

static void random_make(enum op_kind kind, int index, enum dtype compute, struct op_case *c)
{
    const struct random_row *r = &random_rows[index];

    c->spec.attributes.draw.stream = r->stream;
    c->spec.attributes.draw.rate = r->rate;
    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d", r->n, r->h, r->w, r->c);
    input(c, vectors(DTYPE_U32, r->n, 4), unit_fill);
    if (kind == OP_NORMAL && index % 2) { /* of two keys */
        input(c, vectors(DTYPE_F32, r->n, 2), unit_fill);
        input(c, vectors(DTYPE_U32, r->n, 4), unit_fill);
    }
    output(c, images(kind == OP_NORMAL ? DTYPE_F32 : compute, r->n, r->h, r->w, r->c));
}

static const struct family {
    int count;
    void (*make)(enum op_kind kind, int index, enum dtype compute, struct op_case *c);
} families[OP_KINDS] = {
    [OP_CONVOLUTION] = {N_ROWS(convolution_rows), convolution_make},
    [OP_CONVOLUTION_ADD] = {N_ROWS(convolution_rows), convolution_make},
    [OP_CONVOLUTION_GENERAL] = {N_ROWS(general_rows), general_make},
    [OP_CONVOLUTION_GRAD_DATA] = {N_ROWS(convolution_rows), convolution_make},
    [OP_CONVOLUTION_GRAD_WEIGHT] = {N_ROWS(convolution_rows), convolution_make},
    [OP_LINEAR] = {N_ROWS(linear_rows), linear_make},
    [OP_LINEAR_GRAD_DATA] = {N_ROWS(linear_rows), linear_make},
    [OP_LINEAR_GRAD_WEIGHT] = {N_ROWS(linear_rows), linear_make},
    [OP_GROUP_NORM] = {N_ROWS(group_norm_rows), group_norm_make},
    [OP_GROUP_NORM_GRAD] = {N_ROWS(group_norm_rows), group_norm_make},
    [OP_SILU] = {N_ROWS(elementwise_rows), elementwise_make},
    [OP_SILU_GRAD] = {N_ROWS(elementwise_rows), elementwise_make},
    [OP_RELU] = {N_ROWS(elementwise_rows), elementwise_make},
    [OP_MAX_POOL] = {N_ROWS(pooling_rows), pooling_make},
    [OP_MEAN_POOL] = {N_ROWS(pooling_rows), pooling_make},
    [OP_AVERAGE_POOL] = {N_ROWS(pooling_rows), pooling_make},
    [OP_UPFIRDN] = {N_ROWS(upfirdn_rows), upfirdn_make},
    [OP_CONCAT] = {N_ROWS(channels_rows), channels_make},
    [OP_SLICE] = {N_ROWS(channels_rows), channels_make},
    [OP_ATTENTION] = {N_ROWS(attention_rows), attention_make},
    [OP_ATTENTION_GRAD] = {N_ROWS(attention_rows), attention_make},
    [OP_FOURIER] = {N_ROWS(embedding_rows), embedding_make},
    [OP_POSITIONAL] = {N_ROWS(embedding_rows), embedding_make},
    [OP_ADD] = {N_ROWS(elementwise_rows), elementwise_make},
    [OP_AFFINE] = {N_ROWS(elementwise_rows), elementwise_make},
    [OP_MIX] = {N_ROWS(elementwise_rows), elementwise_make},
    [OP_MULTIPLY] = {N_ROWS(elementwise_rows), elementwise_make},
    [OP_SEPARABLE] = {2 * N_ROWS(separable_rows), separable_make},
    [OP_NORMAL] = {N_ROWS(random_rows), random_make},
    [OP_DROPOUT_MASK] = {N_ROWS(random_rows), random_make},
    [OP_HALF_SQUARE] = {N_ROWS(elementwise_rows), half_square_make},
    [OP_HALF_SQUARE_GRAD] = {N_ROWS(elementwise_rows), half_square_make},
};

int cases_count(enum op_kind kind)
{
    int n = row_cases_count(kind);

    return n > 0 ? n : families[kind].count;
}

/* float16 ends at 65504. */
static void bound_fills(struct op_case *c)
{
    for (int i = 0; i < c->spec.n_inputs; i++)
        c->fill[i].scale = fminf(c->fill[i].scale, 1e3f);
}

void case_make(enum op_kind kind, int index, enum dtype compute, struct op_case *out)
{
    memset(out, 0, sizeof(*out));
    out->spec.kind = kind;
    if (row_cases_count(kind) > 0)
        row_case_make(kind, index, out);
    else
        families[kind].make(kind, index, compute, out);
    if (compute == DTYPE_F16)
        bound_fills(out);
}

static void set_images(struct tensor_desc *tensors, int n_tensors, int n)
{
    for (int i = 0; i < n_tensors; i++) {
        if (tensors[i].shape.batched)
            tensors[i].n = n;
    }
}

void case_set_images(struct kernel_spec *spec, int n)
{
    set_images(spec->inputs, spec->n_inputs, n);
    set_images(spec->outputs, spec->n_outputs, n);
}

const struct gradient_pair *gradient_pair_of(enum op_kind kind)
{
    enum { X = FORWARD_INPUT, Y = FORWARD_OUTPUT, DY = FORWARD_COTANGENT };
    static const struct gradient_pair pairs[] = {
        {OP_CONVOLUTION, OP_CONVOLUTION_GRAD_DATA, {DY, X + 1}, 2, {0}, 1, 1},
        {OP_CONVOLUTION, OP_CONVOLUTION_GRAD_WEIGHT, {X, DY}, 2, {1, 2}, 2, 1},
        {OP_LINEAR, OP_LINEAR_GRAD_DATA, {DY, X + 1}, 2, {0}, 1, 1},
        {OP_LINEAR, OP_LINEAR_GRAD_WEIGHT, {X, DY}, 2, {1, 2}, 2, 1},
        {OP_GROUP_NORM,
         OP_GROUP_NORM_GRAD,
         {X, X + 1, X + 2, Y + 1, DY, X + 3},
         6,
         {0, 1, 2, 3},
         4,
         0x1p-6f},
        {OP_SILU, OP_SILU_GRAD, {X, DY}, 2, {0}, 1, 0x1p-5f},
        {OP_ATTENTION, OP_ATTENTION_GRAD, {X, X + 1, X + 2, Y + 1, DY}, 5, {0, 1, 2}, 3, 0x1p-4f},
        {OP_HALF_SQUARE, OP_HALF_SQUARE_GRAD, {X, X + 1, DY}, 3, {0}, 1, 1},
        {OP_LOOKUP, OP_LOOKUP_GRAD, {X + 1, DY}, 2, {0}, 1, 1},
    };

    for (int i = 0; i < N_ROWS(pairs); i++) {
        if (pairs[i].gradient == kind)
            return &pairs[i];
    }
    return NULL;
}
