#include "server/models.h"

#include "api/problem.h"
#include "config/model_limits.h"
#include "engine/base/error.h"
#include "engine/base/log.h"
#include "model/checkpoint.h"
#include "server/engine_model.h"
#include "server/engines.h"
#include "server/known_models.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WISHES_MAX = 64,
    RETIRED_MAX = 2 * KNOWN_MODELS_MAX,
};

enum wish_kind { WISH_BEGIN, WISH_LOAD, WISH_UNLOAD, WISH_RELOAD };

/* What somebody asked for. */
struct wish {
    enum wish_kind kind;
    char name[SETTINGS_NAME_BYTES + 2]; /* longer than any is nobody's */
    models_done *done;
    void *arg;
    struct wish *next;
    /* While it is granted: */
    int at;         /* of the known models, the one that comes next */
    bool no_memory; /* it may well succeed later */
    struct problem problem;
    json_t *result;
};

struct models {
    uv_loop_t *loop;
    const struct settings *settings;
    struct engines *engines;
    struct known_models known;
    struct wish *first; /* the one that is granted */
    int n_wishes;
    bool ending;

    /* The model that is being loaded. */
    uv_work_t reading;
    struct settings_model setting; /* of it */
    struct checkpoint *checkpoint;
    int read; /* 0, or why it could not be, with the text */
    struct error error;
    bool on_pool, with_engine;
    struct engine_model *changing;             /* by the engines */
    struct engine_model *retired[RETIRED_MAX]; /* served no more, and not yet dropped */
    int n_retired;
};

static void go_on(struct models *m);

/* Reading */

int models_count(const struct models *m)
{
    return known_models_served(&m->known);
}

struct engine_model *models_at(const struct models *m, int i)
{
    const struct known_model *k = m->known.list;

    while (!k->served || i-- > 0)
        k++;
    return k->served;
}

const char *models_determinism(const struct models *m)
{
    return engines_identity(m->engines);
}

struct json_t *models_to_json(const struct models *m)
{
    return known_models_to_json(&m->known);
}

/* Dropping */

void models_hold(struct engine_model *model)
{
    model->n_users++;
}

void models_release(struct models *m, struct engine_model *model)
{
    model->n_users--;
    if (model->retired)
        go_on(m);
}

static void retire(struct models *m, struct known_model *k)
{
    k->served->retired = true;
    m->retired[m->n_retired++] = k->served;
    k->served = NULL;
}

/* Whether the engine was told to drop one. */
static bool drop_retired(struct models *m)
{
    for (int i = 0; i < m->n_retired; i++) {
        if (m->retired[i]->n_users > 0)
            continue;
        m->changing = m->retired[i];
        m->retired[i] = m->retired[--m->n_retired];
        m->with_engine = true;
        engines_remove(m->engines, m->changing);
        return true;
    }
    return false;
}

/* Granting a wish */

static void note(struct models *m, const char *name, const char *outcome, const struct error *error)
{
    struct wish *w = m->first;

    if (w->kind == WISH_BEGIN) { /* the daemon tells, and ends */
        if (error)
            problem_set(&w->problem, 422, "%s", error->text);
        return;
    }
    log_write(error ? LOG_ERROR : LOG_INFO, "event=model_change name=%s outcome=%s error=%s", name,
              outcome, LOG_TEXT(error ? error->text : ""));
    if (json_array_append_new(w->result,
                              json_pack("{s:s, s:s}", "name", name, "outcome", outcome)) < 0)
        w->no_memory = true;
    if (error)
        problem_add_field(&w->problem, name, "%s", error->text);
}

static void fail(struct models *m, int code, const struct error *error)
{
    struct known_model *k = known_models_find(&m->known, m->setting.name);

    k->error = *error;
    m->first->no_memory |= code == -ENOMEM;
    note(m, m->setting.name, "failed", error);
    go_on(m);
}

static void finish(struct models *m)
{
    struct wish *w = m->first;

    if (w->no_memory && w->kind != WISH_BEGIN)
        problem_set(&w->problem, 503, "out of memory");
    m->first = w->next;
    m->n_wishes--;
    w->done(w->arg, w->problem.status ? &w->problem : NULL, w->result);
    json_decref(w->result);
    free(w);
}

