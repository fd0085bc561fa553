#include "model/corruption_parts.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "engine/base/error.h"
#include "model/json_fields.h"

enum { HALF_SIZE_MAX = 4096 };

static const struct info {
    const char *name;
    enum corruption_kind kind;
} infos[CORRUPTIONS] = {
    [CORRUPTION_BLUR] = {"blur", CORRUPTION_SEPARABLE},
    [CORRUPTION_MASK] = {"mask", CORRUPTION_DIAGONAL},
    [CORRUPTION_NOISE] = {"noise", CORRUPTION_SCALAR},
    [CORRUPTION_VP] = {"vp", CORRUPTION_SCALAR},
    [CORRUPTION_SUBVP] = {"subvp", CORRUPTION_SCALAR},
    [CORRUPTION_FADE] = {"fade", CORRUPTION_SCALAR},
    [CORRUPTION_BLUR_DCT] = {"blur-dct", CORRUPTION_SEPARABLE},
    [CORRUPTION_PIXELATE] = {"pixelate", CORRUPTION_SEPARABLE},
    [CORRUPTION_MATRICES] = {"matrices", CORRUPTION_SEPARABLE},
    [CORRUPTION_PRODUCT] = {"product", CORRUPTION_COMPOSED},
};

/* ranks: of MASK_LIST. */
static int create_ranks(struct corruption *c, const json_t *ranks, struct error *err)
{
    c->rank = malloc((size_t)(c->h * c->w) * sizeof(*c->rank));
    if (!c->rank)
        return error_set(err, -ENOMEM, "out of memory for a mask of %d pixels", c->h * c->w);
    if (c->order == MASK_LIST)
        return mask_ranks_read(ranks, c->h, c->w, c->rank, err);
    mask_ranks_fill(c->order, c->seed, c->h, c->w, c->rank);
    return 0;
}

/* How often both sides can be halved. */
static int count_halvings(int h, int w)
{
    int n = 0;

    while (((h | w) >> n) % 2 == 0)
        n++;
    return n;
}

/* Fields that other readers take apart. */
struct members {
    const json_t *ranks, *matrices, *first, *second;
};

/* What is made of the fields. */
static int complete(struct corruption *c, const struct members *m, struct error *err)
{
    if (c->id == CORRUPTION_MASK)
        return create_ranks(c, m->ranks, err);
    if (c->id == CORRUPTION_MATRICES)
        return corruption_read_matrices(c, m->matrices, err);
    if (c->id == CORRUPTION_PRODUCT)
        return corruption_read_product(c, m->first, m->second, err);
    if (c->id == CORRUPTION_PIXELATE) {
        c->halvings = count_halvings(c->h, c->w);
        if (c->halvings == 0)
            return error_set(err, -EINVAL, "corruption: %d x %d px has no blocks to pixelate", c->h,
                             c->w);
    }
    return 0;
}

int corruption_create(const struct json_t *json, int h, int w, struct corruption **out,
                      struct error *err)
{
    const char *names[CORRUPTIONS];
    struct members m = {0};
    struct json_fields f;
    struct corruption *c;
    int id = 0, order = 0, rc;

    if (h < 1 || h > CORRUPTION_SIDE_MAX || w < 1 || w > CORRUPTION_SIDE_MAX)
        return error_set(err, -EINVAL, "corruption: %d x %d px is not within 1 .. %d", h, w,
                         CORRUPTION_SIDE_MAX);
    c = calloc(1, sizeof(*c));
    if (!c)
        return error_set(err, -ENOMEM, "out of memory for a corruption");
    for (int i = 0; i < CORRUPTIONS; i++)
        names[i] = infos[i].name;
    c->h = h;
    c->w = w;
    json_fields_begin(&f, json, "corruption", err);
    json_fields_choice(&f, "name", JSON_REQUIRED, CORRUPTIONS, names, &id);
    c->id = (enum corruption_id)id;
    if (c->id == CORRUPTION_BLUR)
        json_fields_int(&f, "half_size", JSON_REQUIRED, 0, HALF_SIZE_MAX, &c->half_size);
    if (c->id == CORRUPTION_MASK)
        json_fields_choice(&f, "order", JSON_REQUIRED, MASK_ORDERS, mask_order_names, &order);
    c->order = (enum mask_order)order;
    if (c->order == MASK_RANDOM)
        json_fields_int(&f, "seed", JSON_REQUIRED, 0, INT32_MAX, &c->seed);
    if (c->order == MASK_LIST)
        json_fields_value(&f, "ranks", JSON_REQUIRED, &m.ranks);
    if (c->id == CORRUPTION_MATRICES)
        json_fields_value(&f, "matrices", JSON_REQUIRED, &m.matrices);
    if (c->id == CORRUPTION_PRODUCT) {
        json_fields_value(&f, "first", JSON_REQUIRED, &m.first);
        json_fields_value(&f, "second", JSON_REQUIRED, &m.second);
    }
    rc = json_fields_end(&f);
    if (rc == 0)
        rc = complete(c, &m, err);
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
    for (int i = 0; i < 2; i++) {
        corruption_destroy(c->factors[i].corruption);
        free(c->factors[i].levels);
    }
    free(c->matrices);
    free(c->rank);
    free(c);
}

