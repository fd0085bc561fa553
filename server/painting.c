/* A painting lives as long as its job is with the engines, its images with the pool, or somebody has a
 * drawing of it; a drawing as long as its timer, and the pool where it encodes for it. The pool walks
 * along the list of drawings: meanwhile others may come, before those that it knows of, and none is freed.
 */
#include "server/drawing_parts.h"

#include "api/problem.h"
#include "engine/base/log.h"
#include "model/restoration.h"
#include "server/admission.h"
#include "server/engine_model.h"
#include "server/engines.h"
#include "server/models.h"
#include "server/progress.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ending */

void painting_destroy(struct painting *p)
{
    if (!p)
        return;
    progress_destroy(p->job.progress);
    restoration_destroy(p->job.restoration);
    free(p->nfe_done);
    free(p->job.parts);
    free(p->job.pixels);
    free(p);
}

void painting_settle(struct painting *p)
{
    struct drawings *all = p->all;
    struct drawing **link = &p->drawings, *d;

    while (!p->with_pool && (d = *link)) {
        if (d->with_timer) {
            link = &d->next;
            continue;
        }
        *link = d->next;
        d->client->release(d->owner);
        free(d);
    }
    if (p->with_engine || p->with_pool || p->drawings)
        return;
    painting_count(p);
    if (p->next)
        p->next->previous = p->previous;
    if (p->previous)
        p->previous->next = p->next;
    else
        all->first = p->next;
    all->n--;
    models_release(all->models, p->model);
    painting_destroy(p);
}

int painting_count_waiting(const struct painting *p)
{
    int n = 0;

    for (const struct drawing *d = p->drawings; d; d = d->next)
        n += !d->status;
    return n;
}

static void end_all(struct painting *p, int status, const char *detail)
{
    struct problem problem = {.retry_after_s = 0};

    problem_set(&problem, status, "%s", detail);
    for (struct drawing *d = p->drawings; d; d = d->next)
        drawing_end(d, &problem);
}

/* Encoding */

/* 0 or -ENOMEM. */
static int finish_restorations(struct painting *p, struct error *err)
{
    size_t side = (size_t)p->model->side_px, bytes = side * side * (size_t)p->model->channels;

    for (int i = 0; p->job.restoration && !p->finished && i < p->job.n; i++)
        if (restoration_finish(p->job.restoration, p->job.pixels + (size_t)i * bytes) < 0)
            return error_set(err, -ENOMEM, "out of memory to finish a restoration");
    p->finished = true;
    return 0;
}

static void encode(uv_work_t *work)
{
    struct painting *p = work->data;
    const struct drawing_order order = {.model = p->model,
                                        .sampling = {p->job.sampler, p->job.nfe},
                                        .seed = p->job.seed,
                                        .seed_b = p->job.seed_b,
                                        .mix = p->job.mix,
                                        .label = p->job.label,
                                        .guidance = p->job.guidance,
                                        .n = p->job.n,
                                        .restored = p->job.restoration ? &p->restored : NULL};
    struct samples_response images;
    struct error error;
    int rc;

    drawings_describe(p->all, &order, &images);
    images.pixels = p->job.pixels;
    images.nfe_done = p->nfe_done;
    rc = finish_restorations(p, &error);
    for (struct drawing *d = p->encoded_first; d; d = d->next) {
        if (!d->encodes)
            continue;
        d->encoded = rc;
        if (rc < 0)
            d->error = error;
        else
            d->encoded = d->client->encode(d->owner, &images, &d->error);
    }
}

static void on_encoded(uv_work_t *work, int status);

/* For those who wait and have come since the last time. Whether there are such. */
static bool begin_encoding(struct painting *p)
{
    bool any = false;

    for (struct drawing *d = p->drawings; d; d = d->next) {
        d->encodes = !d->status;
        any |= d->encodes;
    }
    if (!any)
        return false;
    p->encoded_first = p->drawings;
    p->encoding.data = p;
    p->with_pool = true;
    uv_queue_work(p->all->loop, &p->encoding, encode, on_encoded);
    return true;
}

static void on_encoded(uv_work_t *work, int status)
{
    struct painting *p = work->data;
    struct problem problem;

    p->with_pool = false;
    p->encoded_ns = uv_hrtime();
    for (struct drawing *d = p->encoded_first; d; d = d->next) {
        if (!d->encodes)
            continue;
        problem = (struct problem){.retry_after_s = 0};
        if (d->encoded < 0)
            problem_set(&problem, d->encoded == -ENOMEM ? 503 : 500, "%s", d->error.text);
        drawing_end(d, d->encoded < 0 ? &problem : NULL);
    }
    if (!begin_encoding(p))
        painting_settle(p);
}

