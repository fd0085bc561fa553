/* Cases of the operations that make other pictures of pictures: of another size, or of other channels. */
#include "tests/conformance/case_parts.h"

#include <stdio.h>
#include <string.h>

#define N_ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

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
    case_input(c, desc_images(compute, r->n, r->h, r->w, r->c), fill_of(r->content));
    case_optional_input(c, r->bias, desc_parameter(1, r->c, 0, 0, 0), unit_fill);
    case_output(c, desc_images(compute, r->n, yh, yw, r->c));
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

    case_input(c, desc_images(compute, r->n, r->h, r->w, r->c), fill_of(r->content));
    if (kind == OP_AVERAGE_POOL) {
        snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d", r->n, r->h, r->w, r->c);
        case_output(c, desc_images(compute, r->n, r->h, r->w, r->c));
        return;
    }
    if (kind == OP_MEAN_POOL) {
        snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d", r->n, r->h, r->w, r->c);
        case_output(c, desc_vectors(DTYPE_F32, r->n, r->c));
        return;
    }
    c->spec.attributes.window.side = r->side;
    c->spec.attributes.window.stride = r->stride;
    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d, window %d, stride %d", r->n, r->h, r->w, r->c,
             r->side, r->stride);
    case_output(c, desc_images(compute, r->n, (r->h - r->side) / r->stride + 1,
                               (r->w - r->side) / r->stride + 1, r->c));
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
        case_input(c, desc_images(compute, r->n, r->h, r->w, r->a), unit_fill);
        case_input(c, desc_images(compute, r->n, r->h, r->w, r->b), unit_fill);
        case_output(c, desc_images(compute, r->n, r->h, r->w, r->a + r->b));
        return;
    }
    c->spec.attributes.slice.first = r->a;
    c->spec.attributes.slice.count = r->b;
    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d, channels %d + %d", r->n, r->h, r->w,
             r->a + r->b + 1, r->a, r->b);
    case_input(c, desc_images(compute, r->n, r->h, r->w, r->a + r->b + 1), unit_fill);
    case_output(c, desc_images(compute, r->n, r->h, r->w, r->b));
}

const struct case_family resample_cases[OP_KINDS] = {
    [OP_MAX_POOL] = {N_ROWS(pooling_rows), pooling_make},
    [OP_MEAN_POOL] = {N_ROWS(pooling_rows), pooling_make},
    [OP_AVERAGE_POOL] = {N_ROWS(pooling_rows), pooling_make},
    [OP_UPFIRDN] = {N_ROWS(upfirdn_rows), upfirdn_make},
    [OP_CONCAT] = {N_ROWS(channels_rows), channels_make},
    [OP_SLICE] = {N_ROWS(channels_rows), channels_make},
};
