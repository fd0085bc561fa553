#include "server/engine_thread_parts.h"

#include "engine/base/log.h"
#include "model/generator.h"
#include "server/job.h"
#include "server/queue/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static void publish_state(struct engine_thread *e, enum engine_state state,
                          const struct error *error)
{
    e->stats.state = state;
    if (error)
        e->stats.error = *error;
    mailbox_publish(&e->mailbox, &e->stats);
    e->wake(e->wake_arg);
}

static int open_device(struct engine_thread *e, struct error *err)
{
    int rc = engine_shelf_open(&e->shelf, e->settings, &e->options, &e->hurried, err);

    if (rc < 0)
        return rc;
    e->images = calloc((size_t)e->settings->slots, sizeof(*e->images));
    if (!e->images)
        return error_set(err, -ENOMEM, "out of memory for %d slots", e->settings->slots);
    return 0;
}

/* Changes of the models */

/* Between two ticks. */
static void make_change(struct engine_thread *e, struct engine_change *change)
{
    if (change->model)
        change->status = engine_shelf_add(&e->shelf, change->model, &change->copy, &change->error);
    else
        engine_shelf_remove(&e->shelf, change->copy);
    if (change->status == -ENODEV)
        e->n_failures = ENGINE_FAILURES_MAX;
    e->stats.slots = e->shelf.n_models * e->settings->slots;
    mailbox_changed(&e->mailbox, change, &e->stats);
    e->wake(e->wake_arg);
}

/* Computing */

/* Takes in what was submitted; sleeps while there is nothing to do. False: stop. */
static bool take_submitted(struct engine_thread *e)
{
    struct engine_change *change;
    struct job *job, *next;
    bool goes_on = mailbox_take_submitted(&e->mailbox, !e->active, &job, &change);

    if (change)
        make_change(e, change);
    if (!goes_on)
        return false;
    for (; job; job = next) {
        next = job->next;
        job->next = e->active;
        e->active = job;
        job->queued = (struct queue_job){.owner = job, .n = job->n, .priority = job->priority};
        queue_push(&job->on->queue, &job->queued);
    }
    return true;
}

static void compute(struct engine_thread *e)
{
    while (take_submitted(e)) {
        engine_drop_cancelled(e);
        engine_tick_models(e);
        if (e->n_failures >= ENGINE_FAILURES_MAX)
            return;
    }
}

/* Hands every job back unserved until told to stop. */
static void refuse(struct engine_thread *e, const struct error *error)
{
    while (take_submitted(e))
        while (e->active) {
            e->active->error = *error;
            engine_abandon_job(e, e->active, -EIO);
        }
}

static void *run(void *arg)
{
    struct engine_thread *e = arg;
    struct error error = {""};

    if (open_device(e, &error) < 0) {
        publish_state(e, ENGINE_FAILED, &error);
        return NULL;
    }
    publish_state(e, ENGINE_READY, NULL);
    compute(e);
    if (e->n_failures >= ENGINE_FAILURES_MAX) {
        error_set(&error, -EIO, "the device is lost, or failed %d times in a row",
                  ENGINE_FAILURES_MAX);
        log_write(LOG_ERROR, "event=engine_failed device=%s error=%s", e->options.label,
                  LOG_TEXT(error.text));
        publish_state(e, ENGINE_FAILED, &error);
        refuse(e, &error);
    }
    return NULL;
}

/* The loop's side */

int engine_thread_start(const struct settings *settings, const struct engine_device *device,
                        void (*wake)(void *arg), void *arg, struct engine_thread **out,
                        struct error *err)
{
    struct engine_thread *e = calloc(1, sizeof(*e));
    int rc;

    if (!e)
        return error_set(err, -ENOMEM, "out of memory starting the engine");
    e->settings = settings;
    e->options = *device;
    e->wake = wake;
    e->wake_arg = arg;
    mailbox_init(&e->mailbox);
    rc = pthread_create(&e->thread, NULL, run, e);
    if (rc != 0) {
        error_set(err, -rc, "could not start the engine's thread: %s", strerror(rc));
        mailbox_fini(&e->mailbox);
        free(e);
        return -rc;
    }
    *out = e;
    return 0;
}

void engine_thread_hurry(struct engine_thread *e)
{
    atomic_store(&e->hurried, true);
    mailbox_stop(&e->mailbox);
}

void engine_thread_stop(struct engine_thread *e)
{
    if (!e)
        return;
    engine_thread_hurry(e);
    pthread_join(e->thread, NULL);
    engine_shelf_close(&e->shelf);
    free(e->images);
    mailbox_fini(&e->mailbox);
    free(e);
}

void engine_thread_stats(struct engine_thread *e, struct engine_stats *out)
{
    uint64_t started_ns = atomic_load(&e->tick_started_ns);

    mailbox_stats(&e->mailbox, out);
    out->stalled =
        started_ns && uv_hrtime() - started_ns > (uint64_t)e->settings->stall_timeout_ms * 1000000;
}

const char *engine_thread_device(const struct engine_thread *e)
{
    return e->shelf.device_text;
}

const char *engine_thread_identity(const struct engine_thread *e)
{
    return e->shelf.identity;
}

void engine_thread_change(struct engine_thread *e, struct engine_change *change)
{
    if (!mailbox_want(&e->mailbox, change))
        e->wake(e->wake_arg);
}

struct engine_change *engine_thread_take_changed(struct engine_thread *e)
{
    return mailbox_take_changed(&e->mailbox);
}

void engine_thread_submit(struct engine_thread *e, struct job *job)
{
    mailbox_submit(&e->mailbox, job);
}

void engine_thread_cancel(struct job *job)
{
    atomic_store(&job->cancelled, true);
}

void engine_thread_settle(struct job *job)
{
    atomic_store(&job->enough, true);
}

struct job *engine_thread_take_done(struct engine_thread *e)
{
    return mailbox_take_done(&e->mailbox);
}
