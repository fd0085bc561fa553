/* The models that are served, and how they change while requests go on.
 *
 * What is to be served is known from the settings and, looked at again with every reload, from the
 * folder of models. A model is read on the pool, made and tried by the engines between two ticks, and
 * then takes the place of the one before; what does not succeed leaves that one where it was. A model
 * that is no longer served draws what it was asked for to the end and is dropped then. One change is
 * made at a time, in the order in which they were asked for.
 *
 * Thread: loop.
 */
#ifndef SERVER_MODELS_H
#define SERVER_MODELS_H

#include <stdbool.h>
#include <uv.h>

struct engine_model;
struct engines;
struct error;
struct json_t;
struct models;
struct problem;
struct settings;

/* All arguments are borrowed. 0 or -ENOMEM. */
int models_create(uv_loop_t *loop, const struct settings *settings, struct engines *engines,
                  struct models **out, struct error *err);
/* models_idle() must hold, and the engines have no models any more; NULL is fine. */
void models_destroy(struct models *m);

/* Those that are served, the default first; once begun at least one. */
int models_count(const struct models *m);
struct engine_model *models_at(const struct models *m, int i);
const char *models_determinism(const struct models *m); /* the determinism id of the devices */

/* A user of a model: keeps it until models_release(), also when it is served no more. */
void models_hold(struct engine_model *model);
void models_release(struct models *m, struct engine_model *model);

/* Called once, later: problem NULL, or why not: 404, 409, 422 with a field for every model that could
 * not be served, 503. result: a new array of {"name", "outcome": "loaded", "replaced", "unchanged",
 * "passed_over", "unloaded" or "failed"}, borrowed; NULL without memory. */
typedef void models_done(void *arg, const struct problem *problem, const struct json_t *result);

/* The engines are ready: loads what the settings name, and stops at the first that cannot be served, of which
 * the problem says what is wrong. */
void models_begin(struct models *m, models_done *done, void *arg);

/* Reads a model again, or for the first time. */
void models_load(struct models *m, const char *name, models_done *done, void *arg);

/* Serves it no more, until it is loaded or all are reloaded. The last one stays: 409. */
void models_unload(struct models *m, const char *name, models_done *done, void *arg);

/* Looks at the folder, loads what is new or has changed, drops what is gone from the folder. */
void models_reload(struct models *m, models_done *done, void *arg);

/* Takes back what the engines have changed. */
void models_collect(struct models *m);

/* Whether nothing is under way; asks for no new change once called, as the daemon ends. */
bool models_idle(struct models *m);

/* New array: {"name", "path", "state": "loaded", "unloaded" or "failed", "checkpoint", "error"}; NULL
 * without memory. */
struct json_t *models_to_json(const struct models *m);

#endif
