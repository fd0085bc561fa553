#include "server/describe.h"

#include "api/limits.h"
#include "api/problem.h"
#include "api/query.h"
#include "config/settings.h"
#include "engine/base/json_memory.h"
#include "engine/device.h"
#include "model/formulation.h"
#include "model/sampling.h"
#include "server/admission.h"
#include "server/batches.h"
#include "server/daemon.h"
#include "server/drawing.h"
#include "server/engine_model.h"
#include "server/engines.h"
#include "server/listener.h"
#include "server/models.h"
#include "server/selection.h"

#include <jansson.h>
#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <uv.h>

static char *to_text(json_t *json)
{
    return json_memory_dump(json, JSON_COMPACT | JSON_REAL_PRECISION(6));
}

/* Which of the devices work, and what they do. */
static json_t *devices_to_json(const struct daemon *d)
{
    json_t *list = json_array();
    struct engine_stats stats;

    for (int i = 0; i < engines_count(d->engines); i++) {
        engines_stats_of(d->engines, i, &stats);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name",
                                              engines_name(d->engines, i), "device",
                                              stats.state == ENGINE_LOADING
                                                  ? ""
                                                  : engines_device(d->engines, i),
                                              "state",
                                              stats.state == ENGINE_LOADING  ? "loading"
                                              : stats.state == ENGINE_FAILED ? "failed"
                                              : stats.stalled                ? "stalled"
                                                                             : "ready"));
    }
    return list;
}

char *describe_version(const struct daemon *d)
{
    return to_text(json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "name", "softdiffd", "version",
                             SOFTDIFF_VERSION, "libmicrohttpd", listener_library_version(), "libuv",
                             uv_version_string(), "note", DEVICE_CUDA_NOTE, "devices",
                             devices_to_json(d)));
}

char *describe_state(const struct daemon *d)
{
    bool loading = d->phase == DAEMON_LOADING;
    int n_models = loading ? d->n_models : models_count(d->models);
    json_t *unhealthy = json_array(), *failed = json_array();
    struct engine_stats stats;
    for (int i = 0; !loading && i < n_models; i++) {
        const struct engine_model *m = models_at(d->models, i);

        if (atomic_load(&m->unhealthy))
            json_array_append_new(unhealthy, json_string(m->name));
    }
    for (int i = 0; i < engines_count(d->engines); i++) {
        engines_stats_of(d->engines, i, &stats);
        if (stats.state == ENGINE_FAILED || stats.stalled)
            json_array_append_new(failed, json_string(engines_name(d->engines, i)));
    }
    return to_text(json_pack("{s:s, s:i, s:i, s:o, s:o}", "state", daemon_state(d), "models_loaded",
                             models_count(d->models), "models", n_models, "unhealthy", unhealthy,
                             "devices_failed", failed));
}

/* What a request means that names neither sampler nor nfe: it cannot fail. */
static struct sampling_choice default_sampling(const struct engine_model *m)
{
    struct sampling_choice choice = {0};

    sampling_choose(m->sampling, NULL, 0, m->nfe_max, &choice, NULL);
    return choice;
}

static json_t *defaults_to_json(const struct engine_model *m)
{
    struct sampling_choice choice = default_sampling(m);

    return json_pack("{s:s, s:i, s:f}", "sampler", sampler_name(choice.sampler), "nfe", choice.nfe,
                     "excess", sampling_excess(m->sampling, choice.sampler));
}

/* The numbers of evaluations that the sampler tuned has tables for; NULL: none. */
static json_t *tuned_nfe_to_json(const struct sampling *s)
{
    json_t *list = s->n_solvers > 0 ? json_array() : NULL;

    for (int i = 0; i < s->n_solvers; i++)
        json_array_append_new(list, json_integer(s->solvers[i].nfe));
    return list;
}

/* The degradations that a model restores: with std_max, rounded down, where generation begins at the
 * time at which its own corruption is alike, without where it begins with noise and is led. */
static json_t *restorations_to_json(const struct engine_model *m)
{
    json_t *list = json_array(), *item;

    for (int i = 0; i < DEGRADATIONS; i++) {
        item = json_pack("{s:s}", "degradation", degradation_name((enum degradation)i));
        if (m->restores[i] >= 0)
            json_object_set_new(item, "std_max", json_real(floor(1e4 * m->restores[i]) / 1e4));
        if (m->restores[i] != 0)
            json_array_append(list, item);
        json_decref(item);
    }
    return list;
}

static json_t *model_to_json(const struct engine_model *m, bool is_default)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:b, s:s, s:s, s:i, s:i, s:s, s:s, s:s, s:s*, s:b, "
                     "s:b, s:o, s:o*, s:i, s:O*, s:o, s:{s:i, s:i, s:i}}",
                     "id", m->name, "object", "model", "created", (json_int_t)m->loaded_s,
                     "owned_by", "softdiff", "name", m->name, "default", is_default, "checkpoint",
                     m->digest, "corruption", m->corruption, "side_px", m->side_px, "channels",
                     m->channels, "precision", m->precision, "output", m->output, "time_embed",
                     m->time_embed, "licence", m->licence, "batch_invariant", m->batch_invariant,
                     "healthy", !atomic_load(&m->unhealthy), "defaults", defaults_to_json(m),
                     "tuned_nfe", tuned_nfe_to_json(m->sampling), "n_labels",
                     m->formulation->architecture.n_labels, "labels", m->labels, "restorations",
                     restorations_to_json(m), "limits", "n", m->n_max, "nfe", m->nfe_max, "places",
                     m->places);
}

static json_t *list_models(const struct daemon *d)
{
    json_t *list = json_array();

    for (int i = 0; i < models_count(d->models); i++)
        json_array_append_new(list, model_to_json(models_at(d->models, i), i == 0));
    return list;
}