/* The images that are not finished become what they would look like. 0 or -ENOMEM. */
static int take_best(struct painting *p)
{
    size_t bytes =
        (size_t)p->model->side_px * (size_t)p->model->side_px * (size_t)p->model->channels;

    p->nfe_done = calloc((size_t)p->job.n, sizeof(*p->nfe_done));
    if (!p->nfe_done)
        return -ENOMEM;
    for (int i = 0; i < p->job.n; i++)
        p->nfe_done[i] = progress_read(p->job.progress, i, NULL, p->job.pixels + (size_t)i * bytes);
    return 0;
}

void painting_take_back(struct painting *p)
{
    struct job *job = &p->job;

    p->with_engine = false;
    admission_leave(p->all->admission, job);
    if (job->status < 0 && job->status != -ECANCELED) {
        log_write(LOG_ERROR, "event=job_failed id=%s error=%s", p->id, LOG_TEXT(job->error.text));
        end_all(p, 500,
                job->status == -EDOM ? job->error.text
                                     : "the device failed; the request may be sent again");
    } else if (job->status == 0 && job->n_finished < job->n && take_best(p) < 0) {
        end_all(p, 503, "out of memory");
    } else if (job->status == 0 && begin_encoding(p)) {
        return;
    }
    painting_settle(p);
}

/* Beginning */

/* What the images of an order are named by. */
static void name_images(const struct drawings *all, const struct drawing_order *order,
                        uint8_t key[PERMALINK_KEY_BYTES])
{
    struct samples_response images;

    drawings_describe(all, order, &images);
    permalink_answer_key(&images, key);
}

struct painting *painting_find(const struct drawings *all, const struct drawing_order *order)
{
    uint8_t key[PERMALINK_KEY_BYTES];

    if (!*order->same || order->best_ms > 0)
        return NULL;
    name_images(all, order, key);
    for (struct painting *p = all->first; p; p = p->next)
        if (strcmp(p->same, order->same) == 0 && memcmp(p->key, key, sizeof(key)) == 0 &&
            p->model == order->model && p->job.priority == order->priority &&
            (p->with_pool || (p->with_engine && !atomic_load(&p->job.cancelled))))
            return p;
    return NULL;
}

struct painting *painting_create(struct drawings *all, const struct drawing_order *order)
{
    struct engine_model *model = order->model;
    size_t side = (size_t)model->side_px, bytes = side * side * (size_t)model->channels;
    bool joined = *order->same && order->best_ms == 0;
    bool watched = order->best_ms > 0 || order->stop_after > 0 || order->client->progress || joined;
    /* The pictures that a restoration goes by are in one place. */
    bool parted = order->n > 1 && engines_count(all->engines) > 1 && !order->restoration;
    struct painting *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->all = all;
    p->model = model;
    snprintf(p->id, sizeof(p->id), "%s", order->request_id);
    if (joined) {
        memcpy(p->same, order->same, sizeof(p->same));
        name_images(all, order, p->key);
    }
    p->job.model = order->model;
    p->job.sampler = order->sampling.sampler;
    p->job.nfe = order->sampling.nfe;
    p->job.evaluations = drawing_order_evaluations(order);
    p->job.label = order->label;
    p->job.guidance = order->guidance;
    p->job.seed = order->seed;
    p->job.seed_b = order->seed_b;
    p->job.mix = order->mix;
    p->job.n = order->n;
    p->job.priority = order->priority;
    p->job.stop_after = order->stop_after;
    p->job.owner = p;
    p->job.pixels = malloc((size_t)order->n * bytes);
    if (watched)
        p->job.progress = progress_create(order->n, bytes);
    if (parted)
        p->job.parts = calloc((size_t)engines_count(all->engines), sizeof(*p->job.parts));
    if (p->job.pixels && (!watched || p->job.progress) && (!parted || p->job.parts))
        return p;
    painting_destroy(p);
    return NULL;
}

void painting_begin(struct painting *p, const struct drawing_order *order)
{
    struct drawings *all = p->all;

    p->admitted_ns = uv_hrtime();
    p->next = all->first;
    if (p->next)
        p->next->previous = p;
    all->first = p;
    all->n++;
    models_hold(p->model);
    p->job.restoration = order->restoration;
    if (order->restoration)
        p->restored = *order->restored;
    admission_enter(all->admission, &p->job);
    p->with_engine = true;
    engines_submit(all->engines, &p->job);
}
