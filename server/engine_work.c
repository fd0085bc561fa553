/* The work of the engine's thread: lanes for jobs, ticks, and what comes out of them. */
#include "server/engine_thread_parts.h"

#include "api/request.h"
#include "engine/base/log.h"
#include "model/generator.h"
#include "model/restoration.h"
#include "server/engine_model.h"
#include "server/job.h"
#include "server/progress.h"
#include "server/queue/queue.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <uv.h>

enum { NOT_FINITE_MAX = 3 }; /* images, before the model is told to be unhealthy */

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
    e->stats.evaluations_open[job->priority] -= (uint64_t)job->n_evaluations;
    count_lanes(e);
    mailbox_finish(&e->mailbox, job, &e->stats);
    e->wake(e->wake_arg);
}

void engine_abandon_job(struct engine_thread *e, struct job *job, int status)
{
    struct shelf_model *m = job->on;

    queue_remove(&m->queue, &job->queued);
    generator_cancel(m->loaded.generator, job->id);
    finish_job(e, job, status);
}

void engine_drop_cancelled(struct engine_thread *e)
{
    struct job *job, *next;

    for (job = e->active; job; job = next) {
        next = job->next;
        if (atomic_load(&job->whole->cancelled))
            engine_abandon_job(e, job, -ECANCELED);
        else if (atomic_load(&job->whole->enough))
            engine_abandon_job(e, job, 0);
    }
}

/* Gives a free lane to the job whose turn it is. */
static void start_image(struct engine_thread *e, struct shelf_model *m, struct job *job,
                        bool parked)
{
    struct generator_task task = {.id = job->id,
                                  .seed = job->seed + (uint64_t)(job->queued.n_started - 1),
                                  .sampler = job->sampler,
                                  .nfe = job->nfe,
                                  .mixed = job->mix > 0,
                                  .seed_b = job->seed_b + (uint64_t)(job->queued.n_started - 1),
                                  .mix = (double)job->mix / REQUEST_MIX_WHOLE,
                                  .label = job->label,
                                  .guided = job->evaluations > job->nfe,
                                  .guidance = (float)job->guidance / REQUEST_GUIDANCE_ONE,
                                  .previews = job->progress != NULL};
    struct error error;
    int rc;

    if (parked) {
        rc = generator_resume(m->loaded.generator, job->id, &error);
    } else {
        if (job->queued.n_started == 1) {
            job->started_ns = uv_hrtime();
            atomic_store(&job->whole->begun, true);
        }
        if (job->restoration)
            restoration_lead(job->restoration, &task);
        rc = generator_submit(m->loaded.generator, &task, &error);
    }
    if (rc < 0) {
        job->error = error;
        engine_abandon_job(e, job, rc);
    }
}

static void share_lanes(struct engine_thread *e, struct shelf_model *m)
{
    struct queue_job *queued;
    struct error error;
    struct job *job;
    bool parked;
    int rc;

    for (;;) {
        if (generator_busy(m->loaded.generator) == generator_lanes(m->loaded.generator)) {
            queued = queue_park(&m->queue);
            if (!queued)
                return;
            job = queued->owner;
            rc = generator_park(m->loaded.generator, job->id, &error);
            if (rc < 0) {
                job->error = error;
                engine_abandon_job(e, job, rc);
            }
        }
        queued = queue_take(&m->queue, &parked);
        if (!queued)
            return;
        start_image(e, m, queued->owner, parked);
    }
}

/* An unhealthy model goes on being asked: a good image shows that it is well again. */
static void judge_model(struct engine_model *m, bool finite)
{
    int n = finite ? 0 : atomic_load(&m->n_not_finite) + 1; /* two devices may count one */
    bool unhealthy = n >= NOT_FINITE_MAX;

    atomic_store(&m->n_not_finite, n);
    if (unhealthy != atomic_exchange(&m->unhealthy, unhealthy))
        log_write(unhealthy ? LOG_ERROR : LOG_INFO, "event=model_%s model=%s not_finite=%d",
                  unhealthy ? "unhealthy" : "healthy", m->name, n);
}

