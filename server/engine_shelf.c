#include "server/engine_shelf.h"

#include "config/model_limits.h"
#include "engine/base/log.h"
#include "engine/base/trace.h"
#include "engine/device.h"
#include "model/checkpoint.h"
#include "model/generator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { TRACE_SPANS = 1 << 16 }; /* of each thread and of each model's ticks */

static int options_of(const struct settings *settings, int nfe_max, struct generator_options *out,
                      struct error *err)
{
    *out = (struct generator_options){.lanes = settings->slots,
                                      .nfe_max = nfe_max,
                                      .restoration = true};
    return precision_parse(settings->precision, &out->precision, err);
}

/* That there is no GPU is no error where nobody asked for one, but whoever installed the module for GPUs
 * wants to know. */
static void tell_passed_over(const struct engine_shelf *s)
{
    struct error reason;

    if (strcmp(s->settings->device, "auto") == 0 && device_passed_over(s->device, &reason) < 0)
        log_write(LOG_INFO, "event=device_passed_over error=%s", LOG_TEXT(reason.text));
}

int engine_shelf_open(struct engine_shelf *s, const struct settings *settings, struct error *err)
{
    struct generator_options options;
    int rc;

    s->settings = settings;
    rc = options_of(settings, settings->max_nfe, &options, err);
    if (rc == 0)
        rc = device_open(settings->device, settings->threads, settings->choices, &s->device, err);
    if (rc == 0)
        rc = identity_of(s->device, options.precision, s->identity, err);
    if (rc == 0 && *settings->trace)
        rc = trace_create(TRACE_SPANS, &s->trace, err);
    if (rc == 0)
        device_base(s->device)->ops->describe(s->device, s->device_text, sizeof(s->device_text));
    if (rc == 0)
        tell_passed_over(s);
    return rc;
}

static void destroy(struct shelf_model *m)
{
    engine_model_unload(&m->loaded);
    free(m);
}

/* Loads, tries and watches a model that is not yet on the shelf. */
static int prepare(struct engine_shelf *s, const char *name, struct checkpoint *checkpoint,
                   bool (*stop)(void *arg), void *arg, struct shelf_model *m, struct error *err)
{
    const struct settings_limits limits = model_limits_of(s->settings, name);
    struct generator_options options;
    int rc;

    rc = options_of(s->settings, limits.max_nfe, &options, err);
    if (rc < 0) {
        checkpoint_destroy(checkpoint);
        return rc;
    }
    m->queue.parked_max = options.lanes;
    rc = engine_model_load(s->device, name, checkpoint, &options, &m->loaded, err);
    if (rc < 0)
        return rc;
    m->loaded.places = options.lanes + limits.max_queue;
    m->loaded.nfe_max = limits.max_nfe;
    m->loaded.n_max = limits.max_images < m->loaded.places ? limits.max_images : m->loaded.places;
    /* Loading takes a while, and a daemon that is told to end should not see it through. */
    if (stop(arg))
        return error_set(err, -ECANCELED, "told to stop");
    rc = engine_model_test(&m->loaded, err);
    if (rc == 0 && s->trace)
        rc = generator_trace(m->loaded.generator, s->trace, m->loaded.name, err);
    return rc;
}

int engine_shelf_add(struct engine_shelf *s, const char *name, struct checkpoint *checkpoint,
                     bool (*stop)(void *arg), void *arg, struct engine_model **out,
                     struct error *err)
{
    struct shelf_model *m = calloc(1, sizeof(*m)), **link = &s->models;
    const struct engine_model *loaded = &m->loaded;
    uint64_t start_ns = uv_hrtime();
    int rc;

    if (!m) {
        checkpoint_destroy(checkpoint);
        return error_set(err, -ENOMEM, "out of memory for model \"%s\"", name);
    }
    rc = prepare(s, name, checkpoint, stop, arg, m, err);
    if (rc < 0) {
        destroy(m);
        return rc;
    }
    if (!loaded->batch_invariant)
        log_write(LOG_WARN, "event=self_test model=%s error=%s", loaded->name,
                  LOG_TEXT(loaded->self_test.text));
    while (*link)
        link = &(*link)->next;
    *link = m;
    s->n_models++;
    *out = &m->loaded;
    log_write(LOG_INFO,
              "event=model name=%s checkpoint=%.12s corruption=%s side=%d precision=%s "
              "batch_invariant=%d memory_bytes=%zu ms=%.0f",
              loaded->name, loaded->digest, loaded->corruption, loaded->side_px, loaded->precision,
              loaded->batch_invariant, loaded->memory_bytes,
              (double)(uv_hrtime() - start_ns) / 1e6);
    return 0;
}

void engine_shelf_remove(struct engine_shelf *s, struct engine_model *model)
{
    struct shelf_model **link = &s->models, *m;

    while (&(*link)->loaded != model)
        link = &(*link)->next;
    m = *link;
    *link = m->next;
    s->n_models--;
    log_write(LOG_INFO, "event=model_unloaded name=%s checkpoint=%.12s", m->loaded.name,
              m->loaded.digest);
    destroy(m);
}

/* A program that only watches must not make the daemon fail. */
static void write_trace(const struct engine_shelf *s)
{
    const char *path = s->settings->trace;
    struct error error;

    if (trace_write(s->trace, path, &error) < 0)
        log_write(LOG_ERROR, "event=trace error=%s", LOG_TEXT(error.text));
    else
        log_write(LOG_INFO, "event=trace file=%s", LOG_TEXT(path));
}

void engine_shelf_close(struct engine_shelf *s)
{
    struct shelf_model *m, *next;

    if (s->trace)
        write_trace(s);
    for (m = s->models; m; m = next) {
        next = m->next;
        destroy(m);
    }
    trace_destroy(s->trace);
    device_close(s->device);
}
