#include "server/engine_thread.h"

#include "api/request.h"
#include "config/model_folder.h"
#include "engine/base/log.h"
#include "model/generator.h"
#include "model/restoration.h"
#include "server/engine_model.h"
#include "server/engine_shelf.h"
#include "server/job.h"
#include "server/mailbox.h"
#include "server/progress.h"
#include "server/queue.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum {
    FAILURES_MAX = 3,   /* rounds that fail one after the other before the device is given up */
    NOT_FINITE_MAX = 3, /* images, before the model is told to be unhealthy */
};

struct engine_thread {
    const struct settings *settings;
    void (*wake)(void *arg);
    void *wake_arg;
    pthread_t thread;

    /* Of the engine's thread alone; the shelf is readable by all once ready. */
    struct engine_shelf shelf;
    struct generator_image *images; /* [slots] */
    struct job *active;             /* all jobs with images waiting or in lanes */
    int n_failures;

    atomic_uint_least64_t tick_started_ns; /* 0: no tick runs */

    struct engine_stats stats; /* as they are published */
    struct mailbox mailbox;    /* where the threads meet */
};

static void publish_state(struct engine_thread *e, enum engine_state state,
                          const struct error *error)
{
    e->stats.state = state;
    e->stats.n_models = e->shelf.n_models;
    e->stats.slots = e->shelf.n_models * e->settings->slots;
    if (error)
        e->stats.error = *error;
    mailbox_publish(&e->mailbox, &e->stats);
    e->wake(e->wake_arg);
}

/* Loading */

static bool is_stopped(void *arg)
{
    struct engine_thread *e = arg;

    return mailbox_is_stopped(&e->mailbox);
}

static int load(struct engine_thread *e, struct error *err)
{
    struct settings_model models[SETTINGS_MODELS_MAX];
    struct checkpoint *checkpoint;
    struct engine_model *loaded;
    int n_models, rc;

    rc = model_folder_list(e->settings, models, &n_models, err);
    if (rc == 0)
        rc = engine_shelf_open(&e->shelf, e->settings, err);
    if (rc < 0)
        return rc;
    e->images = calloc((size_t)e->settings->slots, sizeof(*e->images));
    if (!e->images)
        return error_set(err, -ENOMEM, "out of memory for %d slots", e->settings->slots);
    for (int i = 0; i < n_models && rc == 0 && !is_stopped(e); i++) {
        rc = engine_model_read(&models[i], &checkpoint, err);
        if (engine_model_passes_over(&models[i], rc)) {
            log_write(LOG_INFO, "event=model_passed_over path=%s", LOG_TEXT(models[i].path));
            rc = 0;
            continue;
        }
        if (rc == 0)
            rc = engine_shelf_add(&e->shelf, models[i].name, checkpoint, is_stopped, e, &loaded,
                                  err);
        if (rc == 0)
            publish_state(e, ENGINE_LOADING, NULL);
    }
    if (rc == 0 && e->shelf.n_models == 0 && !is_stopped(e))
        rc = error_set(err, -EINVAL, ENGINE_MODEL_NONE, e->settings->model_dir);
    return rc;
}

/* Between two ticks. */
static void make_change(struct engine_thread *e, struct engine_change *change)
{
    if (change->checkpoint) {
        change->status = engine_shelf_add(&e->shelf, change->name, change->checkpoint, is_stopped,
                                          e, &change->model, &change->error);
        change->checkpoint = NULL;
    } else {
        engine_shelf_remove(&e->shelf, change->model);
    }
    e->stats.n_models = e->shelf.n_models;
    e->stats.slots = e->shelf.n_models * e->settings->slots;
    mailbox_changed(&e->mailbox, change, &e->stats);
    e->wake(e->wake_arg);
}

/* Computing */

/* What the loop knows of a model begins what is on the shelf. */
static struct shelf_model *model_of(const struct job *job)
{
    return (struct shelf_model *)(void *)job->model;
}

static void count_lanes(struct engine_thread *e)
{
    e->stats.waiting = 0;
    e->stats.busy = 0;
    for (struct shelf_model *m = e->shelf.models; m; m = m->next) {
        e->stats.waiting += m->queue.n_images;
        e->stats.busy += generator_busy(m->loaded.generator);
    }
}

static void finish_job(struct engine_thread *e, struct job *job, int status)
{
    struct job **link = &e->active;

    while (*link != job)
        link = &(*link)->next;
    *link = job->next;
    job->status = status;
    job->finished_ns = uv_hrtime();
    count_lanes(e);
    mailbox_finish(&e->mailbox, job, &e->stats);
    e->wake(e->wake_arg);
}

/* Gives up what a job still has in lanes and in its queue. */
static void abandon_job(struct engine_thread *e, struct job *job, int status)
{
    struct shelf_model *m = model_of(job);

    queue_remove(&m->queue, job);
    generator_cancel(m->loaded.generator, job->id);
    finish_job(e, job, status);
}

