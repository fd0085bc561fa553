/* Cases of the operations that read short rows, a few numbers for each image, and tables. */
#include "tests/conformance/case_parts.h"

#include <math.h>
#include <stdio.h>

#define N_ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

static struct tensor_desc desc(int n, int n_dims, int d0, int d1, int d2, int d3)
{
    return (struct tensor_desc){
        .dtype = DTYPE_F32,
        .shape = {.batched = n > 0, .n_dims = n_dims, .dims = {d0, d1, d2, d3}},
        .n = n > 0 ? n : 1,
    };
}

static void absent(struct op_case *c)
{
    c->spec.inputs[c->spec.n_inputs++].absent = true;
}

static const struct fill gate = {.below = 2};

static const struct toeplitz_row {
    int n, h, w, c;
    bool one; /* no row for the width */
    bool gated, reflect;
    float scale; /* of x */
} toeplitz_rows[] = {
    {3, 7, 9, 3, false, true, false, 1},     {3, 8, 8, 3, true, false, false, 1},
    {3, 8, 8, 3, true, true, true, 1},       {1, 5, 4, 5, false, false, true, 1},
    {1, 1, 1, 3, true, false, true, 1},      {2, 32, 32, 3, true, true, false, 1},
    {1, 64, 64, 3, true, false, false, 1},   {1, 64, 64, 3, true, false, true, 1},
    {1, 6, 6, 1, true, false, false, 0},     {1, 6, 6, 3, true, false, false, 1e15f},
    {1, 6, 6, 3, true, false, true, 1e-30f},
};

static void toeplitz_make(enum op_kind kind, int index, enum dtype compute, struct op_case *c)
{
    const struct toeplitz_row *r = &toeplitz_rows[index];
    const struct tensor_desc x = desc(r->n, 3, r->h, r->w, r->c, 0);
    const struct fill weights = {.scale = 1 / sqrtf((float)r->h)};

    c->spec.attributes.toeplitz.reflect = r->reflect;
    c->flops = 2.0 * r->n * r->c * r->h * r->w * (r->h + r->w);
    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d%s%s", r->n, r->h, r->w, r->c,
             r->one ? ", one row" : "", r->reflect ? ", reflected" : "");
    case_input(c, x, (struct fill){.scale = r->scale});
    case_input(c, desc(r->n, 1, r->h, 0, 0, 0), weights);
    if (r->one)
        absent(c);
    else
        case_input(c, desc(r->n, 1, r->w, 0, 0, 0), weights);
    if (r->gated)
        case_input(c, desc(r->n, 1, 1, 0, 0, 0), gate);
    else
        absent(c);
    case_output(c, x);
}

static const struct table_row {
    int n, h, w, c, k;
    bool shared; /* one factor for all channels */
} table_rows[] = {
    {3, 7, 9, 5, 4, false}, {3, 8, 8, 3, 129, false}, {1, 1, 1, 3, 2, true},
    {3, 4, 6, 3, 5, true},  {1, 32, 32, 3, 9, false},
};

static void multiply_table_make(enum op_kind kind, int index, enum dtype compute, struct op_case *c)
{
    const struct table_row *r = &table_rows[index];
    const struct tensor_desc x = desc(r->n, 3, r->h, r->w, r->c, 0);

    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d, %d entries", r->n, r->h, r->w, r->c, r->k);
    case_input(c, x, unit_fill);
    case_input(c, desc(0, 4, r->k, r->h, r->w, r->shared ? 1 : r->c), unit_fill);
    case_input(c, desc(r->n, 1, 2, 0, 0, 0), (struct fill){.below = r->k - 1, .pairs = true});
    case_output(c, x);
}

static const struct rank_row {
    int n, h, w, c;
} rank_rows[] = {{3, 7, 9, 5}, {3, 8, 8, 3}, {1, 1, 1, 1}, {1, 32, 32, 3}};

static void multiply_rank_make(enum op_kind kind, int index, enum dtype compute, struct op_case *c)
{
    const struct rank_row *r = &rank_rows[index];
    const struct tensor_desc x = desc(r->n, 3, r->h, r->w, r->c, 0);
    const int pixels = r->h * r->w;

    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d", r->n, r->h, r->w, r->c);
    case_input(c, x, unit_fill);
    case_input(c, desc(0, 3, r->h, r->w, 1, 0), (struct fill){.below = pixels});
    case_input(c, desc(r->n, 1, 2, 0, 0, 0), (struct fill){.below = pixels, .pairs = true});
    case_output(c, x);
}

static const struct modes_row {
    int n, side, c, modes;
} modes_rows[] = {{3, 7, 2, 3}, {3, 8, 3, 5}, {1, 1, 1, 1}, {1, 64, 3, 5}};

static void modes_make(enum op_kind kind, int index, enum dtype compute, struct op_case *c)
{
    const struct modes_row *r = &modes_rows[index];
    const struct tensor_desc x = desc(r->n, 3, r->side, r->side, r->c, 0);
    const int pairs = r->modes * (r->modes + 1) / 2;

    snprintf(c->text, sizeof(c->text), "%dx%dx%dx%d, %d modes", r->n, r->side, r->side, r->c,
             r->modes);
    case_input(c, x, unit_fill);
    case_input(c, desc(r->n, 1, r->c * pairs, 0, 0, 0), unit_fill);
    case_input(c, desc(0, 2, r->side, r->modes, 0, 0), unit_fill);
    case_output(c, x);
}

static const struct lookup_row {
    int n, rows, h, w, c; /* c 0: vectors of h; rows 0: a table of one, without an index */
} lookup_rows[] = {{3, 5, 7, 0, 0}, {3, 11, 128, 0, 0}, {3, 4, 3, 5, 2}, {1, 1, 1, 0, 0}};

static struct tensor_desc rows_of(const struct lookup_row *r, int n, int rows)
{
    if (rows)
        return r->c ? desc(0, 4, rows, r->h, r->w, r->c) : desc(0, 2, rows, r->h, 0, 0);
    return r->c ? desc(n, 3, r->h, r->w, r->c, 0) : desc(n, 1, r->h, 0, 0, 0);
}

static void lookup_make(enum op_kind kind, int index, enum dtype compute, struct op_case *c)
{
    const struct lookup_row *r = &lookup_rows[index];
    const bool grad = kind == OP_LOOKUP_GRAD;

    snprintf(c->text, sizeof(c->text), "%d of %d rows, %dx%dx%d", r->n, r->rows, r->h, r->w, r->c);
    if (!grad)
        case_input(c, rows_of(r, 0, r->rows), unit_fill);
    case_input(c, desc(r->n, 1, 1, 0, 0, 0), (struct fill){.below = r->rows});
    if (grad)
        case_input(c, rows_of(r, r->n, 0), unit_fill);
    c->spec.attributes.slice.count = grad ? r->rows : 0;
    case_output(c, grad ? rows_of(r, 0, r->rows) : rows_of(r, r->n, 0));
}

const struct case_family row_cases[OP_KINDS] = {
    [OP_TOEPLITZ] = {N_ROWS(toeplitz_rows), toeplitz_make},
    [OP_MULTIPLY_TABLE] = {N_ROWS(table_rows), multiply_table_make},
    [OP_MULTIPLY_RANK] = {N_ROWS(rank_rows), multiply_rank_make},
    [OP_MODES] = {N_ROWS(modes_rows), modes_make},
    [OP_LOOKUP] = {N_ROWS(lookup_rows), lookup_make},
    [OP_LOOKUP_GRAD] = {N_ROWS(lookup_rows), lookup_make},
};
