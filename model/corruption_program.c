#include "model/corruption_parts.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/error.h"
#include "engine/parameters.h"
#include "engine/program.h"

enum { NAME_MAX_BYTES = 64 };

/* Declares one factor of an operator; too long a name fails in program_input(). */
static int factor_input(struct program *p, const char *name, const char *factor, int n)
{
    char full[NAME_MAX_BYTES];

    snprintf(full, sizeof(full), "%s.%s", name, factor);
    return program_input(p, full, shape_vectors(n), VALUE_EXACT);
}

/* Of all but products. */
static struct operator_values simple_inputs(const struct corruption *c, struct program *p,
                                            const char *name, bool gated)
{
    struct operator_values op = OPERATOR_NONE;

    if (corruption_kind(c) == CORRUPTION_SCALAR) {
        op.first = factor_input(p, name, "scale", 1);
        return op;
    }
    if (corruption_kind(c) == CORRUPTION_DIAGONAL || c->id == CORRUPTION_PIXELATE) {
        op.first = factor_input(p, name, "level", 2);
        return op;
    }
    if (c->id == CORRUPTION_MATRICES) {
        op.first = factor_input(p, name, "shares", 2);
        op.second = factor_input(p, name, "matrix", 1);
        op.third = factor_input(p, name, "next", 1);
        return op;
    }
    op.first = factor_input(p, name, "row", c->h);
    if (c->w != c->h)
        op.second = factor_input(p, name, "column", c->w);
    if (gated)
        op.gate = factor_input(p, name, "gate", 1);
    return op;
}

struct operator_values corruption_inputs(const struct corruption *c, struct program *p,
                                         const char *name, bool gated)
{
    struct operator_values op, inner;
    char full[NAME_MAX_BYTES];

    if (c->id != CORRUPTION_PRODUCT)
        return simple_inputs(c, p, name, gated);
    snprintf(full, sizeof(full), "%s.inner", name);
    inner = simple_inputs(c->factors[0].corruption, p, full, false);
    op = simple_inputs(c->factors[1].corruption, p, name, gated);
    op.inner[0] = inner.first;
    op.inner[1] = inner.second;
    op.inner[2] = inner.third;
    return op;
}

static int rank_table(const struct corruption *c, struct program *p, const char *name)
{
    return program_table(p, name, shape_constant(3, (const int[]){c->h, c->w, 1}));
}

static int haar_table(struct program *p, const char *name, int n)
{
    return program_table(p, name, shape_constant(2, (const int[]){n, n}));
}

/* In the basis of Haar's wavelets the means of blocks wipe out waves, those along each axis by
 * themselves. */
static int apply_pixelate(const struct corruption *c, struct program *p, int x, int level)
{
    int rows = haar_table(p, "haar.rows", c->h), columns = haar_table(p, "haar.columns", c->w);

    x = program_separable(p, x, rows, columns, false);
    x = program_multiply_rank(p, x, rank_table(c, p, "rank.rows"), level);
    x = program_multiply_rank(p, x, rank_table(c, p, "rank.columns"), level);
    return program_separable(p, x, rows, columns, true);
}

/* Both matrices are looked up, and the line between them is applied to both axes. */
static int apply_matrices(const struct corruption *c, struct program *p, int x,
                          const struct operator_values *op)
{
    int table =
        program_table(p, "matrices", shape_constant(3, (const int[]){c->n_matrices, c->h, c->h}));
    int pair[2] = {program_lookup(p, table, op->second), program_lookup(p, table, op->third)};
    int a = program_mix(p, op->first, 0, 2, pair, VALUE_EXACT);

    return program_separable(p, x, a, a, false);
}

static int apply_product(const struct corruption *c, struct program *p, int x,
                         const struct operator_values *op)
{
    struct operator_values inner = OPERATOR_NONE;

    inner.first = op->inner[0];
    inner.second = op->inner[1];
    inner.third = op->inner[2];
    x = corruption_apply(c->factors[0].corruption, p, x, &inner);
    return corruption_apply(c->factors[1].corruption, p, x, op);
}

int corruption_apply(const struct corruption *c, struct program *p, int x,
                     const struct operator_values *op)
{
    switch (corruption_kind(c)) {
    case CORRUPTION_SCALAR:
        return program_mix(p, op->first, 0, 1, &x, VALUE_EXACT);
    case CORRUPTION_DIAGONAL:
        return program_multiply_rank(p, x, rank_table(c, p, "rank"), op->first);
    case CORRUPTION_SEPARABLE:
        if (c->id == CORRUPTION_PIXELATE)
            return apply_pixelate(c, p, x, op->first);
        if (c->id == CORRUPTION_MATRICES)
            return apply_matrices(c, p, x, op);
        return program_toeplitz(p, x, op->first, op->second, op->gate,
                                c->id == CORRUPTION_BLUR_DCT);
    case CORRUPTION_COMPOSED:
        return apply_product(c, p, x, op);
    }
    return -1;
}

