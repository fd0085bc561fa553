#include "server/engine_thread.h"

#include "config/settings.h"
#include "engine/base/log.h"
#include "engine/base/trace.h"
#include "engine/device.h"
#include "engine/identity.h"
#include "model/generator.h"
#include "server/engine_model.h"
#include "server/job.h"
#include "server/mailbox.h"
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
    FAILURES_MAX = 3,      /* rounds that fail one after the other before the device is given up */
    TRACE_SPANS = 1 << 16, /* of each thread and of each model's ticks */
};

struct model {
    struct engine_model loaded;
    struct queue queue;
};

struct engine_thread {
    const struct settings *settings;
    void (*wake)(void *arg);
    void *wake_arg;
    pthread_t thread;

    /* Of the engine's thread alone; models, device_text and identity are readable by all once
     * ready. */
    struct device *device;
    char device_text[256];
    char identity[IDENTITY_BYTES];
    struct model models[SETTINGS_MODELS_MAX];
    int n_models;
    struct trace *trace;            /* NULL: none */
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
    e->stats.n_models = e->n_models;
    e->stats.slots = e->n_models * e->settings->slots;
    if (error)
        e->stats.error = *error;
    mailbox_publish(&e->mailbox, &e->stats);
    e->wake(e->wake_arg);
}

/* Loading */

static int load_model(struct engine_thread *e, const struct settings_model *setting,
                      const struct generator_options *options, struct error *err)
{
    struct model *m = &e->models[e->n_models];
    const struct engine_model *loaded = &m->loaded;
    uint64_t start_ns = uv_hrtime();
    int rc;

    rc = engine_model_load(e->device, setting, options, &m->loaded, err);
    if (rc < 0)
        return rc;
    /* Loading takes a while, and a daemon that is told to end should not see it through. */
    if (mailbox_is_stopped(&e->mailbox))
        return error_set(err, -ECANCELED, "told to stop");
    m->queue.parked_max = options->lanes;
    rc = engine_model_test(&m->loaded, err);
    if (rc < 0)
        return rc;
    if (!loaded->batch_invariant)
        log_write(LOG_WARN, "event=self_test model=%s error=%s", loaded->name,
                  LOG_TEXT(loaded->self_test.text));
    if (e->trace)
        rc = generator_trace(m->loaded.generator, e->trace, loaded->name, err);
    if (rc < 0)
        return rc;
    e->n_models++;
    log_write(LOG_INFO,
              "event=model name=%s checkpoint=%.12s corruption=%s side=%d precision=%s "
              "batch_invariant=%d memory_bytes=%zu ms=%.0f",
              loaded->name, loaded->digest, loaded->corruption, loaded->side_px, loaded->precision,
              loaded->batch_invariant, loaded->memory_bytes,
              (double)(uv_hrtime() - start_ns) / 1e6);
    return 0;
}

static int load(struct engine_thread *e, struct error *err)
{
    const struct settings *s = e->settings;
    struct generator_options options = {.lanes = s->slots, .nfe_max = s->max_nfe};
    int rc;

    rc = precision_parse(s->precision, &options.precision, err);
    if (rc == 0)
        rc = device_open(s->device, s->threads, s->choices, &e->device, err);
    if (rc == 0)
        rc = identity_of(e->device, options.precision, e->identity, err);
    if (rc == 0 && *s->trace)
        rc = trace_create(TRACE_SPANS, &e->trace, err);
    if (rc < 0)
        return rc;
    device_base(e->device)->ops->describe(e->device, e->device_text, sizeof(e->device_text));
    e->images = calloc((size_t)s->slots, sizeof(*e->images));
    if (!e->images)
        return error_set(err, -ENOMEM, "out of memory for %d slots", s->slots);
    for (int i = 0; i < s->n_models && rc == 0 && !mailbox_is_stopped(&e->mailbox); i++) {
        rc = load_model(e, &s->models[i], &options, err);
        if (rc == 0)
            publish_state(e, ENGINE_LOADING, NULL);
    }
    return rc;
}

/* A program that only watches must not make the daemon fail. */
static void write_trace(struct engine_thread *e)
{
    const char *path = e->settings->trace;
    struct error error;

    if (trace_write(e->trace, path, &error) < 0)
        log_write(LOG_ERROR, "event=trace error=%s", LOG_TEXT(error.text));
    else
        log_write(LOG_INFO, "event=trace file=%s", LOG_TEXT(path));
}

static void unload(struct engine_thread *e)
{
    if (e->trace)
        write_trace(e);
    for (int i = 0; i < SETTINGS_MODELS_MAX; i++) {
        engine_model_unload(&e->models[i].loaded);
    }
    trace_destroy(e->trace);
    free(e->images);
    device_close(e->device);
}

/* Computing */