static void set_limits(const struct models *m, struct engine_model *model)
{
    const struct settings_limits limits = model_limits_of(m->settings, model->name);

    model->places = engines_count(m->engines) * m->settings->slots + limits.max_queue;
    model->nfe_max = limits.max_nfe;
    model->n_max = limits.max_images < model->places ? limits.max_images : model->places;
}

static void read_checkpoint(uv_work_t *work)
{
    struct models *m = work->data;

    m->read = engine_model_read(&m->setting, &m->checkpoint, &m->error);
}

static void on_read(uv_work_t *work, int status)
{
    struct models *m = work->data;
    struct known_model *k = known_models_find(&m->known, m->setting.name);
    int rc;

    m->on_pool = false;
    if (m->first->kind != WISH_LOAD && engine_model_passes_over(&m->setting, m->read)) {
        if (m->first->kind == WISH_BEGIN)
            log_write(LOG_INFO, "event=model_passed_over path=%s", LOG_TEXT(m->setting.path));
        k->gone = true;
        note(m, k->setting.name, "passed_over", NULL);
        go_on(m);
        return;
    }
    if (m->read < 0) {
        fail(m, m->read, &m->error);
        return;
    }
    if (k->served && strcmp(k->served->digest, m->checkpoint->digest) == 0) {
        checkpoint_destroy(m->checkpoint);
        k->error.text[0] = '\0';
        note(m, k->setting.name, "unchanged", NULL);
        go_on(m);
        return;
    }
    if (!k->served && known_models_full(&m->known)) {
        checkpoint_destroy(m->checkpoint);
        error_set(&m->error, -EINVAL, ENGINE_MODEL_MANY, SETTINGS_MODELS_MAX, m->setting.path);
        fail(m, -EINVAL, &m->error);
        return;
    }
    rc = engine_model_create(m->setting.name, m->checkpoint, &m->changing, &m->error);
    if (rc < 0) {
        fail(m, rc, &m->error);
        return;
    }
    set_limits(m, m->changing);
    m->with_engine = true;
    engines_add(m->engines, m->changing);
}

static void load(struct models *m, const struct known_model *k)
{
    m->setting = k->setting;
    m->reading.data = m;
    m->on_pool = true;
    uv_queue_work(m->loop, &m->reading, read_checkpoint, on_read);
}

static void on_loaded(struct models *m)
{
    struct known_model *k = known_models_find(&m->known, m->setting.name);
    bool replaces = k->served != NULL;

    if (replaces)
        retire(m, k);
    k->served = m->changing;
    k->error.text[0] = '\0';
    note(m, k->setting.name, replaces ? "replaced" : "loaded", NULL);
}

void models_collect(struct models *m)
{
    struct error error;
    bool adds;
    int status;

    if (!m->with_engine || !engines_take_changed(m->engines, &status, &error))
        return;
    m->with_engine = false;
    adds = !m->changing->retired;
    if (adds && status == 0) {
        checkpoint_drop_weights(m->changing->checkpoint); /* the devices have them, packed */
        on_loaded(m);
    } else {
        engine_model_destroy(m->changing);
    }
    m->changing = NULL;
    if (adds && status < 0)
        fail(m, status, &error);
    else
        go_on(m);
}

/* Drops those that are gone from the list, unless nothing else could be loaded. */
static void drop_gone(struct models *m)
{
    int n_served = models_count(m), n = 0;
    struct known_model *k;

    for (int i = 0; i < m->known.n; i++)
        n_served -= m->known.list[i].gone && m->known.list[i].served;
    for (int i = 0; i < m->known.n; i++) {
        k = &m->known.list[i];
        if (k->gone && !k->served)
            continue;
        if (k->gone && n_served > 0) {
            note(m, k->setting.name, "unloaded", NULL);
            retire(m, k);
            continue;
        }
        m->known.list[n++] = *k;
    }
    m->known.n = n;
}

static void reload_next(struct models *m, struct wish *w)
{
    struct error error;
    int rc = w->at == 0 ? known_models_look_again(&m->known, m->settings, &error) : 0;

    if (rc < 0) {
        w->no_memory |= rc == -ENOMEM;
        problem_set(&w->problem, 422, "%s", error.text);
        if (w->kind == WISH_RELOAD)
            log_write(LOG_ERROR, "event=reload_failed error=%s", LOG_TEXT(error.text));
        finish(m);
        return;
    }
    if (w->kind == WISH_BEGIN && w->problem.status) {
        finish(m);
        return;
    }
    if (w->at < m->known.n && !m->known.list[w->at].gone) {
        load(m, &m->known.list[w->at++]);
        return;
    }
    drop_gone(m);
    if (w->kind == WISH_BEGIN && models_count(m) == 0)
        problem_set(&w->problem, 422, ENGINE_MODEL_NONE, m->settings->model_dir);
    finish(m);
}

