#include "server/engine_shelf.h"

#include "config/model_limits.h"
#include "engine/base/log.h"
#include "engine/base/trace.h"
#include "engine/device.h"
#include "model/generator.h"
#include "server/engine_thread.h"

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

    if (strcmp(s->options->name, "auto") == 0 && device_passed_over(s->device, &reason) < 0)
        log_write(LOG_INFO, "event=device_passed_over error=%s", LOG_TEXT(reason.text));
}

int engine_shelf_open(struct engine_shelf *s, const struct settings *settings,
                      const struct engine_device *device, const atomic_bool *stop,
                      struct error *err)
{
    struct generator_options options;
    int rc;

    s->settings = settings;
    s->options = device;
    rc = options_of(settings, settings->max_nfe, &options, err);
    if (rc == 0)
        rc = device_open(device->name, device->threads, settings->choices, &s->device, err);
    if (rc == 0)
        device_stop_by(s->device, stop);
    if (rc == 0)
        rc = identity_of(s->device, options.precision, s->identity, err);
    if (rc == 0 && *device->trace)
        rc = trace_create(TRACE_SPANS, &s->trace, err);
    if (rc == 0)
        device_base(s->device)->ops->describe(s->device, s->device_text, sizeof(s->device_text));
    if (rc == 0)
        tell_passed_over(s);
    return rc;
}

static void destroy(struct shelf_model *m)
{
    engine_copy_unload(&m->loaded);
    free(m);
}

/* Loads, tries and watches a copy that is not yet on the shelf. */
static int prepare(struct engine_shelf *s, struct engine_model *model, struct shelf_model *m,
                   struct error *err)
{
    struct generator_options options;
    int rc;

    rc = options_of(s->settings, model_limits_of(s->settings, model->name).max_nfe, &options, err);
    if (rc < 0)
        return rc;
    m->queue.parked_max = options.lanes;
    rc = engine_copy_load(s->device, model, &options, &m->loaded, err);
    if (rc == 0)
        rc = engine_copy_test(&m->loaded, err);
    if (rc == 0 && s->trace)
        rc = generator_trace(m->loaded.generator, s->trace, model->name, err);
    return rc;
}

int engine_shelf_add(struct engine_shelf *s, struct engine_model *model, struct shelf_model **out,
                     struct error *err)
{
    struct shelf_model *m = calloc(1, sizeof(*m)), **link = &s->models;
    uint64_t start_ns = uv_hrtime();
    int rc;

    if (!m)
        return error_set(err, -ENOMEM, "out of memory for model \"%s\"", model->name);
    rc = prepare(s, model, m, err);
    if (rc < 0) {
        destroy(m);
        return rc;
    }
    if (!m->loaded.batch_invariant)
        log_write(LOG_WARN, "event=self_test model=%s error=%s", model->name,
                  LOG_TEXT(m->loaded.self_test.text));
    while (*link)
        link = &(*link)->next;
    *link = m;
    s->n_models++;
    *out = m;
    log_write(LOG_INFO,
              "event=model name=%s checkpoint=%.12s corruption=%s side=%d precision=%s "
              "batch_invariant=%d memory_bytes=%zu device=%s ms=%.0f",
              model->name, model->digest, model->corruption, model->side_px, m->loaded.precision,
              m->loaded.batch_invariant, m->loaded.memory_bytes, s->options->label,
              (double)(uv_hrtime() - start_ns) / 1e6);
    return 0;
}

void engine_shelf_remove(struct engine_shelf *s, struct shelf_model *copy)
{
    struct shelf_model **link = &s->models;

    while (*link != copy)
        link = &(*link)->next;
    *link = copy->next;
    s->n_models--;
    log_write(LOG_INFO, "event=model_unloaded name=%s checkpoint=%.12s device=%s",
              copy->loaded.model->name, copy->loaded.model->digest, s->options->label);
    destroy(copy);
}

/* A program that only watches must not make the daemon fail. */
static void write_trace(const struct engine_shelf *s)
{
    const char *path = s->options->trace;
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
