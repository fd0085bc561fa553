#include "model/architecture.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/json_memory.h"
#include "model/json_fields.h"

enum { NETWORKS = 4 };

static const char *const network_names[NETWORKS] = {
    [NETWORK_NCSNPP] = "ncsnpp",
    [NETWORK_DDPMPP] = "ddpmpp",
    [NETWORK_DDPM] = "ddpm",
    [NETWORK_DDPM_ORIGINAL] = "ddpm_original",
};

static const char *const embedding_names[] = {
    [EMBEDDING_FOURIER] = "fourier",
    [EMBEDDING_POSITIONAL] = "positional",
};

bool network_is_ddpm(enum network n)
{
    return n == NETWORK_DDPM || n == NETWORK_DDPM_ORIGINAL;
}

const char *network_title(enum network n)
{
    static const char *const titles[NETWORKS] = {"NCSN++", "DDPM++", "DDPM as Song et al. have it",
                                                 "DDPM as Ho et al. have it"};

    return titles[n];
}

static int read_fields(const json_t *json, struct architecture *a, struct error *err)
{
    double fourier_scale = 16, dropout = 0.1;
    int embedding = EMBEDDING_FOURIER, network = NETWORK_NCSNPP;
    struct json_fields f;

    json_fields_begin(&f, json, "architecture", err);
    json_fields_choice(&f, "network", JSON_OPTIONAL, NETWORKS, network_names, &network);
    json_fields_int(&f, "image_size", JSON_REQUIRED, 4, 1024, &a->image_size);
    json_fields_int(&f, "num_channels", JSON_OPTIONAL, 1, 16, &a->num_channels);
    json_fields_int(&f, "nf", JSON_REQUIRED, 4, 1024, &a->nf);
    json_fields_ints(&f, "ch_mult", JSON_REQUIRED, 1, ARCHITECTURE_LEVELS_MAX, 1, 16, a->ch_mult,
                     &a->n_levels);
    json_fields_int(&f, "num_res_blocks", JSON_REQUIRED, 1, 16, &a->num_res_blocks);
    json_fields_ints(&f, "attn_resolutions", JSON_OPTIONAL, 0, ARCHITECTURE_LEVELS_MAX, 1, 1024,
                     a->attn_resolutions, &a->n_attn);
    json_fields_choice(&f, "embedding_type", JSON_OPTIONAL, 2, embedding_names, &embedding);
    json_fields_number(&f, "fourier_scale", JSON_OPTIONAL, 1e-3, 1e3, &fourier_scale);
    json_fields_bool(&f, "centered", JSON_OPTIONAL, &a->centered);
    json_fields_number(&f, "dropout", JSON_OPTIONAL, 0, 0.999, &dropout);
    json_fields_int(&f, "n_labels", JSON_OPTIONAL, 0, ARCHITECTURE_LABELS_MAX, &a->n_labels);
    json_fields_bool(&f, "augment", JSON_OPTIONAL, &a->augment);
    a->network = (enum network)network;
    a->embedding_type = (enum embedding_type)embedding;
    a->fourier_scale = (float)fourier_scale;
    a->dropout = (float)dropout;
    return json_fields_end(&f);
}

int architecture_from_json(const struct json_t *json, struct architecture *out, struct error *err)
{
    struct architecture a = {
        .num_channels = 3,
        .n_attn = 1,
        .attn_resolutions = {16},
    };
    int rc = read_fields(json, &a, err);

    if (rc < 0)
        return rc;
    if (a.nf % 4)
        return error_set(err, -EINVAL, "\"nf\" is %d, not a multiple of 4", a.nf);
    if (a.image_size % (1 << (a.n_levels - 1)))
        return error_set(err, -EINVAL, "\"image_size\" is %d, not divisible by 2^%d for %d levels",
                         a.image_size, a.n_levels - 1, a.n_levels);
    *out = a;
    return 0;
}

int architecture_parse(const char *text, struct architecture *out, struct error *err)
{
    json_error_t where;
    json_t *json = json_memory_load(text, strlen(text), JSON_REJECT_DUPLICATES, &where);
    int rc;

    if (!json)
        return json_refuse(&where, "architecture", err);
    rc = architecture_from_json(json, out, err);
    json_decref(json);
    return rc;
}

struct json_t *architecture_to_json(const struct architecture *a)
{
    /* clang-format off */
    json_t *json = json_pack("{s:i, s:i, s:i, s:o, s:i, s:o, s:s, s:o, s:b, s:o}",
                     "image_size", a->image_size,
                     "num_channels", a->num_channels,
                     "nf", a->nf,
                     "ch_mult", json_from_ints(a->ch_mult, a->n_levels),
                     "num_res_blocks", a->num_res_blocks,
                     "attn_resolutions", json_from_ints(a->attn_resolutions, a->n_attn),
                     "embedding_type", embedding_names[a->embedding_type],
                     "fourier_scale", json_from_float(a->fourier_scale),
                     "centered", a->centered,
                     "dropout", json_from_float(a->dropout));
    /* clang-format on */

    if ((a->network != NETWORK_NCSNPP &&
         json_object_set_new(json, "network", json_string(network_names[a->network])) < 0) ||
        (a->n_labels > 0 && json_object_set_new(json, "n_labels", json_integer(a->n_labels)) < 0) ||
        (a->augment && json_object_set_new(json, "augment", json_true()) < 0)) {
        json_decref(json);
        return NULL;
    }
    return json;
}
