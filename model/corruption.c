#include "model/corruption.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/parameters.h"
#include "engine/program.h"
#include "model/json_fields.h"

enum { SIDE_MAX = 4096, HALF_SIZE_MAX = 4096, NAME_MAX_BYTES = 64 };

enum name { NAME_BLUR, NAME_MASK, NAME_NOISE, NAME_VP, NAME_SUBVP, NAMES };

static const char *const names[NAMES] = {
    [NAME_BLUR] = "blur", [NAME_MASK] = "mask",   [NAME_NOISE] = "noise",
    [NAME_VP] = "vp",     [NAME_SUBVP] = "subvp",
};

static const char *const order_names[] = {
    [MASK_SPIRAL] = "spiral",
    [MASK_RANDOM] = "random",
    [MASK_ROWS] = "rows",
};

struct corruption {
    enum name name;
    int h, w;
    int half_size;         /* blur */
    enum mask_order order; /* mask */
    int seed;              /* mask, MASK_RANDOM */
    int *rank;             /* mask: owned, [h,w], a permutation of 0 .. h w - 1 */
};

/* Numbers the pixels along a square spiral from the centre outwards; steps outside the image are
 * walked but not counted. */
static void rank_spiral(struct corruption *c)
{
    static const int direction[4][2] = {{0, 1}, {1, 0}, {0, -1}, {-1, 0}};
    int y = (c->h - 1) / 2, x = (c->w - 1) / 2;
    int n = 0;

    c->rank[y * c->w + x] = n++;
    for (int leg = 0; n < c->h * c->w; leg++) {
        for (int i = 0; i < leg / 2 + 1; i++) {
            y += direction[leg % 4][0];
            x += direction[leg % 4][1];
            if (y >= 0 && y < c->h && x >= 0 && x < c->w)
                c->rank[y * c->w + x] = n++;
        }
    }
}

/* A permutation by Fisher and Yates's shuffle, the same on every machine. */
static void rank_random(struct corruption *c)
{
    struct philox_key key = philox_key((uint64_t)c->seed, 0, 0);
    int n = c->h * c->w;

    for (int i = 0; i < n; i++)
        c->rank[i] = i;
    for (int i = n - 1; i > 0; i--) {
        uint32_t words[4];
        int j, swap;

        philox_block(&key, PHILOX_STREAM_INIT, (uint32_t)i, words);
        j = (int)(((uint64_t)words[0] * (uint64_t)(i + 1)) >> 32);
        swap = c->rank[i];
        c->rank[i] = c->rank[j];
        c->rank[j] = swap;
    }
}

static int create_ranks(struct corruption *c, struct error *err)
{
    int n = c->h * c->w;

    c->rank = malloc((size_t)n * sizeof(*c->rank));
    if (!c->rank)
        return error_set(err, -ENOMEM, "out of memory for a mask of %d pixels", n);
    switch (c->order) {
    case MASK_SPIRAL:
        rank_spiral(c);
        break;
    case MASK_RANDOM:
        rank_random(c);
        break;
    case MASK_ROWS:
        for (int i = 0; i < n; i++)
            c->rank[i] = i;
        break;
    }
    return 0;
}

int corruption_create(const struct json_t *json, int h, int w, struct corruption **out,
                      struct error *err)
{
    struct json_fields f;
    struct corruption *c;
    int name = 0, order = 0, rc;

    if (h < 1 || h > SIDE_MAX || w < 1 || w > SIDE_MAX)
        return error_set(err, -EINVAL, "corruption: %d x %d px is not within 1 .. %d", h, w,
                         SIDE_MAX);
    c = calloc(1, sizeof(*c));
    if (!c)
        return error_set(err, -ENOMEM, "out of memory for a corruption");
    c->h = h;
    c->w = w;
    json_fields_begin(&f, json, "corruption", err);
    json_fields_choice(&f, "name", JSON_REQUIRED, NAMES, names, &name);
    c->name = (enum name)name;
    if (c->name == NAME_BLUR)
        json_fields_int(&f, "half_size", JSON_REQUIRED, 0, HALF_SIZE_MAX, &c->half_size);
    if (c->name == NAME_MASK)
        json_fields_choice(&f, "order", JSON_REQUIRED, 3, order_names, &order);
    c->order = (enum mask_order)order;
    if (c->order == MASK_RANDOM)
        json_fields_int(&f, "seed", JSON_REQUIRED, 0, INT32_MAX, &c->seed);
    rc = json_fields_end(&f);
    if (rc == 0 && c->name == NAME_MASK)
        rc = create_ranks(c, err);
    if (rc < 0) {
        corruption_destroy(c);
        return rc;
    }
    *out = c;
    return 0;
}