/* The next step of what was asked for. */
static void grant(struct models *m, struct wish *w)
{
    struct known_model *k = known_models_find(&m->known, w->name);

    if (w->kind == WISH_BEGIN || w->kind == WISH_RELOAD) {
        reload_next(m, w);
        return;
    }
    if (w->at++ > 0) { /* its model has been loaded */
        finish(m);
        return;
    }
    if (!k) {
        problem_set(&w->problem, 404, "no model \"%s\" is known; see /v1/models", w->name);
    } else if (w->kind == WISH_LOAD) {
        load(m, k);
        return;
    } else if (!k->served) {
        problem_set(&w->problem, 409, "model \"%s\" is not loaded", w->name);
    } else if (models_count(m) == 1) {
        problem_set(&w->problem, 409, "model \"%s\" is the only one, and stays", w->name);
    } else {
        retire(m, k);
        note(m, w->name, "unloaded", NULL);
    }
    finish(m);
}

/* Unless something is under way: drops what nobody uses, and grants what was asked for. */
static void go_on(struct models *m)
{
    while (!m->on_pool && !m->with_engine && !m->ending) {
        if (drop_retired(m))
            return;
        /* There is room for all that a step may retire, or some must lose their users before. */
        if (!m->first || m->n_retired > RETIRED_MAX - KNOWN_MODELS_MAX)
            return;
        grant(m, m->first);
    }
}

static void wish(struct models *m, enum wish_kind kind, const char *name, models_done *done,
                 void *arg)
{
    struct problem problem = {0};
    struct wish *w = calloc(1, sizeof(*w)), **link = &m->first;

    if (w)
        w->result = json_array();
    if (!w || !w->result || m->n_wishes == WISHES_MAX || m->ending) {
        problem_set(&problem, 503, "too many changes of models wait, or the daemon ends");
        done(arg, &problem, NULL);
        if (w)
            json_decref(w->result);
        free(w);
        return;
    }
    w->kind = kind;
    snprintf(w->name, sizeof(w->name), "%s", name);
    w->done = done;
    w->arg = arg;
    while (*link)
        link = &(*link)->next;
    *link = w;
    m->n_wishes++;
    go_on(m);
}

void models_load(struct models *m, const char *name, models_done *done, void *arg)
{
    wish(m, WISH_LOAD, name, done, arg);
}

void models_unload(struct models *m, const char *name, models_done *done, void *arg)
{
    wish(m, WISH_UNLOAD, name, done, arg);
}

void models_reload(struct models *m, models_done *done, void *arg)
{
    wish(m, WISH_RELOAD, "", done, arg);
}

void models_begin(struct models *m, models_done *done, void *arg)
{
    wish(m, WISH_BEGIN, "", done, arg);
}

/* Beginning and end */

bool models_idle(struct models *m)
{
    static const struct problem problem = {.status = 503,
                                           .retry_after_s = 1,
                                           .detail = "the daemon is shutting down"};
    struct wish *w;

    m->ending = true;
    if (m->on_pool || m->with_engine)
        return false;
    while (m->first) {
        w = m->first;
        w->problem = problem;
        finish(m);
    }
    return true;
}

int models_create(uv_loop_t *loop, const struct settings *settings, struct engines *engines,
                  struct models **out, struct error *err)
{
    struct models *m = calloc(1, sizeof(*m));

    if (!m)
        return error_set(err, -ENOMEM, "out of memory");
    m->loop = loop;
    m->settings = settings;
    m->engines = engines;
    *out = m;
    return 0;
}

void models_destroy(struct models *m)
{
    if (!m)
        return;
    for (int i = 0; i < m->known.n; i++)
        engine_model_destroy(m->known.list[i].served);
    for (int i = 0; i < m->n_retired; i++)
        engine_model_destroy(m->retired[i]);
    engine_model_destroy(m->changing);
    free(m);
}