static void count_lanes(struct engine_thread *e)
{
    e->stats.waiting = 0;
    e->stats.busy = 0;
    for (int i = 0; i < e->n_models; i++) {
        e->stats.waiting += e->models[i].queue.n_images;
        e->stats.busy += generator_busy(e->models[i].loaded.generator);
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
    struct model *m = &e->models[job->model];

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
    }
}

/* Gives a free lane to the job whose turn it is. */
static void start_image(struct engine_thread *e, struct model *m, struct job *job, bool parked)
{
    struct generator_task task = {.id = job->id,
                                  .seed = job->seed + (uint64_t)(job->n_started - 1),
                                  .sampler = job->sampler,
                                  .nfe = job->nfe};
    struct error error;
    int rc;

    if (parked) {
        rc = generator_resume(m->loaded.generator, job->id, &error);
    } else {
        if (job->n_started == 1)
            job->started_ns = uv_hrtime();
        rc = generator_submit(m->loaded.generator, &task, &error);
    }
    if (rc < 0) {
        job->error = error;
        abandon_job(e, job, rc);
    }
}

static void share_lanes(struct engine_thread *e, struct model *m)
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

/* A black picture that is told to be one: the request is of no use without it. */
static void fail_not_finite(struct engine_thread *e, struct model *m, struct job *job,
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

static void deliver(struct engine_thread *e, struct model *m, const struct generator_image *image)
{
    size_t bytes =
        (size_t)m->loaded.side_px * (size_t)m->loaded.side_px * (size_t)m->loaded.channels;
    struct job *job = e->active;

    while (job && job->id != image->id)
        job = job->next;
    if (!job) /* its request was given up with another image of this tick */
        return;
    if (!image->finite) {
        fail_not_finite(e, m, job, image);
        return;
    }
    memcpy(job->pixels + (size_t)(image->seed - job->seed) * bytes, image->pixels, bytes);
    e->stats.images++;
    queue_finish(&m->queue, job);
    if (++job->n_finished == job->n)
        finish_job(e, job, 0);
}

static void fail_model(struct engine_thread *e, const struct model *m, int status,
                       const struct error *error)
{
    struct job *job, *next;

    log_write(LOG_ERROR, "event=tick_failed model=%s error=%s", m->loaded.name,
              LOG_TEXT(error->text));
    for (job = e->active; job; job = next) {
        next = job->next;
        if (&e->models[job->model] != m || job->n_lanes == 0)
            continue;
        job->error = *error;
        abandon_job(e, job, status);
    }
}

/* One network evaluation of a model's busy lanes. */
static void tick(struct engine_thread *e, struct model *m)
{
    int busy = generator_busy(m->loaded.generator), n = 0, rc;
    uint64_t start_ns = uv_hrtime();
    struct error error;
    double rate;

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
    rate = (double)busy * 1e9 / (double)(uv_hrtime() - start_ns + 1);
    e->stats.evaluations_per_s =
        e->stats.evaluations_per_s > 0 ? 0.9 * e->stats.evaluations_per_s + 0.1 * rate : rate;
    for (int i = 0; i < n; i++)
        deliver(e, m, &e->images[i]);
}

/* Takes in what was submitted; sleeps while there is nothing to do. False: stop. */
static bool take_submitted(struct engine_thread *e)
{
    struct job *job, *next;

    if (!mailbox_take_submitted(&e->mailbox, !e->active, &job))
        return false;
    for (; job; job = next) {
        next = job->next;
        job->next = e->active;
        e->active = job;
        queue_push(&e->models[job->model].queue, job);
    }
    return true;
}

static void publish_stats(struct engine_thread *e)
{
    count_lanes(e);
    mailbox_publish(&e->mailbox, &e->stats);
}

static void compute(struct engine_thread *e)
{
    while (take_submitted(e)) {
        drop_cancelled(e);
        for (int i = 0; i < e->n_models; i++) {
            share_lanes(e, &e->models[i]);
            publish_stats(e);
            if (generator_busy(e->models[i].loaded.generator) > 0)
                tick(e, &e->models[i]);
        }
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

void engine_thread_stop(struct engine_thread *e)
{
    if (!e)
        return;
    mailbox_stop(&e->mailbox);
    pthread_join(e->thread, NULL);
    unload(e);
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
    return e->n_models;
}

const struct engine_model *engine_thread_model(const struct engine_thread *e, int i)
{
    return &e->models[i].loaded;
}

const char *engine_thread_device(const struct engine_thread *e)
{
    return e->device_text;
}

const char *engine_thread_identity(const struct engine_thread *e)
{
    return e->identity;
}

void engine_thread_submit(struct engine_thread *e, struct job *job)
{
    mailbox_submit(&e->mailbox, job);
}

void engine_thread_cancel(struct job *job)
{
    atomic_store(&job->cancelled, true);
}

struct job *engine_thread_take_done(struct engine_thread *e)
{
    return mailbox_take_done(&e->mailbox);
}