void corruption_destroy(struct corruption *c)
{
    if (!c)
        return;
    free(c->rank);
    free(c);
}

struct json_t *corruption_to_json(const struct corruption *c)
{
    const char *name = names[c->name];

    if (c->name == NAME_BLUR)
        return json_pack("{s:s, s:i}", "name", name, "half_size", c->half_size);
    if (c->name == NAME_MASK && c->order == MASK_RANDOM)
        return json_pack("{s:s, s:s, s:i}", "name", name, "order", order_names[c->order], "seed",
                         c->seed);
    if (c->name == NAME_MASK)
        return json_pack("{s:s, s:s}", "name", name, "order", order_names[c->order]);
    return json_pack("{s:s}", "name", name);
}

const char *corruption_name(const struct corruption *c)
{
    return names[c->name];
}

enum corruption_kind corruption_kind(const struct corruption *c)
{
    if (c->name == NAME_BLUR)
        return CORRUPTION_SEPARABLE;
    return c->name == NAME_MASK ? CORRUPTION_DIAGONAL : CORRUPTION_SCALAR;
}

size_t corruption_pixels(const struct corruption *c)
{
    return (size_t)c->h * (size_t)c->w;
}

double corruption_clean_level(const struct corruption *c)
{
    if (c->name == NAME_BLUR)
        return 0;
    return c->name == NAME_MASK ? (double)c->h * c->w : 1;
}

void corruption_operator_sizes(const struct corruption *c, size_t size[2])
{
    size_t h = (size_t)c->h, w = (size_t)c->w;

    size[1] = 0;
    switch (corruption_kind(c)) {
    case CORRUPTION_SCALAR:
        size[0] = 1;
        break;
    case CORRUPTION_DIAGONAL:
        size[0] = h * w;
        break;
    case CORRUPTION_SEPARABLE:
        size[0] = h * h;
        size[1] = w * w;
        break;
    }
}

/* exp(-k^2 / 2 std^2); written so that a std of 0 or a tiny one gives 1 at k = 0 and 0 elsewhere
 * instead of 0/0. */
static double gaussian(int k, double std)
{
    double z = k == 0 ? 0 : k / std;

    return exp(-0.5 * z * z);
}

/* Z of the kernel: the sum of its weights before they are normalised. */
static double gaussian_sum(double std, int half_size)
{
    double sum = 1;

    for (int k = 1; k <= half_size; k++)
        sum += 2 * gaussian(k, std);
    return sum;
}

void corruption_blur_row(int n, double std, int half_size, float *out)
{
    double sum = gaussian_sum(std, half_size);

    for (int k = 0; k < n; k++)
        out[k] = k <= half_size ? (float)(gaussian(k, std) / sum) : 0;
}

void corruption_blur_matrix(int n, double std, int half_size, float *out)
{
    double sum = gaussian_sum(std, half_size);

    for (int k = 0; k < n; k++) { /* the two diagonals at distance k */
        float weight = k <= half_size ? (float)(gaussian(k, std) / sum) : 0;

        for (int i = 0; i + k < n; i++) {
            out[(size_t)i * (size_t)n + (size_t)(i + k)] = weight;
            out[(size_t)(i + k) * (size_t)n + (size_t)i] = weight;
        }
    }
}

static float scalar_of(const struct corruption *c, double level)
{
    return c->name == NAME_NOISE ? 1 : (float)level;
}

/* How much of pixel i a mask leaves. */
static double visible(const struct corruption *c, double level, int i)
{
    return fmin(fmax(level - c->rank[i], 0), 1);
}