static void drop_cancelled(struct engine_thread *e)
{
    struct job *job, *next;

    for (job = e->active; job; job = next) {
        next = job->next;
        if (atomic_load(&job->cancelled))
            abandon_job(e, job, -ECANCELED);
        else if (atomic_load(&job->enough))
            abandon_job(e, job, 0);
    }
}

/* Gives a free lane to the job whose turn it is. */
static void start_image(struct engine_thread *e, struct shelf_model *m, struct job *job,
                        bool parked)
{
    struct generator_task task = {.id = job->id,
                                  .seed = job->seed + (uint64_t)(job->n_started - 1),
                                  .sampler = job->sampler,
                                  .nfe = job->nfe,
                                  .mixed = job->mix > 0,
                                  .seed_b = job->seed_b + (uint64_t)(job->n_started - 1),
                                  .mix = (double)job->mix / REQUEST_MIX_WHOLE,
                                  .previews = job->progress != NULL};
    struct error error;
    int rc;

    if (parked) {
        rc = generator_resume(m->loaded.generator, job->id, &error);
    } else {
        if (job->n_started == 1) {
            job->started_ns = uv_hrtime();
            atomic_store(&job->begun, true);
        }
        if (job->restoration)
            restoration_lead(job->restoration, &task);
        rc = generator_submit(m->loaded.generator, &task, &error);
    }
    if (rc < 0) {
        job->error = error;
        abandon_job(e, job, rc);
    }
}

static void share_lanes(struct engine_thread *e, struct shelf_model *m)
{
    struct error error;
    struct job *job;
    bool parked;
    int rc;

    for (;;) {
        if (generator_busy(m->loaded.generator) == generator_lanes(m->loaded.generator)) {
            job = queue_park(&m->queue);
            if (!job)
                return;
            rc = generator_park(m->loaded.generator, job->id, &error);
            if (rc < 0) {
                job->error = error;
                abandon_job(e, job, rc);
            }
        }
        job = queue_take(&m->queue, &parked);
        if (!job)
            return;
        start_image(e, m, job, parked);
    }
}

/* An unhealthy model goes on being asked: a good image shows that it is well again. */
static void judge_model(struct engine_model *m, bool finite)
{
    bool unhealthy;

    m->n_not_finite = finite ? 0 : m->n_not_finite + 1;
    unhealthy = m->n_not_finite >= NOT_FINITE_MAX;
    if (unhealthy != atomic_exchange(&m->unhealthy, unhealthy))
        log_write(unhealthy ? LOG_ERROR : LOG_INFO, "event=model_%s model=%s not_finite=%d",
                  unhealthy ? "unhealthy" : "healthy", m->name, m->n_not_finite);
}

/* A black picture that is told to be one: the request is of no use without it. */
static void fail_not_finite(struct engine_thread *e, struct shelf_model *m, struct job *job,
                            const struct generator_image *image)
{
    int rc =
        error_set(&job->error, -EDOM,
                  "model \"%s\": the image of seed %" PRIu64 " has numbers that are not finite",
                  m->loaded.name, image->seed);

    e->stats.images_not_finite++;
    queue_finish(&m->queue, job);
    if (job->n_finished + 1 == job->n)
        finish_job(e, job, rc);
    else
        abandon_job(e, job, rc);
}

static void deliver(struct engine_thread *e, struct shelf_model *m,
                    const struct generator_image *image)
{
    size_t bytes =
        (size_t)m->loaded.side_px * (size_t)m->loaded.side_px * (size_t)m->loaded.channels;
    struct job *job = e->active;
    int i;

    while (job && job->id != image->id)
        job = job->next;
    if (!job) /* its request was given up with another image of this tick */
        return;
    if (image->finished || !image->finite) /* one on its way says nothing yet */
        judge_model(&m->loaded, image->finite);
    if (!image->finite) {
        fail_not_finite(e, m, job, image);
        return;
    }
    i = (int)(image->seed - job->seed);
    if (job->progress)
        progress_update(job->progress, i, image);
    if (!image->finished) {
        if (job->stop_after > 0 && image->n_done >= job->stop_after)
            abandon_job(e, job, 0);
        return;
    }
    memcpy(job->pixels + (size_t)i * bytes, image->pixels, bytes);
    e->stats.images++;
    queue_finish(&m->queue, job);
    if (++job->n_finished == job->n)
        finish_job(e, job, 0);
}

/* A finished job wakes the loop by itself. */
static void tell_progress(struct engine_thread *e, const struct generator_image *images, int n)
{
    for (int i = 0; i < n; i++)
        if (!images[i].finished) {
            e->wake(e->wake_arg);
            return;
        }
}

