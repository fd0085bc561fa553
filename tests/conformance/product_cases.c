/* Cases of the operations that are sums of products. */
#include "tests/conformance/case_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define N_ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

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
    const struct tensor_desc x = desc_images(compute, r->n, r->h, r->w, r->i);
    const struct tensor_desc dy = desc_images(compute, r->n, yh, yw, r->o);
    const struct tensor_desc weight = desc_parameter(4, r->o, r->i, r->k, r->k);
    const struct tensor_desc bias = desc_parameter(1, r->o, 0, 0, 0);

    c->spec.attributes.window.stride = r->stride;
    c->spec.attributes.window.pad = r->pad;
    c->spec.attributes.window.in[0] = r->h;
    c->spec.attributes.window.in[1] = r->w;
    c->spec.attributes.window.side = r->k;
    c->flops = 2.0 * r->n * yh * yw * r->o * r->i * r->k * r->k;
    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d to %d, window %d, stride %d, pad %d", r->n,
             r->h, r->w, r->i, r->o, r->k, r->stride, r->pad);
    if (kind == OP_CONVOLUTION || kind == OP_CONVOLUTION_ADD) {
        case_input(c, x, fill_of(r->content));
        case_input(c, weight, fill_weight(r->i * r->k * r->k));
        case_optional_input(c, r->bias, bias, unit_fill);
        if (kind == OP_CONVOLUTION_ADD) {
            c->spec.attributes.add.scale = 0.7f;
            case_input(c, dy, fill_of(r->content));
            case_output(c, dy);
        } else {
            case_output(c,
                        desc_images(r->exact & EXACT_Y ? DTYPE_F32 : compute, r->n, yh, yw, r->o));
        }
    } else if (kind == OP_CONVOLUTION_GRAD_DATA) {
        case_input(c, dy, unit_fill);
        case_input(c, weight, unit_fill);
        case_output(c, x);
    } else {
        case_input(c, x, unit_fill);
        case_input(c, dy, unit_fill);
        case_output(c, desc_sum(weight));
        case_output(c, desc_sum(bias));
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
    case_input(c, desc_images(compute, r->n, r->h, r->w, r->i), fill_of(r->content));
    case_input(c, desc_parameter(4, r->o, r->i / r->groups, r->kh, r->kw), fill_weight(fan_in));
    case_optional_input(c, r->bias, desc_parameter(1, r->o, 0, 0, 0), unit_fill);
    case_output(c, desc_images(r->exact & EXACT_Y ? DTYPE_F32 : compute, r->n, yh, yw, r->o));
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
        vector ? desc_vectors(compute, r->n, r->i) : desc_images(compute, r->n, r->h, r->w, r->i);
    const struct tensor_desc y =
        vector ? desc_vectors(compute, r->n, r->o) : desc_images(compute, r->n, r->h, r->w, r->o);
    const struct tensor_desc weight =
        r->in_first ? desc_parameter(2, r->i, r->o, 0, 0) : desc_parameter(2, r->o, r->i, 0, 0);
    const struct tensor_desc bias = desc_parameter(1, r->o, 0, 0, 0);

    c->spec.attributes.linear.in_first = r->in_first;
    c->flops = 2.0 * r->n * (vector ? 1 : r->h * r->w) * r->i * r->o;
    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d to %d%s%s", r->n, vector ? 1 : r->h,
             vector ? 1 : r->w, r->i, r->o, r->in_first ? ", in first" : "",
             r->bias ? "" : ", no bias");
    if (kind == OP_LINEAR) {
        case_input(c, x, fill_of(r->content));
        case_input(c, weight, fill_weight(r->i));
        case_optional_input(c, r->bias, bias, unit_fill);
        case_output(c, y);
    } else if (kind == OP_LINEAR_GRAD_DATA) {
        case_input(c, y, unit_fill);
        case_input(c, weight, unit_fill);
        case_output(c, x);
    } else {
        case_input(c, x, unit_fill);
        case_input(c, y, unit_fill);
        case_output(c, desc_sum(weight));
        case_output(c, desc_sum(bias));
    }
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
    const struct tensor_desc x = desc_images(compute, r->n, r->h, r->w, r->c);
    const struct tensor_desc p = desc_batched(compute, r->n, 2, r->h * r->w, r->h * r->w, 0);
    const bool forward = kind == OP_ATTENTION;

    c->spec.attributes.attention.scale = 1 / sqrtf((float)r->c);
    c->flops = (forward ? 4.0 : 8.0) * r->n * r->h * r->w * r->h * r->w * r->c;
    /* Equal values make all gradients of the logits 0, from terms of size 1. */
    c->floor = !forward && (r->content == CONSTANT || r->h * r->w == 1);
    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d", r->n, r->h, r->w, r->c);
    for (int i = 0; i < 3; i++)
        case_input(c, x, fill_of(r->content));
    if (forward) {
        case_output(c, x);
        case_output(c, p);
        return;
    }
    case_input(c, p, unit_fill);
    case_input(c, x, unit_fill);
    for (int i = 0; i < 3; i++)
        case_output(c, x);
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
    const struct tensor_desc x = desc_images(DTYPE_F32, r->n, r->h, r->w, r->c);
    const struct tensor_desc y = desc_images(DTYPE_F32, r->n, r->yh, r->yw, r->c);
    struct tensor_desc a = desc_batched(DTYPE_F32, r->n, 2, r->yh, r->h, 0);
    struct tensor_desc b = desc_batched(DTYPE_F32, r->n, 2, r->yw, r->w, 0);

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
    case_input(c, transposed ? y : x, fill_of(r->content));
    case_input(c, a, fill_weight(r->h));
    case_input(c, b, fill_weight(r->w));
    case_output(c, transposed ? x : y);
}

const struct case_family product_cases[OP_KINDS] = {
    [OP_CONVOLUTION] = {N_ROWS(convolution_rows), convolution_make},
    [OP_CONVOLUTION_ADD] = {N_ROWS(convolution_rows), convolution_make},
    [OP_CONVOLUTION_GENERAL] = {N_ROWS(general_rows), general_make},
    [OP_CONVOLUTION_GRAD_DATA] = {N_ROWS(convolution_rows), convolution_make},
    [OP_CONVOLUTION_GRAD_WEIGHT] = {N_ROWS(convolution_rows), convolution_make},
    [OP_LINEAR] = {N_ROWS(linear_rows), linear_make},
    [OP_LINEAR_GRAD_DATA] = {N_ROWS(linear_rows), linear_make},
    [OP_LINEAR_GRAD_WEIGHT] = {N_ROWS(linear_rows), linear_make},
    [OP_ATTENTION] = {N_ROWS(attention_rows), attention_make},
    [OP_ATTENTION_GRAD] = {N_ROWS(attention_rows), attention_make},
    [OP_SEPARABLE] = {2 * N_ROWS(separable_rows), separable_make},
};