void corruption_operator(const struct corruption *c, double level, float *first, float *second)
{
    switch (corruption_kind(c)) {
    case CORRUPTION_SCALAR:
        first[0] = scalar_of(c, level);
        break;
    case CORRUPTION_DIAGONAL:
        for (int i = 0; i < c->h * c->w; i++)
            first[i] = (float)visible(c, level, i);
        break;
    case CORRUPTION_SEPARABLE:
        corruption_blur_matrix(c->h, level, c->half_size, first);
        corruption_blur_matrix(c->w, level, c->half_size, second);
        break;
    }
}

/* Declares one factor of an operator; too long a name fails in program_input(). */
static int factor_input(struct program *p, const char *name, const char *factor, struct shape shape)
{
    char full[NAME_MAX_BYTES];

    snprintf(full, sizeof(full), "%s.%s", name, factor);
    return program_input(p, full, shape, VALUE_EXACT);
}

struct operator_values corruption_inputs(const struct corruption *c, struct program *p,
                                         const char *name, bool gated)
{
    struct operator_values op = {-1, -1, -1};

    switch (corruption_kind(c)) {
    case CORRUPTION_SCALAR:
        op.first = factor_input(p, name, "scale", shape_vectors(1));
        break;
    case CORRUPTION_DIAGONAL:
        op.first = factor_input(p, name, "level", shape_vectors(2));
        break;
    case CORRUPTION_SEPARABLE:
        op.first = factor_input(p, name, "row", shape_vectors(c->h));
        if (c->w != c->h)
            op.second = factor_input(p, name, "column", shape_vectors(c->w));
        if (gated)
            op.gate = factor_input(p, name, "gate", shape_vectors(1));
        break;
    }
    return op;
}

int corruption_apply(const struct corruption *c, struct program *p, int x,
                     const struct operator_values *op)
{
    switch (corruption_kind(c)) {
    case CORRUPTION_SCALAR:
        return program_mix(p, op->first, 0, 1, &x, VALUE_EXACT);
    case CORRUPTION_DIAGONAL:
        return program_multiply_rank(p, x,
                                     program_table(p, "rank",
                                                   shape_constant(3, (const int[]){c->h, c->w, 1})),
                                     op->first);
    case CORRUPTION_SEPARABLE:
        return program_toeplitz(p, x, op->first, op->second, op->gate, false);
    }
    return -1;
}

void corruption_rows(const struct corruption *c, double level, float *first, float *second)
{
    switch (corruption_kind(c)) {
    case CORRUPTION_SCALAR:
        first[0] = scalar_of(c, level);
        break;
    case CORRUPTION_DIAGONAL:
        first[0] = (float)floor(level);
        first[1] = (float)(level - floor(level));
        break;
    case CORRUPTION_SEPARABLE:
        corruption_blur_row(c->h, level, c->half_size, first);
        if (second)
            corruption_blur_row(c->w, level, c->half_size, second);
        break;
    }
}

int corruption_write_tables(const struct corruption *c, struct parameters *parameters,
                            struct error *err)
{
    size_t n = corruption_pixels(c);
    float *rank;
    int rc;

    if (corruption_kind(c) != CORRUPTION_DIAGONAL)
        return 0;
    rank = malloc(n * sizeof(*rank));
    if (!rank)
        return error_set(err, -ENOMEM, "out of memory for the ranks of a mask");
    for (size_t i = 0; i < n; i++)
        rank[i] = (float)c->rank[i];
    rc = parameters_write_table(parameters, "rank", rank, err);
    free(rank);
    return rc;
}

struct corruption_matrices {
    const struct corruption *corruption;
    double level;
    int channels;
    double *a, *b; /* separable: [h,h] and [w,w], owned */
    double *row;   /* separable: [2,w,channels] of scratch, owned */
};

/* corruption_blur_matrix() in double, new. */
static double *blur_matrix(int n, double std, int half_size)
{
    double *out = malloc((size_t)n * (size_t)n * sizeof(*out));
    double sum = gaussian_sum(std, half_size);

    for (int k = 0; out && k < n; k++) {
        double weight = k <= half_size ? gaussian(k, std) / sum : 0;

        for (int i = 0; i + k < n; i++) {
            out[(size_t)i * (size_t)n + (size_t)(i + k)] = weight;
            out[(size_t)(i + k) * (size_t)n + (size_t)i] = weight;
        }
    }
    return out;
}

