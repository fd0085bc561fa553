/* Cases of the operations from element to element, of norms, and of what is drawn or embedded. */
#include "tests/conformance/case_parts.h"

#include <math.h>
#include <stdio.h>

#define N_ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

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
    const struct tensor_desc x = desc_images(compute, r->n, r->h, r->w, r->c);
    const struct tensor_desc channels = desc_parameter(1, r->c, 0, 0, 0);
    const struct tensor_desc shift = desc_vectors(DTYPE_F32, r->n, r->c);
    const struct tensor_desc stats = desc_batched(DTYPE_F32, r->n, 2, 2, r->groups, 0);

    c->spec.attributes.group_norm.groups = r->groups;
    c->spec.attributes.group_norm.eps = 1e-6f;
    c->spec.attributes.group_norm.silu = r->silu;
    c->floor = group_norm_floor(r, kind == OP_GROUP_NORM);
    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d, %d groups%s%s", r->n, r->h, r->w, r->c,
             r->groups, r->silu ? ", silu" : "", r->shift ? ", shift" : "");
    case_input(c, x, fill_of(r->content));
    case_input(c, channels, gamma_fill);
    case_input(c, channels, beta_fill);
    if (kind == OP_GROUP_NORM) {
        case_optional_input(c, r->shift, shift, fill_of(r->content));
        case_output(c, x);
        case_output(c, stats);
        return;
    }
    case_input(c, stats, unit_fill);
    case_input(c, x, unit_fill);
    case_optional_input(c, r->shift, shift, unit_fill);
    case_output(c, x);
    case_output(c, desc_sum(channels));
    case_output(c, desc_sum(channels));
    if (r->shift)
        case_output(c, shift);
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
        desc_images(exact & EXACT_X ? DTYPE_F32 : compute, r->n, r->h, r->w, r->c);
    const struct tensor_desc y =
        desc_images(exact & EXACT_Y ? DTYPE_F32 : compute, r->n, r->h, r->w, r->c);
    const struct fill fill = fill_of(r->content);

    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d", r->n, r->h, r->w, r->c);
    if (kind == OP_MIX) {
        const int count = 1 + index % 4;

        c->spec.attributes.mix.first = index % 3;
        case_input(c, desc_vectors(DTYPE_F32, r->n, c->spec.attributes.mix.first + count + 1),
                   unit_fill);
        for (int j = 0; j < count; j++)
            case_input(c, x, fill);
        case_output(c, y);
        return;
    }
    case_input(c, x, fill);
    if (kind == OP_ADD) {
        c->spec.attributes.add.scale = index % 2 ? 1 : sqrtf(0.5f);
        case_input(c, x, fill);
    } else if (kind == OP_SILU_GRAD) {
        case_input(c, x, unit_fill);
    } else if (kind == OP_RELU) {
        c->spec.attributes.relu.top = index % 2 ? 0.5f : INFINITY;
    } else if (kind == OP_AFFINE) {
        c->spec.attributes.affine.scale = index % 2 ? 2 : -0.3f;
        c->spec.attributes.affine.shift = r->content == SMALL ? 0 : index % 3 ? -1 : 0;
    } else if (kind == OP_MULTIPLY) {
        enum dtype m_dtype = r->exact & EXACT_M ? DTYPE_F32 : compute;

        case_input(c, desc_images(m_dtype, r->n, r->h, r->w, index % 2 ? 1 : r->c), unit_fill);
    }
    case_output(c, y);
}

static void half_square_make(enum op_kind kind, int index, enum dtype compute, struct op_case *c)
{
    const struct elementwise_row *r = &elementwise_rows[index];
    const struct tensor_desc x = desc_images(DTYPE_F32, r->n, r->h, r->w, r->c);
    const struct tensor_desc one = desc_vectors(DTYPE_F32, r->n, 1);

    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d", r->n, r->h, r->w, r->c);
    case_input(c, x, fill_of(r->content));
    case_input(c, one, unit_fill);
    if (kind == OP_HALF_SQUARE) {
        case_output(c, one);
        return;
    }
    case_input(c, one, unit_fill);
    case_output(c, x);
}

static const struct fill time_fill = {2, 0, true, 0, false}; /* sigma between 0.002 and 400 */

static const struct embedding_row {
    int n, dim;
} embedding_rows[] = {{1, 4}, {3, 16}, {3, 128}, {1, 256}, {3, 6}, {1, 34}};

static void embedding_make(enum op_kind kind, int index, enum dtype compute, struct op_case *c)
{
    const struct embedding_row *r = &embedding_rows[index];
    const struct fill frequency_fill = {16, 0, false, 0, false};

    snprintf(c->text, sizeof(c->text), "%dx%d", r->n, r->dim);
    case_input(c, desc_vectors(DTYPE_F32, r->n, 1), time_fill);
    if (kind == OP_FOURIER)
        case_input(c, desc_parameter(1, r->dim / 2, 0, 0, 0), frequency_fill);
    case_output(c, desc_vectors(DTYPE_F32, r->n, r->dim));
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
    case_input(c, desc_vectors(DTYPE_U32, r->n, 4), unit_fill);
    if (kind == OP_NORMAL && index % 2) { /* of two keys */
        case_input(c, desc_vectors(DTYPE_F32, r->n, 2), unit_fill);
        case_input(c, desc_vectors(DTYPE_U32, r->n, 4), unit_fill);
    }
    case_output(c, desc_images(kind == OP_NORMAL ? DTYPE_F32 : compute, r->n, r->h, r->w, r->c));
}

const struct case_family pointwise_cases[OP_KINDS] = {
    [OP_GROUP_NORM] = {N_ROWS(group_norm_rows), group_norm_make},
    [OP_GROUP_NORM_GRAD] = {N_ROWS(group_norm_rows), group_norm_make},
    [OP_SILU] = {N_ROWS(elementwise_rows), elementwise_make},
    [OP_SILU_GRAD] = {N_ROWS(elementwise_rows), elementwise_make},
    [OP_RELU] = {N_ROWS(elementwise_rows), elementwise_make},
    [OP_FOURIER] = {N_ROWS(embedding_rows), embedding_make},
    [OP_POSITIONAL] = {N_ROWS(embedding_rows), embedding_make},
    [OP_ADD] = {N_ROWS(elementwise_rows), elementwise_make},
    [OP_AFFINE] = {N_ROWS(elementwise_rows), elementwise_make},
    [OP_MIX] = {N_ROWS(elementwise_rows), elementwise_make},
    [OP_MULTIPLY] = {N_ROWS(elementwise_rows), elementwise_make},
    [OP_NORMAL] = {N_ROWS(random_rows), random_make},
    [OP_DROPOUT_MASK] = {N_ROWS(random_rows), random_make},
    [OP_HALF_SQUARE] = {N_ROWS(elementwise_rows), half_square_make},
    [OP_HALF_SQUARE_GRAD] = {N_ROWS(elementwise_rows), half_square_make},
};