static void fail_model(struct engine_thread *e, const struct shelf_model *m, int status,
                       const struct error *error)
{
    struct job *job, *next;

    log_write(LOG_ERROR, "event=tick_failed model=%s error=%s", m->loaded.name,
              LOG_TEXT(error->text));
    for (job = e->active; job; job = next) {
        next = job->next;
        if (model_of(job) != m || job->n_lanes == 0)
            continue;
        job->error = *error;
        abandon_job(e, job, status);
    }
}

/* One network evaluation of a model's busy lanes. */
static void tick(struct engine_thread *e, struct shelf_model *m)
{
    int busy = generator_busy(m->loaded.generator), n = 0, rc;
    uint64_t start_ns = uv_hrtime();
    double seconds, *rate = &e->stats.evaluations_per_s;
    struct error error;

    atomic_store(&e->tick_started_ns, start_ns);
    rc = generator_tick(m->loaded.generator, e->images, &n, &error);
    atomic_store(&e->tick_started_ns, 0);
    if (rc < 0) {
        e->n_failures = rc == -ENODEV ? FAILURES_MAX : e->n_failures + 1;
        fail_model(e, m, rc, &error);
        return;
    }
    e->n_failures = 0;
    e->stats.evaluations += (uint64_t)busy;
    seconds = (double)(uv_hrtime() - start_ns + 1) / 1e9;
    *rate += (*rate > 0 ? 0.1 : 1) * (busy / seconds - *rate);
    pace_add(&m->loaded.pace, busy, seconds);
    histogram_add(&e->stats.tick_seconds, &histogram_seconds, seconds);
    histogram_add(&e->stats.batch_size, &histogram_images, busy);
    for (int i = 0; i < n; i++)
        deliver(e, m, &e->images[i]);
    tell_progress(e, e->images, n);
}

/* Takes in what was submitted; sleeps while there is nothing to do. False: stop. */
static bool take_submitted(struct engine_thread *e)
{
    struct engine_change *change;
    struct job *job, *next;

    if (!mailbox_take_submitted(&e->mailbox, !e->active, &job, &change))
        return false;
    if (change)
        make_change(e, change);
    for (; job; job = next) {
        next = job->next;
        job->next = e->active;
        e->active = job;
        queue_push(&model_of(job)->queue, job);
    }
    return true;
}

static void publish_stats(struct engine_thread *e)
{
    count_lanes(e);
    mailbox_publish(&e->mailbox, &e->stats);
}

/* One tick of every model that has work; of those with work in the background alone only where nobody
 * waits for another. */
static void tick_models(struct engine_thread *e)
{
    bool urgent = false;

    for (struct shelf_model *m = e->shelf.models; m; m = m->next) {
        share_lanes(e, m);
        urgent |= queue_is_urgent(&m->queue);
    }
    for (struct shelf_model *m = e->shelf.models; m; m = m->next) {
        publish_stats(e);
        if (generator_busy(m->loaded.generator) > 0 && urgent == queue_is_urgent(&m->queue))
            tick(e, m);
    }
}

static void compute(struct engine_thread *e)
{
    while (take_submitted(e)) {
        drop_cancelled(e);
        tick_models(e);
        if (e->n_failures >= FAILURES_MAX)
            return;
    }
}

/* Hands every job back unserved until told to stop. */
static void refuse(struct engine_thread *e, const struct error *error)
{
    while (take_submitted(e))
        while (e->active) {
            e->active->error = *error;
            abandon_job(e, e->active, -EIO);
        }
}

static void *run(void *arg)
{
    struct engine_thread *e = arg;
    struct error error = {""};

    if (load(e, &error) < 0) {
        publish_state(e, ENGINE_FAILED, &error);
        return NULL;
    }
    publish_state(e, ENGINE_READY, NULL);
    compute(e);
    if (e->n_failures >= FAILURES_MAX) {
        error_set(&error, -EIO, "the device is lost, or failed %d times in a row", FAILURES_MAX);
        log_write(LOG_ERROR, "event=engine_failed error=%s", LOG_TEXT(error.text));
        publish_state(e, ENGINE_FAILED, &error);
        refuse(e, &error);
    }
    return NULL;
}

/* The loop's side */

int engine_thread_start(const struct settings *settings, void (*wake)(void *arg), void *arg,
                        struct engine_thread **out, struct error *err)
{
    struct engine_thread *e = calloc(1, sizeof(*e));
    int rc;

    if (!e)
        return error_set(err, -ENOMEM, "out of memory starting the engine");
    e->settings = settings;
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
    mailbox_stop(&e->mailbox);
}

void engine_thread_stop(struct engine_thread *e)
{
    if (!e)
        return;
    mailbox_stop(&e->mailbox);
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

int engine_thread_models(const struct engine_thread *e)
{
    return e->shelf.n_models;
}

struct engine_model *engine_thread_model(const struct engine_thread *e, int i)
{
    struct shelf_model *m = e->shelf.models;

    while (i-- > 0)
        m = m->next;
    return &m->loaded;
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
    mailbox_want(&e->mailbox, change);
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