int corruption_matrices_create(const struct corruption *c, double level, int channels,
                               struct corruption_matrices **out, struct error *err)
{
    struct corruption_matrices *m = calloc(1, sizeof(*m));

    if (!m)
        return error_set(err, -ENOMEM, "out of memory for \"%s\"", corruption_name(c));
    m->corruption = c;
    m->level = level;
    m->channels = channels;
    if (corruption_kind(c) == CORRUPTION_SEPARABLE) {
        m->a = blur_matrix(c->h, level, c->half_size);
        m->b = blur_matrix(c->w, level, c->half_size);
        m->row = malloc(2 * (size_t)c->w * (size_t)channels * sizeof(*m->row));
        if (!m->a || !m->b || !m->row) {
            corruption_matrices_destroy(m);
            return error_set(err, -ENOMEM, "out of memory for \"%s\"", corruption_name(c));
        }
    }
    *out = m;
    return 0;
}

void corruption_matrices_destroy(struct corruption_matrices *m)
{
    if (!m)
        return;
    free(m->a);
    free(m->b);
    free(m->row);
    free(m);
}

/* y = A X B^T per channel, row by row. In between a row is kept channel by channel, so that both
 * loops that matter run over neighbours in memory. */
static void apply_separable(struct corruption_matrices *m, const float *x, double *y)
{
    size_t h = (size_t)m->corruption->h, w = (size_t)m->corruption->w;
    size_t channels = (size_t)m->channels, width = w * channels;
    double *mixed = m->row, *planar = m->row + width;

    for (size_t i = 0; i < h; i++) {
        memset(m->row, 0, 2 * width * sizeof(*m->row));
        for (size_t k = 0; k < h; k++) {
            double weight = m->a[i * h + k];

            if (weight == 0) /* most of a mild blur */
                continue;
            for (size_t e = 0; e < width; e++)
                mixed[e] += weight * x[k * width + e];
        }
        for (size_t ch = 0; ch < channels; ch++) {
            for (size_t k = 0; k < w; k++) {
                const double *b = m->b + k * w; /* B is symmetric: a row is a column */
                double pixel = mixed[k * channels + ch];

                for (size_t j = 0; j < w; j++)
                    planar[ch * w + j] += pixel * b[j];
            }
            for (size_t j = 0; j < w; j++)
                y[i * width + j * channels + ch] = planar[ch * w + j];
        }
    }
}

void corruption_matrices_apply(struct corruption_matrices *m, const float *x, double *y)
{
    const struct corruption *c = m->corruption;
    size_t channels = (size_t)m->channels, pixels = corruption_pixels(c);

    switch (corruption_kind(c)) {
    case CORRUPTION_SCALAR:
        for (size_t i = 0; i < pixels * channels; i++)
            y[i] = c->name == NAME_NOISE ? x[i] : m->level * x[i];
        break;
    case CORRUPTION_DIAGONAL:
        for (size_t i = 0; i < pixels * channels; i++)
            y[i] = visible(c, m->level, (int)(i / channels)) * x[i];
        break;
    case CORRUPTION_SEPARABLE:
        apply_separable(m, x, y);
        break;
    }
}

int corruption_apply_host(const struct corruption *c, double level, int channels, const float *x,
                          float *y, struct error *err)
{
    size_t n = corruption_pixels(c) * (size_t)channels;
    double *exact = malloc(n * sizeof(*exact));
    struct corruption_matrices *m = NULL;
    int rc;

    if (!exact)
        return error_set(err, -ENOMEM, "out of memory to apply \"%s\"", corruption_name(c));
    rc = corruption_matrices_create(c, level, channels, &m, err);
    if (rc == 0) {
        corruption_matrices_apply(m, x, exact);
        for (size_t i = 0; i < n; i++)
            y[i] = (float)exact[i];
    }
    corruption_matrices_destroy(m);
    free(exact);
    return rc;
}
