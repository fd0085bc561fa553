#include "server/engines.h"

#include "engine/base/pool.h"
#include "engine/device.h"
#include "server/engine_shelf.h"
#include "server/engines_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Devices */

int engines_check(const struct settings *s, struct error *err)
{
    int rc = 0;

    for (int i = 0; i < s->n_devices && rc == 0; i++) {
        rc = device_name_check(s->devices[i], err);
        if (rc == 0 && s->n_devices > 1 && strcmp(s->devices[i], "auto") == 0)
            rc = error_set(err, -EINVAL, "device \"auto\" chooses one, and goes with no other");
        for (int j = 0; j < i && rc == 0; j++)
            if (device_is_same(s->devices[i], s->devices[j]))
                rc = error_set(err, -EINVAL, "device \"%s\" is given twice", s->devices[i]);
    }
    return rc;
}

void engines_device_options(const struct settings *s, int i, struct engine_device *out)
{
    int n_hosts = 0, n_alike = 0, at = 0;

    for (int j = 0; j < s->n_devices; j++) {
        n_hosts += device_is_host(s->devices[j]);
        if (strcmp(s->devices[i], s->devices[j]) == 0) {
            at += j < i;
            n_alike++;
        }
    }
    snprintf(out->name, sizeof(out->name), "%s", s->devices[i]);
    snprintf(out->label, sizeof(out->label), "%s", s->devices[i]);
    if (n_alike > 1)
        snprintf(out->label, sizeof(out->label), "%s/%d", s->devices[i], at);
    out->threads = s->threads;
    if (out->threads == 0 && n_hosts > 1 && device_is_host(s->devices[i])) {
        out->threads = pool_available_threads() / n_hosts;
        out->threads = out->threads < 1 ? 1 : out->threads;
    }
    snprintf(out->trace, sizeof(out->trace), "%s", s->trace);
    if (*s->trace && s->n_devices > 1)
        snprintf(out->trace, sizeof(out->trace), "%s.%d", s->trace, i);
}

int engines_compare(const char *first, const char *first_id, const char *other,
                    const char *other_id, struct error *err)
{
    if (strcmp(first_id, other_id) == 0)
        return 0;
    return error_set(err, -EINVAL,
                     "devices \"%s\" and \"%s\" draw different bytes from one seed (determinism "
                     "ids "
                     "%s and %s); start a daemon for each",
                     first, other, first_id, other_id);
}

int engines_start(const struct settings *settings, void (*wake)(void *arg), void *arg,
                  struct engines **out, struct error *err)
{
    struct engines *e = calloc(1, sizeof(*e));
    int rc = 0;

    if (!e)
        return error_set(err, -ENOMEM, "out of memory starting the engines");
    for (; e->n < settings->n_devices && rc == 0; e->n += rc == 0) {
        struct engine *one = &e->all[e->n];

        engines_device_options(settings, e->n, &one->options);
        rc = engine_thread_start(settings, &one->options, wake, arg, &one->thread, err);
    }
    if (rc < 0) {
        engines_stop(e);
        return rc;
    }
    *out = e;
    return 0;
}

void engines_hurry(struct engines *e)
{
    for (int i = 0; i < e->n; i++)
        engine_thread_hurry(e->all[i].thread);
}

void engines_stop(struct engines *e)
{
    if (!e)
        return;
    engines_hurry(e);
    for (int i = 0; i < e->n; i++)
        engine_thread_stop(e->all[i].thread);
    free(e);
}

/* What there is */

int engines_count(const struct engines *e)
{
    return e->n;
}

const char *engines_name(const struct engines *e, int i)
{
    return e->all[i].options.label;
}

void engines_stats_of(struct engines *e, int i, struct engine_stats *out)
{
    engine_thread_stats(e->all[i].thread, out);
}

int engines_count_well(struct engines *e)
{
    struct engine_stats stats;
    int n = 0;

    for (int i = 0; i < e->n; i++) {
        engines_stats_of(e, i, &stats);
        n += stats.state == ENGINE_READY && !stats.stalled;
    }
    return n;
}

const char *engines_device(const struct engines *e, int i)
{
    return engine_thread_device(e->all[i].thread);
}

const char *engines_identity(const struct engines *e)
{
    return engine_thread_identity(e->all[0].thread);
}

/* Once all have been ready: whether they draw the same. */
static void compare(struct engines *e)
{
    int rc = 0;

    for (int i = 1; i < e->n && rc == 0; i++)
        rc = engines_compare(e->all[0].options.label, engines_identity(e), e->all[i].options.label,
                             engine_thread_identity(e->all[i].thread), &e->mixed);
    e->begun = true;
}

