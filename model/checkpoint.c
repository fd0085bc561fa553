#include "model/checkpoint.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/bf16.h"
#include "engine/base/error.h"
#include "engine/base/f16.h"
#include "engine/device.h"
#include "engine/program.h"
#include "model/digest.h"
#include "model/document.h"
#include "model/ncsnpp.h"
#include "model/safetensors.h"
#include "model/weights.h"

enum { NAME_SIZE = 128, TABLES_MAX = 6 };

/* Metadata key of the JSON document. */
static const char document_key[] = "softdiff";

void checkpoint_destroy(struct checkpoint *c)
{
    if (!c)
        return;
    formulation_fini(&c->formulation);
    free(c->licence);
    json_decref(c->provenance);
    json_decref(c->labels);
    json_decref(c->evidence);
    free(c->weights);
    free(c);
}

void checkpoint_drop_weights(struct checkpoint *c)
{
    free(c->weights);
    c->weights = NULL;
}

/* A program with nothing but the network: its parameters, in order, are the weights. */
static int network_create(const struct architecture *a, struct program **out, struct error *err)
{
    struct program *p;
    int x, time_cond, phi, rc = program_create(&p, err);

    if (rc < 0)
        return rc;
    x = program_input(p, "x", shape_images(a->image_size, a->image_size, a->num_channels),
                      VALUE_EXACT);
    time_cond = program_input(p, "time_cond", shape_vectors(1), VALUE_EXACT);
    rc = ncsnpp_append(p, a, x, time_cond, -1, -1, -1, NULL, &phi, err);
    if (rc < 0) {
        program_destroy(p);
        return rc;
    }
    *out = p;
    return 0;
}

/* One tensor of a checkpoint and where its numbers are kept. */
struct entry {
    char name[NAME_SIZE];
    int n_dims;
    size_t dims[SHAPE_DIMS_MAX];
    size_t count;                /* product of dims */
    float **table;               /* a table of the formulation, or NULL: */
    size_t offset;               /* a parameter, this far into the weights */
    enum safetensors_dtype type; /* that it may have instead of F32; F32: none */
    uint16_t *rounded;           /* owned: its numbers as that, or NULL */
};

/* All tensors of a checkpoint: the network's parameters in order, then the tables. */
struct layout {
    int n;
    struct entry *entries; /* owned */
    size_t n_weights;
};

static void layout_fini(struct layout *l)
{
    for (int i = 0; i < l->n; i++)
        free(l->entries[i].rounded);
    free(l->entries);
}

static void add_parameter(struct layout *l, const struct value *parameter)
{
    struct entry *e = &l->entries[l->n++];

    snprintf(e->name, sizeof(e->name), "net.%s", parameter->name);
    e->n_dims = parameter->shape.n_dims;
    for (int i = 0; i < e->n_dims; i++)
        e->dims[i] = (size_t)parameter->shape.dims[i];
    e->count = shape_count(&parameter->shape);
    e->type = SAFETENSORS_BF16;
    e->offset = l->n_weights;
    l->n_weights += e->count;
}

static void add_table(struct layout *l, const char *name, float **table, int n_dims,
                      const size_t *dims)
{
    struct entry *e = &l->entries[l->n++];

    snprintf(e->name, sizeof(e->name), "%s", name);
    e->n_dims = n_dims;
    e->type = SAFETENSORS_F32;
    e->count = 1;
    for (int i = 0; i < n_dims; i++) {
        e->dims[i] = dims[i];
        e->count *= dims[i];
    }
    e->table = table;
}

/* The tensors of a prior. */
enum prior_tensors { PRIOR_NONE, PRIOR_WITH_START, PRIOR_WITH_MODES };