static json_t *ranks_to_json(const struct corruption *c)
{
    json_t *ranks = json_array();

    for (int i = 0; ranks && i < c->h * c->w; i++) {
        if (json_array_append_new(ranks, json_integer(c->rank[i])) < 0) {
            json_decref(ranks);
            return NULL;
        }
    }
    return ranks;
}

struct json_t *corruption_to_json(const struct corruption *c)
{
    const char *name = infos[c->id].name;

    if (c->id == CORRUPTION_BLUR)
        return json_pack("{s:s, s:i}", "name", name, "half_size", c->half_size);
    if (c->id == CORRUPTION_MATRICES)
        return json_pack("{s:s, s:o}", "name", name, "matrices", corruption_matrices_to_json(c));
    if (c->id == CORRUPTION_PRODUCT)
        return json_pack("{s:s, s:o, s:o}", "name", name, "first",
                         corruption_factor_to_json(&c->factors[0]), "second",
                         corruption_factor_to_json(&c->factors[1]));
    if (c->id != CORRUPTION_MASK)
        return json_pack("{s:s}", "name", name);
    if (c->order == MASK_RANDOM)
        return json_pack("{s:s, s:s, s:i}", "name", name, "order", mask_order_names[c->order],
                         "seed", c->seed);
    if (c->order == MASK_LIST)
        return json_pack("{s:s, s:s, s:o}", "name", name, "order", mask_order_names[c->order],
                         "ranks", ranks_to_json(c));
    return json_pack("{s:s, s:s}", "name", name, "order", mask_order_names[c->order]);
}

const char *corruption_name(const struct corruption *c)
{
    return infos[c->id].name;
}

enum corruption_kind corruption_kind(const struct corruption *c)
{
    return infos[c->id].kind;
}

size_t corruption_pixels(const struct corruption *c)
{
    return (size_t)c->h * (size_t)c->w;
}

double corruption_clean_level(const struct corruption *c)
{
    switch (corruption_kind(c)) {
    case CORRUPTION_SCALAR:
    case CORRUPTION_COMPOSED:
        return 1;
    case CORRUPTION_DIAGONAL:
        return (double)c->h * c->w;
    case CORRUPTION_SEPARABLE:
        break;
    }
    return 0;
}

double corruption_last_level(const struct corruption *c)
{
    if (c->id == CORRUPTION_PIXELATE)
        return c->halvings;
    if (c->id == CORRUPTION_MATRICES)
        return c->n_matrices - 1;
    return corruption_kind(c) == CORRUPTION_SEPARABLE ? INFINITY : 0;
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
    case CORRUPTION_COMPOSED:
        size[0] = 0;
        break;
    }
}

double corruption_scalar(const struct corruption *c, double level)
{
    return c->id == CORRUPTION_NOISE ? 1 : level;
}

double corruption_visible(const struct corruption *c, double level, int i)
{
    return fmin(fmax(level - c->rank[i], 0), 1);
}

void corruption_operator(const struct corruption *c, double level, float *first, float *second)
{
    switch (corruption_kind(c)) {
    case CORRUPTION_SCALAR:
        first[0] = (float)corruption_scalar(c, level);
        break;
    case CORRUPTION_DIAGONAL:
        for (int i = 0; i < c->h * c->w; i++)
            first[i] = (float)corruption_visible(c, level, i);
        break;
    case CORRUPTION_SEPARABLE:
        corruption_axis_floats(c, c->h, level, first);
        corruption_axis_floats(c, c->w, level, second);
        break;
    case CORRUPTION_COMPOSED:
        break;
    }
}
