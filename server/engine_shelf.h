/* What an engine's thread has on its device: its copies of the models, each with a queue.
 *
 * Thread: that of the engine; what is named "readable by all" is constant once it is there.
 */
#ifndef SERVER_ENGINE_SHELF_H
#define SERVER_ENGINE_SHELF_H

#include "engine/identity.h"
#include "server/engine_model.h"
#include "server/queue/queue.h"

#include <stdatomic.h>

struct device;
struct engine_device;
struct error;
struct settings;
struct trace;

struct shelf_model {
    struct engine_copy loaded;
    struct queue queue;
    struct shelf_model *next;
};

/* All zero: nothing is open. */
struct engine_shelf {
    const struct settings *settings;
    const struct engine_device *options; /* borrowed */
    struct device *device;
    char device_text[256];         /* readable by all */
    char identity[IDENTITY_BYTES]; /* readable by all */
    struct trace *trace;           /* NULL: none */
    struct shelf_model *models;    /* owned, in the order in which they came */
    int n_models;
};

/* Opens a device; settings, options and stop are borrowed. *stop, which another thread may set: from then on
 * nothing is computed to its end (engine/device.h). 0 or a negative errno code; to be closed in any case. */
int engine_shelf_open(struct engine_shelf *s, const struct settings *settings,
                      const struct engine_device *options, const atomic_bool *stop,
                      struct error *err);

/* Writes the trace, too. */
void engine_shelf_close(struct engine_shelf *s);

/* Makes a copy of a model and tries it; only between ticks. 0, -ECANCELED where it is stopped, or the code
 * of what failed. */
int engine_shelf_add(struct engine_shelf *s, struct engine_model *model, struct shelf_model **out,
                     struct error *err);

/* Drops a copy of which no image is in a lane, parked or queued. */
void engine_shelf_remove(struct engine_shelf *s, struct shelf_model *copy);

#endif