static void add_tables(struct layout *l, struct formulation *f, enum prior_tensors prior)
{
    size_t side = (size_t)f->architecture.image_size;
    size_t channels = (size_t)f->architecture.num_channels;
    size_t n = channels * PRIOR_MODES * (PRIOR_MODES + 1) / 2;

    if (prior == PRIOR_WITH_START)
        add_table(l, "prior.start", &f->prior.start, 3, (size_t[]){side, side, channels});
    if (prior == PRIOR_WITH_MODES) {
        add_table(l, "prior.basis", &f->prior.basis, 2, (size_t[]){side, PRIOR_MODES});
        add_table(l, "prior.mean", &f->prior.mean, 1, (size_t[]){n});
        add_table(l, "prior.chol", &f->prior.chol, 2, (size_t[]){n, n});
    }
    if (f->output == OUTPUT_WIENER) {
        add_table(l, "wiener.mean", &f->wiener.mean, 3, (size_t[]){side, side, channels});
        add_table(l, "wiener.colors", &f->wiener.colors, 2, (size_t[]){channels, channels});
        add_table(l, "wiener.gain", &f->wiener.gain, 4,
                  (size_t[]){WIENER_TIMES, side, side, channels});
        l->entries[l->n - 1].type = SAFETENSORS_F16;
        add_table(l, "wiener.scale", &f->wiener.scale, 2, (size_t[]){WIENER_TIMES, 2});
    }
    if (f->output == OUTPUT_SCALED)
        add_table(l, "scaling.moments", &f->scaling.moments, 2, (size_t[]){SCALING_TIMES, 2});
}

static int layout_init(struct layout *l, struct formulation *f, enum prior_tensors prior,
                       struct error *err)
{
    struct program *p = NULL;
    int rc = network_create(&f->architecture, &p, err);

    *l = (struct layout){0};
    if (rc < 0)
        return rc;
    l->entries = calloc((size_t)(program_n_values(p) + TABLES_MAX), sizeof(*l->entries));
    if (l->entries) {
        for (int i = 0; i < program_n_values(p); i++) {
            if (program_value(p, i)->role == VALUE_PARAMETER)
                add_parameter(l, program_value(p, i));
        }
        add_tables(l, f, prior);
    }
    program_destroy(p);
    return l->entries ? 0 : error_set(err, -ENOMEM, "out of memory for the list of tensors");
}

/* Finds the tensor of an entry and compares shape and type. */
static int find_tensor(const struct safetensors *file, const struct entry *e,
                       const struct safetensors_tensor **out, struct error *err)
{
    const struct safetensors_tensor *tensor;
    int rc = weights_find(file, e->name, e->n_dims, e->dims, &tensor, err);

    if (rc < 0)
        return rc;
    if (tensor->dtype != SAFETENSORS_F32 && tensor->dtype != e->type)
        return error_set(err, -EINVAL, "tensor \"%s\" is of type %s", e->name,
                         safetensors_dtype_name(tensor->dtype));
    *out = tensor;
    return 0;
}

/* Names a tensor of the file that is not in the layout; there is one. */
static int unknown_tensor(const struct safetensors *file, const struct layout *l, struct error *err)
{
    const char *name = "";

    for (int i = 0; i < safetensors_n(file); i++) {
        bool known = false;

        name = safetensors_at(file, i)->name;
        for (int j = 0; j < l->n && !known; j++)
            known = strcmp(l->entries[j].name, name) == 0;
        if (!known)
            break;
    }
    return error_set(err, -EINVAL, "unknown tensor \"%.100s\"", name);
}

/* Everything is compared with the file before it sizes an allocation. */
static int read_tensors(const struct safetensors *file, const struct layout *l,
                        struct checkpoint *c, struct error *err)
{
    const struct safetensors_tensor *tensor;
    int rc = 0;