/* A black picture that is told to be one: the request is of no use without it. */
static void fail_not_finite(struct engine_thread *e, struct shelf_model *m, struct job *job,
                            const struct generator_image *image)
{
    int rc =
        error_set(&job->error, -EDOM,
                  "model \"%s\": the image of seed %" PRIu64 " has numbers that are not finite",
                  m->loaded.model->name, image->seed);

    e->stats.images_not_finite++;
    queue_finish(&m->queue, &job->queued);
    if (job->n_finished + 1 == job->n)
        finish_job(e, job, rc);
    else
        engine_abandon_job(e, job, rc);
}

static void deliver(struct engine_thread *e, struct shelf_model *m,
                    const struct generator_image *image)
{
    struct engine_model *model = m->loaded.model;
    size_t bytes = (size_t)model->side_px * (size_t)model->side_px * (size_t)model->channels;
    struct job *job = e->active;
    int i, n_done; /* of the sampler's evaluations, of which a guided image has two each */

    while (job && job->id != image->id)
        job = job->next;
    if (!job) /* its request was given up with another image of this tick */
        return;
    if (image->finished || !image->finite) /* one on its way says nothing yet */
        judge_model(model, image->finite);
    if (!image->finite) {
        fail_not_finite(e, m, job, image);
        return;
    }
    i = (int)(image->seed - job->seed);
    n_done = image->n_done * job->nfe / job->evaluations;
    if (job->progress && n_done > 0)
        progress_update(job->progress, job->first + i, n_done, image);
    if (!image->finished) {
        if (job->stop_after > 0 && n_done >= job->stop_after)
            engine_abandon_job(e, job, 0);
        return;
    }
    memcpy(job->pixels + (size_t)i * bytes, image->pixels, bytes);
    e->stats.images++;
    queue_finish(&m->queue, &job->queued);
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

    log_write(LOG_ERROR, "event=tick_failed model=%s device=%s error=%s", m->loaded.model->name,
              e->options.label, LOG_TEXT(error->text));
    for (job = e->active; job; job = next) {
        next = job->next;
        if (job->on != m || job->queued.n_lanes == 0)
            continue;
        job->error = *error;
        engine_abandon_job(e, job, status);
    }
}

static void count_evaluations(struct engine_thread *e, const struct shelf_model *m)
{
    for (struct job *job = e->active; job; job = job->next)
        if (job->on == m) {
            int n = job->queued.n_lanes;

            job->n_evaluations += n;
            atomic_fetch_add(&job->whole->n_evaluated, n);
            e->stats.evaluations += (uint64_t)n;
            e->stats.evaluations_open[job->priority] += (uint64_t)n;
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
    if (rc == -ECANCELED) /* all is given up */
        return;
    if (rc < 0) {
        e->n_failures = rc == -ENODEV ? ENGINE_FAILURES_MAX : e->n_failures + 1;
        fail_model(e, m, rc, &error);
        return;
    }
    e->n_failures = 0;
    count_evaluations(e, m);
    seconds = (double)(uv_hrtime() - start_ns + 1) / 1e9;
    *rate += (*rate > 0 ? 0.1 : 1) * (busy / seconds - *rate);
    pace_add(&m->loaded.model->pace, busy, seconds);
    histogram_add(&e->stats.tick_seconds, &histogram_seconds, seconds);
    histogram_add(&e->stats.batch_size, &histogram_images, busy);
    for (int i = 0; i < n; i++)
        deliver(e, m, &e->images[i]);
    tell_progress(e, e->images, n);
}

static void publish_stats(struct engine_thread *e)
{
    count_lanes(e);
    mailbox_publish(&e->mailbox, &e->stats);
}

void engine_tick_models(struct engine_thread *e)
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
