/* What the engine's thread has on its device: the models, each with its queue.
 *
 * Thread: that of the engine; what is named "readable by all" is constant once it is there.
 */
#ifndef SERVER_ENGINE_SHELF_H
#define SERVER_ENGINE_SHELF_H

#include "engine/identity.h"
#include "server/engine_model.h"
#include "server/queue.h"

struct checkpoint;
struct device;
struct error;
struct settings;
struct trace;

struct shelf_model {
    struct engine_model loaded; /* first: the loop knows a model by it */
    struct queue queue;
    struct shelf_model *next;
};

/* All zero: nothing is open. */
struct engine_shelf {
    const struct settings *settings;
    struct device *device;
    char device_text[256];         /* readable by all */
    char identity[IDENTITY_BYTES]; /* readable by all */
    struct trace *trace;           /* NULL: none */
    struct shelf_model *models;    /* owned, in the order in which they came */
    int n_models;
};

/* Opens the device of the settings, which are borrowed. 0 or a negative errno code; to be closed in
 * any case. */
int engine_shelf_open(struct engine_shelf *s, const struct settings *settings, struct error *err);

/* Writes the trace, too. */
void engine_shelf_close(struct engine_shelf *s);

/* Makes a generator of a checkpoint, which is taken in any case, and tries it; only between ticks.
 * stop: asked now and then, true: the daemon is told to end. 0, -ECANCELED, or the code of what
 * failed. */
int engine_shelf_add(struct engine_shelf *s, const char *name, struct checkpoint *checkpoint,
                     bool (*stop)(void *arg), void *arg, struct engine_model **out,
                     struct error *err);

/* Drops a model of which no image is in a lane, parked or queued. */
void engine_shelf_remove(struct engine_shelf *s, struct engine_model *model);

#endif