static void add_counts(struct engine_stats *sum, const struct engine_stats *one)
{
    sum->evaluations += one->evaluations;
    sum->images += one->images;
    sum->images_not_finite += one->images_not_finite;
    histogram_join(&sum->tick_seconds, &one->tick_seconds);
    histogram_join(&sum->batch_size, &one->batch_size);
    if (one->state == ENGINE_FAILED)
        return;
    sum->slots += one->slots;
    sum->busy += one->busy;
    sum->waiting += one->waiting;
    sum->evaluations_per_s += one->evaluations_per_s;
}

void engines_stats(struct engines *e, struct engine_stats *out)
{
    int n_failed = 0, n_ready = 0, n_stalled = 0;
    struct engine_stats one;

    *out = (struct engine_stats){.state = ENGINE_LOADING};
    for (int i = 0; i < e->n; i++) {
        engines_stats_of(e, i, &one);
        n_failed += one.state == ENGINE_FAILED;
        n_ready += one.state == ENGINE_READY;
        n_stalled += one.state == ENGINE_READY && one.stalled;
        if (one.state == ENGINE_FAILED) {
            out->error = one.error;
            if (e->n > 1)
                error_prefix(&out->error, "device \"%s\": ", e->all[i].options.label);
        }
        add_counts(out, &one);
    }
    if (!e->begun && n_ready == e->n)
        compare(e);
    if (e->begun)
        out->state = n_failed < e->n ? ENGINE_READY : ENGINE_FAILED;
    else if (n_failed > 0)
        out->state = ENGINE_FAILED;
    if (*e->mixed.text) {
        out->state = ENGINE_FAILED;
        out->error = e->mixed;
    }
    out->stalled = n_stalled > 0 && n_stalled == n_ready;
}

/* Changes of the models */

static void begin_change(struct engines *e, int i, const struct engine_change *change)
{
    e->all[i].change = *change;
    e->all[i].changes = true;
    engine_thread_change(e->all[i].thread, &e->all[i].change);
}

void engines_add(struct engines *e, struct engine_model *model)
{
    struct engine_stats stats;
    int n = 0;

    e->changed = model;
    e->status = 0;
    for (int i = 0; i < e->n; i++) {
        engines_stats_of(e, i, &stats);
        if (stats.state != ENGINE_READY && (i < e->n - 1 || n > 0))
            continue; /* where none works, the last says why */
        begin_change(e, i, &(struct engine_change){.model = model});
        n++;
    }
}

static void remove_copies(struct engines *e)
{
    for (int i = 0; i < e->n; i++)
        if (e->changed->copies[i])
            begin_change(e, i, &(struct engine_change){.copy = e->changed->copies[i]});
}

void engines_remove(struct engines *e, struct engine_model *model)
{
    e->changed = model;
    e->status = 0;
    remove_copies(e);
}

/* An engine has done its part of the change. */
static void take_part(struct engines *e, int i)
{
    const struct engine_change *change = &e->all[i].change;

    e->all[i].changes = false;
    e->changed->copies[i] = change->model && change->status == 0 ? change->copy : NULL;
    if (e->changed->copies[i])
        engine_model_add(e->changed, &change->copy->loaded);
    /* One that has no model because its device is lost is no reason that the others have none. */
    if (change->model && change->status < 0 && (e->status == 0 || e->status == -ENODEV)) {
        e->status = change->status;
        e->error = change->error;
    }
}

static int count_copies(const struct engines *e)
{
    int n = 0;

    for (int i = 0; i < e->n; i++)
        n += e->changed->copies[i] != NULL;
    return n;
}

bool engines_take_changed(struct engines *e, int *status, struct error *error)
{
    bool adds = false;

    if (!e->changed)
        return false;
    for (int i = 0; i < e->n; i++) {
        adds |= e->all[i].changes && e->all[i].change.model;
        if (e->all[i].changes && engine_thread_take_changed(e->all[i].thread))
            take_part(e, i);
        if (e->all[i].changes)
            return false;
    }
    if (adds && e->status == -ENODEV && count_copies(e) > 0)
        e->status = 0;
    if (adds && e->status < 0 && count_copies(e) > 0) {
        remove_copies(e);
        return false;
    }
    e->changed = NULL;
    *status = e->status;
    *error = e->error;
    return true;
}
