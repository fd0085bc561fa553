/* Corruptions that are made of something given: matrices, and other corruptions. */
#include "model/corruption_parts.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "model/json_fields.h"

enum { MATRICES_MAX = 257 };

/* One matrix [n,n], symmetric, to out. */
static int read_matrix(const json_t *json, int n, int number, float *out, struct error *err)
{
    for (int i = 0; i < n * n; i++) {
        const json_t *item = json_array_get(json_array_get(json, (size_t)(i / n)), (size_t)(i % n));

        if (json_array_size(json) != (size_t)n ||
            json_array_size(json_array_get(json, (size_t)(i / n))) != (size_t)n)
            return error_set(err, -EINVAL,
                             "corruption: \"matrices\": matrix %d has not %d rows of %d numbers",
                             number, n, n);
        if (!json_is_number(item) || !(fabs(json_number_value(item)) <= 1e6))
            return error_set(err, -EINVAL,
                             "corruption: \"matrices\": matrix %d has something else than a number "
                             "at row %d",
                             number, i / n);
        out[i] = (float)json_number_value(item);
    }
    for (int i = 0; i < n * n; i++) {
        if (fabsf(out[i] - out[i % n * n + i / n]) > 1e-6f)
            return error_set(err, -EINVAL,
                             "corruption: \"matrices\": matrix %d is not symmetric at row %d",
                             number, i / n);
        if (number == 0 && out[i] != (i / n == i % n ? 1.0f : 0.0f))
            return error_set(err, -EINVAL,
                             "corruption: \"matrices\": the first is not the identity at row %d",
                             i / n);
    }
    return 0;
}

int corruption_read_matrices(struct corruption *c, const struct json_t *matrices, struct error *err)
{
    size_t n = json_array_size(matrices), size = (size_t)c->h * (size_t)c->h;
    int rc = 0;

    if (c->h != c->w)
        return error_set(err, -EINVAL,
                         "corruption: \"matrices\" are for square images, not %d x %d", c->h, c->w);
    if (n < 2 || n > MATRICES_MAX)
        return error_set(err, -EINVAL,
                         "corruption: \"matrices\" is not an array of 2 .. %d matrices",
                         MATRICES_MAX);
    c->matrices = malloc(n * size * sizeof(*c->matrices));
    if (!c->matrices)
        return error_set(err, -ENOMEM, "out of memory for %zu matrices", n);
    c->n_matrices = (int)n;
    for (size_t k = 0; k < n && rc == 0; k++)
        rc = read_matrix(json_array_get(matrices, k), c->h, (int)k, c->matrices + k * size, err);
    return rc;
}

struct json_t *corruption_matrices_to_json(const struct corruption *c)
{
    json_t *matrices = json_array();
    int rc = matrices ? 0 : -1;

    for (int k = 0; k < c->n_matrices && rc == 0; k++) {
        json_t *matrix = json_array();

        for (int i = 0; i < c->h && rc == 0; i++) {
            json_t *row = json_array();

            for (int j = 0; j < c->h && rc == 0; j++)
                rc = json_array_append_new(row,
                                           json_from_float(
                                               c->matrices[((size_t)k * (size_t)c->h + (size_t)i) *
                                                               (size_t)c->h +
                                                           (size_t)j]));
            rc |= json_array_append_new(matrix, row);
        }
        rc |= json_array_append_new(matrices, matrix);
    }
    if (rc == 0)
        return matrices;
    json_decref(matrices);
    return NULL;
}

static int read_levels(const json_t *json, const char *which, struct corruption_factor *f,
                       struct error *err)
{
    double clean = corruption_clean_level(f->corruption),
           last = corruption_last_level(f->corruption);
    size_t n = json_array_size(json);

    if (n < 2 || n > CORRUPTION_PATH_MAX)
        return error_set(err, -EINVAL,
                         "corruption: \"%s\": \"levels\" is not an array of 2 .. %d levels", which,
                         CORRUPTION_PATH_MAX);
    f->levels = calloc(n, sizeof(*f->levels));
    if (!f->levels)
        return error_set(err, -ENOMEM, "out of memory for %zu levels", n);
    f->n = (int)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(json, i);
        double level = json_number_value(item);

        if (!json_is_number(item) || !(level >= fmin(clean, last) && level <= fmax(clean, last)))
            return error_set(err, -EINVAL,
                             "corruption: \"%s\": \"%s\" has levels from %g to %g at this size, "
                             "element %zu is none",
                             which, corruption_name(f->corruption), clean, last, i);
        f->levels[i] = level;
    }
    if (f->levels[0] != clean)
        return error_set(err, -EINVAL,
                         "corruption: \"%s\": \"levels\" does not begin at %g, where "
                         "\"%s\" changes nothing",
                         which, clean, corruption_name(f->corruption));
    return 0;
}

static int read_factor(const json_t *json, const char *which, const struct corruption *c,
                       struct corruption_factor *f, struct error *err)
{
    const json_t *corruption = NULL, *levels = NULL;
    struct json_fields fields;
    int rc;

    json_fields_begin(&fields, json, which, err);
    json_fields_value(&fields, "corruption", JSON_REQUIRED, &corruption);
    json_fields_value(&fields, "levels", JSON_REQUIRED, &levels);
    rc = json_fields_end(&fields);
    if (rc == 0)
        rc = corruption_create(corruption, c->h, c->w, &f->corruption, err);
    if (rc < 0)
        return rc;
    if (f->corruption->id == CORRUPTION_PRODUCT || f->corruption->id == CORRUPTION_NOISE)
        return error_set(err, -EINVAL, "corruption: \"%s\": \"%s\" is no factor of a product",
                         which, corruption_name(f->corruption));
    return read_levels(levels, which, f, err);
}

static bool ends_with_nothing(const struct corruption_factor *f)
{
    return corruption_last_level(f->corruption) == 0 && f->levels[f->n - 1] == 0;
}

int corruption_read_product(struct corruption *c, const struct json_t *first,
                            const struct json_t *second, struct error *err)
{
    int rc = read_factor(first, "first", c, &c->factors[0], err);

    if (rc == 0)
        rc = read_factor(second, "second", c, &c->factors[1], err);
    if (rc < 0)
        return rc;
    if (c->factors[0].corruption->id == c->factors[1].corruption->id)
        return error_set(err, -EINVAL,
                         "corruption: a product has two different ones, not \"%s\" twice",
                         corruption_name(c->factors[0].corruption));
    if (!ends_with_nothing(&c->factors[0]) && !ends_with_nothing(&c->factors[1]))
        return error_set(err, -EINVAL,
                         "corruption: the product leaves something at its end: a mask or a fade "
                         "whose "
                         "\"levels\" end at 0 must be in it");
    return 0;
}

struct json_t *corruption_factor_to_json(const struct corruption_factor *f)
{
    return json_pack("{s:o, s:o}", "corruption", corruption_to_json(f->corruption), "levels",
                     json_from_doubles(f->levels, f->n));
}

double corruption_factor_level(const struct corruption_factor *f, double level)
{
    double place = (1 - fmin(fmax(level, 0), 1)) * (f->n - 1);
    int i = place < f->n - 1 ? (int)place : f->n - 2;

    return f->levels[i] + (place - i) * (f->levels[i + 1] - f->levels[i]);
}
