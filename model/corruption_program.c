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

struct operator_values corruption_inputs(const struct corruption *c, struct program *p,
                                         const char *name, bool gated)
{
    struct operator_values op = {-1, -1, -1};

    if (corruption_kind(c) == CORRUPTION_SCALAR) {
        op.first = factor_input(p, name, "scale", 1);
        return op;
    }
    if (corruption_kind(c) == CORRUPTION_DIAGONAL || c->id == CORRUPTION_PIXELATE) {
        op.first = factor_input(p, name, "level", 2);
        return op;
    }
    op.first = factor_input(p, name, "row", c->h);
    if (c->w != c->h)
        op.second = factor_input(p, name, "column", c->w);
    if (gated)
        op.gate = factor_input(p, name, "gate", 1);
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
        return program_toeplitz(p, x, op->first, op->second, op->gate,
                                c->id == CORRUPTION_BLUR_DCT);
    }
    return -1;
}

/* A level as the multiplication by ranks reads it. */
static void write_level(double level, float *out)
{
    out[0] = (float)floor(level);
    out[1] = (float)(level - floor(level));
}

void corruption_rows(const struct corruption *c, double level, float *first, float *second)
{
    switch (corruption_kind(c)) {
    case CORRUPTION_SCALAR:
        first[0] = (float)corruption_scalar(c, level);
        break;
    case CORRUPTION_DIAGONAL:
        write_level(level, first);
        break;
    case CORRUPTION_SEPARABLE:
        if (c->id == CORRUPTION_PIXELATE) {
            write_level(c->halvings + 1 - fmin(level, c->halvings), first);
            break;
        }
        corruption_axis_row(c, c->h, level, first);
        if (second)
            corruption_axis_row(c, c->w, level, second);
        break;
    }
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

    if (c->id == CORRUPTION_MASK)
        return write_ranks(c, parameters, err);
    if (c->id != CORRUPTION_PIXELATE)
        return 0;
    rc = write_haar(c, false, parameters, err);
    return rc < 0 ? rc : write_haar(c, true, parameters, err);
}