/* A level as the multiplication by ranks reads it. */
static void write_level(double level, float *out)
{
    out[0] = (float)floor(level);
    out[1] = (float)(level - floor(level));
}

/* How much of which matrices. */
static void write_place(const struct corruption *c, double level, float *const rows[3])
{
    double place = fmin(fmax(level, 0), c->n_matrices - 1);
    int k = place < c->n_matrices - 1 ? (int)place : c->n_matrices - 2;

    rows[0][0] = (float)(1 - (place - k));
    rows[0][1] = (float)(place - k);
    rows[1][0] = (float)k;
    rows[2][0] = (float)(k + 1);
}

static void write_separable(const struct corruption *c, double level, float *const rows[3])
{
    if (c->id == CORRUPTION_PIXELATE) {
        write_level(c->halvings + 1 - fmin(level, c->halvings), rows[0]);
    } else if (c->id == CORRUPTION_MATRICES) {
        write_place(c, level, rows);
    } else {
        corruption_axis_row(c, c->h, level, rows[0]);
        if (rows[1])
            corruption_axis_row(c, c->w, level, rows[1]);
    }
}

/* Of all but products. */
static void write_simple(const struct corruption *c, double level, float *const rows[3])
{
    switch (corruption_kind(c)) {
    case CORRUPTION_SCALAR:
        rows[0][0] = (float)corruption_scalar(c, level);
        break;
    case CORRUPTION_DIAGONAL:
        write_level(level, rows[0]);
        break;
    case CORRUPTION_SEPARABLE:
        write_separable(c, level, rows);
        break;
    case CORRUPTION_COMPOSED:
        break;
    }
}

void corruption_rows(const struct corruption *c, double level, const struct operator_rows *rows)
{
    if (c->id == CORRUPTION_PRODUCT) {
        write_simple(c->factors[0].corruption, corruption_factor_level(&c->factors[0], level),
                     rows->inner);
        write_simple(c->factors[1].corruption, corruption_factor_level(&c->factors[1], level),
                     rows->outer);
        return;
    }
    write_simple(c, level, rows->outer);
}

static int write_ranks(const struct corruption *c, struct parameters *parameters, struct error *err)
{
    size_t n = corruption_pixels(c);
    float *rank = malloc(n * sizeof(*rank));
    int rc;

    if (!rank)
        return error_set(err, -ENOMEM, "out of memory for the ranks of a mask");
    for (size_t i = 0; i < n; i++)
        rank[i] = (float)c->rank[i];
    rc = parameters_write_table(parameters, "rank", rank, err);
    free(rank);
    return rc;
}

/* The tables of one axis, which is that of the columns of a picture or that of its rows. */
static int write_haar(const struct corruption *c, bool columns, struct parameters *parameters,
                      struct error *err)
{
    int n = columns ? c->w : c->h, rc;
    float *matrix = malloc((size_t)n * (size_t)n * sizeof(*matrix));
    float *rank = malloc((size_t)n * sizeof(*rank));
    float *map = malloc(corruption_pixels(c) * sizeof(*map));

    if (matrix && rank && map) {
        corruption_haar(c, n, matrix, rank);
        for (int i = 0; i < c->h * c->w; i++)
            map[i] = rank[columns ? i % c->w : i / c->w];
        rc =
            parameters_write_table(parameters, columns ? "haar.columns" : "haar.rows", matrix, err);
        if (rc == 0)
            rc = parameters_write_table(parameters, columns ? "rank.columns" : "rank.rows", map,
                                        err);
    } else {
        rc = error_set(err, -ENOMEM, "out of memory for Haar's wavelets");
    }
    free(matrix);
    free(rank);
    free(map);
    return rc;
}

int corruption_write_tables(const struct corruption *c, struct parameters *parameters,
                            struct error *err)
{
    int rc;

    if (c->id == CORRUPTION_PRODUCT) {
        rc = corruption_write_tables(c->factors[0].corruption, parameters, err);
        return rc < 0 ? rc : corruption_write_tables(c->factors[1].corruption, parameters, err);
    }
    if (c->id == CORRUPTION_MATRICES)
        return parameters_write_table(parameters, "matrices", c->matrices, err);
    if (c->id == CORRUPTION_MASK)
        return write_ranks(c, parameters, err);
    if (c->id != CORRUPTION_PIXELATE)
        return 0;
    rc = write_haar(c, false, parameters, err);
    return rc < 0 ? rc : write_haar(c, true, parameters, err);
}