    for (int i = 0; rc == 0 && i < l->n; i++)
        rc = find_tensor(file, &l->entries[i], &tensor, err);
    if (rc < 0)
        return rc;
    if (safetensors_n(file) != l->n)
        return unknown_tensor(file, l, err);
    c->weights = malloc(l->n_weights * sizeof(*c->weights));
    if (!c->weights)
        return error_set(err, -ENOMEM, "out of memory for %zu weights", l->n_weights);
    c->n_weights = l->n_weights;
    for (int i = 0; i < l->n; i++) {
        const struct entry *e = &l->entries[i];
        float *to = e->table ? malloc(e->count * sizeof(*to)) : c->weights + e->offset;

        if (!to)
            return error_set(err, -ENOMEM, "out of memory for tensor \"%s\"", e->name);
        if (e->table)
            *e->table = to;
        rc = safetensors_read_floats(safetensors_find(file, e->name), to, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* The numbers of prior and wiener that are no tensors; and scales must be usable. */
static int complete_tables(struct formulation *f, enum prior_tensors prior, struct error *err)
{
    int side = f->architecture.image_size, channels = f->architecture.num_channels;

    f->prior.side = f->wiener.side = side;
    f->prior.channels = f->wiener.channels = channels;
    if (prior == PRIOR_WITH_MODES) {
        f->prior.n_modes = PRIOR_MODES;
        f->prior.n_coefficients = channels * PRIOR_MODES * (PRIOR_MODES + 1) / 2;
    }
    for (int i = 0; f->output == OUTPUT_WIENER && i < 2 * WIENER_TIMES; i++) {
        if (!(f->wiener.scale[i] > 0))
            return error_set(err, -EINVAL, "tensor \"wiener.scale\": element %d is not above 0", i);
    }
    for (int i = 0; f->output == OUTPUT_SCALED && i < 2 * SCALING_TIMES; i++) {
        if (!(f->scaling.moments[i] >= 0))
            return error_set(err, -EINVAL, "tensor \"scaling.moments\": element %d is below 0", i);
    }
    return 0;
}

/* By what is there; what should be there and is not is found missing later. Format 1 has no start. */
static enum prior_tensors prior_tensors_of_file(const struct safetensors *file,
                                                const struct formulation *f)
{
    if (safetensors_find(file, "prior.basis") || safetensors_find(file, "prior.mean") ||
        safetensors_find(file, "prior.chol"))
        return PRIOR_WITH_MODES;
    return f->sampling.refining_grid && safetensors_find(file, "prior.start") ? PRIOR_WITH_START
                                                                              : PRIOR_NONE;
}

/* Whether it never was a checkpoint: what lost its metadata alone still has a network. */
static bool is_something_else(const struct safetensors *file)
{
    static const char net[] = "net.";

    for (int i = 0; i < safetensors_n(file); i++)
        if (strncmp(safetensors_at(file, i)->name, net, sizeof(net) - 1) == 0)
            return false;
    return !safetensors_metadata(file, document_key);
}

int checkpoint_load(const char *path, struct checkpoint **out, struct error *err)
{
    struct safetensors *file = NULL;
    struct layout layout = {0};
    const void *bytes;
    size_t size;
    enum prior_tensors prior;
    struct checkpoint *c;
    int rc = safetensors_open(path, &file, err);

    if (rc < 0)
        return rc;
    c = calloc(1, sizeof(*c));
    if (!c) {
        safetensors_close(file);
        return error_set(err, -ENOMEM, "out of memory for checkpoint \"%s\"", path);
    }
    if (is_something_else(file))
        rc = error_set(err, -EMEDIUMTYPE,
                       "there is no \"softdiff\" in its metadata and no network that draws: it is "
                       "something else");
    else
        rc = document_read(safetensors_metadata(file, document_key), c, err);
    prior = prior_tensors_of_file(file, &c->formulation);
    if (rc == 0)
        rc = layout_init(&layout, &c->formulation, prior, err);
    if (rc == 0)
        rc = read_tensors(file, &layout, c, err);
    if (rc == 0)
        rc = complete_tables(&c->formulation, prior, err);
    if (rc == 0) {
        bytes = safetensors_bytes(file, &size);
        digest_of(bytes, size, c->digest);
        *out = c;
    } else {
        error_prefix(err, "checkpoint \"%s\": ", path);
        checkpoint_destroy(c);
    }
    layout_fini(&layout);
    safetensors_close(file);
    return rc;
}

static int check_finite(const struct entry *e, const float *values, struct error *err)
{
    for (size_t i = 0; i < e->count; i++) {
        if (!isfinite(values[i]))
            return error_set(err, -EINVAL, "tensor \"%s\": element %zu is not a finite number",
                             e->name, i);
    }
    return 0;
}

static bool are_f16(size_t n, const float *values)
{
    for (size_t i = 0; i < n; i++) {
        if (f16_to_float(f16_from_float(values[i])) != values[i])
            return false;
    }
    return true;
}

static int round_entry(struct entry *e, const float *values, struct error *err)
{
    e->rounded = malloc(e->count * sizeof(*e->rounded));
    if (!e->rounded)
        return error_set(err, -ENOMEM, "out of memory for tensor \"%s\"", e->name);
    for (size_t i = 0; i < e->count; i++)
        e->rounded[i] =
            e->type == SAFETENSORS_BF16 ? bf16_from_float(values[i]) : f16_from_float(values[i]);
    return 0;
}

/* Whether an entry is written as its other type: BF16 if asked for, F16 where this loses nothing. */
static bool is_rounded(const struct entry *e, const float *values, bool bf16)
{
    if (e->type == SAFETENSORS_BF16)
        return bf16;
    return e->type == SAFETENSORS_F16 && are_f16(e->count, values);
}

/* The tensors to be written. */
static int list_tensors(struct layout *l, const float *weights, bool bf16,
                        struct safetensors_tensor *tensors, struct error *err)
{
    for (int i = 0; i < l->n; i++) {
        struct entry *e = &l->entries[i];
        const float *values = e->table ? *e->table : weights + e->offset;
        int rc = check_finite(e, values, err);

        if (rc < 0)
            return rc;
        tensors[i] = (struct safetensors_tensor){.name = e->name,
                                                 .dtype = SAFETENSORS_F32,
                                                 .n_dims = e->n_dims,
                                                 .data = values};
        memcpy(tensors[i].dims, e->dims, sizeof(e->dims));
        if (!is_rounded(e, values, bf16))
            continue;
        rc = round_entry(e, values, err);
        if (rc < 0)
            return rc;
        tensors[i].dtype = e->type;
        tensors[i].data = e->rounded;
    }
    return 0;
}

static enum prior_tensors prior_tensors_of(const struct prior *prior)
{
    return prior->n_modes > 0 ? PRIOR_WITH_MODES : prior->start ? PRIOR_WITH_START : PRIOR_NONE;
}

int checkpoint_save(const char *path, const struct checkpoint *c, int bf16, struct error *err)
{
    struct formulation formulation = c->formulation; /* the layout points into it, read only */
    struct safetensors_tensor *tensors = NULL;
    struct layout layout = {0};
    char *document = NULL;
    int rc = document_write(c, &document, err);

    if (rc == 0)
        rc = layout_init(&layout, &formulation, prior_tensors_of(&formulation.prior), err);
    if (rc == 0 && layout.n_weights != c->n_weights)
        rc = error_set(err, -EINVAL, "%zu weights, the network has %zu", c->n_weights,
                       layout.n_weights);
    if (rc < 0)
        goto done;
    tensors = calloc((size_t)layout.n, sizeof(*tensors));
    rc = tensors ? list_tensors(&layout, c->weights, bf16 != 0, tensors, err)
                 : error_set(err, -ENOMEM, "out of memory");

done:
    if (rc < 0)
        error_prefix(err, "could not save \"%s\": ", path);
    else
        rc = safetensors_write(path, layout.n, tensors, 1,
                               (const char *const[][2]){{document_key, document}}, err);
    layout_fini(&layout);
    free(tensors);
    free(document);
    return rc;
}

/* Whether these are the bytes that c was loaded from. */
static bool is_source(const struct safetensors *file, const struct checkpoint *c)
{
    char text[DIGEST_TEXT];
    size_t size;
    const void *bytes = safetensors_bytes(file, &size);

    digest_of(bytes, size, text);
    return strcmp(text, c->digest) == 0;
}

int checkpoint_rewrite(const char *from, const char *to, const struct checkpoint *c,
                       struct error *err)
{
    struct formulation formulation = c->formulation; /* the layout points into it, read only */
    struct safetensors_tensor *tensors = NULL;
    struct safetensors *file = NULL;
    struct layout layout = {0};
    char *document = NULL;
    int rc = safetensors_open(from, &file, err);

    if (rc == 0 && !is_source(file, c))
        rc = error_set(err, -EINVAL, "\"%s\" has changed since it was read", from);
    if (rc == 0)
        rc = document_write(c, &document, err);
    if (rc == 0)
        rc = layout_init(&layout, &formulation, prior_tensors_of(&formulation.prior), err);
    if (rc < 0)
        goto done;
    tensors = calloc((size_t)layout.n, sizeof(*tensors));
    rc = tensors ? list_tensors(&layout, c->weights, false, tensors, err)
                 : error_set(err, -ENOMEM, "out of memory");
    for (int i = 0; rc == 0 && i < layout.n; i++) {
        const struct safetensors_tensor *old = safetensors_find(file, layout.entries[i].name);

        if (old)
            tensors[i] = *old;
    }
    if (rc == 0)
        rc = safetensors_write(to, layout.n, tensors, 1,
                               (const char *const[][2]){{document_key, document}}, err);

done:
    layout_fini(&layout);
    free(tensors);
    free(document);
    safetensors_close(file);
    return rc;
}