char *describe_models(const struct daemon *d)
{
    json_t *list = list_models(d);

    /* Under our name, and under that of the OpenAI API. */
    return to_text(json_pack("{s:s, s:O, s:o}", "object", "list", "data", list, "models", list));
}

char *describe_model(const struct daemon *d, const char *name, struct problem *problem)
{
    char text[LIMITS_MODEL_BYTES + 1];
    struct engine_model *model;

    if (query_unescape(name, strlen(name), 0, text, sizeof(text)) < 0) {
        problem_set(problem, 404, "this is not the name of a model");
        return NULL;
    }
    if (selection_find_model(d->models, text, &model, problem) < 0)
        return NULL;
    return to_text(model_to_json(model, model == models_at(d->models, 0)));
}

static json_t *samplers_to_json(const struct daemon *d)
{
    json_t *list = json_array();

    for (int i = 0; i < SAMPLERS; i++)
        if (selection_offers(d->models, (enum sampler)i))
            json_array_append_new(list, json_string(sampler_name((enum sampler)i)));
    return list;
}

static json_t *notes_to_json(const struct daemon *d)
{
    json_t *notes = json_object();

    for (int i = 0; i < SAMPLERS; i++) {
        const char *note = sampler_note((enum sampler)i);

        if (note && selection_offers(d->models, (enum sampler)i))
            json_object_set_new(notes, sampler_name((enum sampler)i), json_string(note));
    }
    return notes;
}

static bool contains(const json_t *list, const char *text)
{
    const json_t *item;
    size_t i;

    json_array_foreach(list, i, item) if (strcmp(json_string_value(item), text) == 0) return true;
    return false;
}

static json_t *corruptions_to_json(const struct daemon *d)
{
    json_t *list = json_array();
    const char *name;

    for (int i = 0; i < models_count(d->models); i++) {
        name = models_at(d->models, i)->corruption;
        if (!contains(list, name))
            json_array_append_new(list, json_string(name));
    }
    return list;
}

/* A seed gives the same bytes only if that holds for every model. */
static json_t *determinism_to_json(const struct daemon *d)
{
    bool invariant = true;

    for (int i = 0; i < models_count(d->models); i++)
        invariant &= models_at(d->models, i)->batch_invariant;
    return json_pack("{s:s, s:b, s:s}", "id", engines_identity(d->engines), "batch_invariant",
                     invariant, "scope", "same checkpoint and id");
}

char *describe_capabilities(const struct daemon *d)
{
    const struct samples_limits *limits = admission_limits(d->admission);
    struct sampling_choice choice = default_sampling(models_at(d->models, 0));
    struct engine_stats stats;
    json_t *json;

    engines_stats(d->engines, &stats);
    json = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:{s:s, s:s, s:i, s:i, s:i}, "
                     "s:{s:i, s:i, s:i, s:i, s:i, s:i, s:[s, s], s:i, s:i}, s:o, s:f, s:b}",
                     "version", SOFTDIFF_VERSION, "device", engines_device(d->engines, 0),
                     "devices", devices_to_json(d), "models", list_models(d), "samplers",
                     samplers_to_json(d), "sampler_notes", notes_to_json(d), "corruptions",
                     corruptions_to_json(d), "defaults", "model", models_at(d->models, 0)->name,
                     "sampler", sampler_name(choice.sampler), "nfe", choice.nfe, "n", 1,
                     "timeout_ms", limits->timeout_max_ms, "limits", "n", limits->n_max, "nfe",
                     limits->nfe_max, "timeout_ms", limits->timeout_max_ms, "body_bytes",
                     (int)LIMITS_BODY_BYTES, "upload_bytes", (int)LIMITS_UPLOAD_BYTES,
                     "upload_pixels", (int)LIMITS_UPLOAD_PIXELS, "upload_types", "image/png",
                     "image/jpeg", "slots", d->settings->slots, "queue", d->settings->max_queue,
                     "determinism", determinism_to_json(d), "evaluations_per_s",
                     stats.evaluations_per_s, "webhooks", batches_send_webhooks(d->batches));
    return to_text(json);
}

/* What each device has to do. */
static json_t *loads_to_json(const struct daemon *d)
{
    json_t *list = json_array();
    struct engine_stats stats;

    for (int i = 0; i < engines_count(d->engines); i++) {
        engines_stats_of(d->engines, i, &stats);
        json_array_append_new(list,
                              json_pack("{s:s, s:b, s:s*, s:i, s:i, s:I, s:I, s:I, s:f}", "name",
                                        engines_name(d->engines, i), "up",
                                        stats.state == ENGINE_READY && !stats.stalled, "error",
                                        *stats.error.text ? stats.error.text : NULL, "slots",
                                        stats.slots, "slots_busy", stats.busy, "images_waiting",
                                        (json_int_t)stats.waiting, "evaluations",
                                        (json_int_t)stats.evaluations, "backlog_evaluations",
                                        (json_int_t)engines_load(d->engines, i),
                                        "evaluations_per_s", stats.evaluations_per_s));
    }
    return list;
}

char *describe_queue(const struct daemon *d)
{
    struct engine_stats stats;

    engines_stats(d->engines, &stats);
    return to_text(json_pack("{s:i, s:i, s:I, s:I, s:f, s:i, s:o, s:o}", "slots", stats.slots,
                             "slots_busy", stats.busy, "images_waiting", (json_int_t)stats.waiting,
                             "evaluations", (json_int_t)stats.evaluations, "evaluations_per_s",
                             stats.evaluations_per_s, "retry_after_s",
                             admission_retry_after_s(d->admission), "requests",
                             drawings_to_json(d->drawings), "devices", loads_to_json(d)));
}
