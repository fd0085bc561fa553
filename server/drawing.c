/* A drawing lives as long as its job is with the engine's thread or its images with the pool, also
 * when its client has long been told: settle() frees it when all have let go.
 */
#include "server/drawing_parts.h"

#include "api/problem.h"
#include "api/request.h"
#include "engine/base/log.h"
#include "model/restoration.h"
#include "server/admission.h"
#include "server/engine_model.h"
#include "server/engines.h"
#include "server/forecast.h"
#include "server/keys.h"
#include "server/models.h"
#include "server/progress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    STATUS_GONE = 499,
    SETTLING_MS = 1000, /* for the engine to hand over what there is, and to encode it */
};

/* Ending */

static void destroy(struct drawing *d)
{
    progress_destroy(d->job.progress);
    restoration_destroy(d->job.restoration);
    free(d->nfe_done);
    free(d->job.parts);
    free(d->job.pixels);
    free(d);
}

static void settle(struct drawing *d)
{
    struct drawings *all = d->all;

    if (d->with_engine || d->with_pool || d->with_timer)
        return;
    drawing_count(d);
    if (d->next)
        d->next->previous = d->previous;
    if (d->previous)
        d->previous->next = d->next;
    else
        all->first = d->next;
    all->n--;
    d->client->release(d->owner);
    models_release(all->models, d->model);
    destroy(d);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct drawing *d = handle->data;

    d->with_timer = false;
    settle(d);
}

/* Nobody waits for the images any more. */
static void detach(struct drawing *d, int status)
{
    d->status = status;
    uv_close((uv_handle_t *)&d->deadline, on_timer_closed);
    if (d->with_engine)
        engine_thread_cancel(&d->job);
}

static void fail(struct drawing *d, int status, int retry_after_s, const char *detail)
{
    struct problem problem = {.retry_after_s = retry_after_s};

    if (d->status)
        return;
    detach(d, status);
    problem_set(&problem, status, "%s", detail);
    d->client->done(d->owner, &problem);
}

void drawing_cancel(struct drawing *d)
{
    detach(d, STATUS_GONE);
}

static void on_deadline(uv_timer_t *handle)
{
    struct drawing *d = handle->data;
    char detail[160];

    snprintf(detail, sizeof(detail),
             "the deadline of %d ms passed before the images were there; ask for fewer, for a "
             "smaller nfe or with a longer %s",
             d->timeout_ms, d->timeout_name);
    fail(d, 504, 0, detail);
}

/* What there is has to do, if there is anything. */
static void on_best(uv_timer_t *handle)
{
    struct drawing *d = handle->data;
    int left_ms = d->timeout_ms - d->best_ms;

    if (!d->with_engine || progress_evaluations(d->job.progress) > 0) {
        engine_thread_settle(&d->job);
        uv_timer_start(&d->deadline, on_deadline,
                       (uint64_t)(left_ms > SETTLING_MS ? left_ms : SETTLING_MS), 0);
        return;
    }
    fail(d, 504, 0, "the deadline passed before there was a first picture");
}

/* The images that are not finished become what they would look like. 0 or -ENOMEM. */
static int take_best(struct drawing *d)
{
    size_t bytes =
        (size_t)d->model->side_px * (size_t)d->model->side_px * (size_t)d->model->channels;

    d->nfe_done = calloc((size_t)d->job.n, sizeof(*d->nfe_done));
    if (!d->nfe_done)
        return -ENOMEM;
    for (int i = 0; i < d->job.n; i++)
        d->nfe_done[i] = progress_read(d->job.progress, i, NULL, d->job.pixels + (size_t)i * bytes);
    return 0;
}

/* Encoding */

void drawings_describe(const struct drawings *all, const struct drawing_order *order,
                       struct samples_response *out)
{
    const struct engine_model *model = order->model;

    *out = (struct samples_response){
        .model = model->name,
        .checkpoint = model->digest,
        .precision = model->precision,
        .corruption = model->corruption,
        .sampler = sampler_name(order->sampling.sampler),
        .nfe = order->sampling.nfe,
        .determinism = engines_identity(all->engines),
        .seed = order->seed,
        .seed_b = order->seed_b,
        .mix = order->mix,
        .label = order->label,
        .guidance = order->guidance,
        .n = order->n,
        .side_px = model->side_px,
        .channels = model->channels,
        .restoration = order->restored,
    };
}

/* 0 or -ENOMEM. */
static int finish_restorations(struct drawing *d)
{
    size_t side = (size_t)d->model->side_px, bytes = side * side * (size_t)d->model->channels;

    for (int i = 0; d->job.restoration && i < d->job.n; i++)
        if (restoration_finish(d->job.restoration, d->job.pixels + (size_t)i * bytes) < 0)
            return error_set(&d->error, -ENOMEM, "out of memory to finish a restoration");
    return 0;
}

static void encode(uv_work_t *work)
{
    struct drawing *d = work->data;
    const struct drawing_order order = {.model = d->model,
                                        .sampling = {d->job.sampler, d->job.nfe},
                                        .seed = d->job.seed,
                                        .seed_b = d->job.seed_b,
                                        .mix = d->job.mix,
                                        .label = d->job.label,
                                        .guidance = d->job.guidance,
                                        .n = d->job.n,
                                        .restored = d->job.restoration ? &d->restored : NULL};
    struct samples_response images;

    drawings_describe(d->all, &order, &images);
    images.pixels = d->job.pixels;
    images.nfe_done = d->nfe_done;
    d->encoded = finish_restorations(d);
    if (d->encoded == 0)
        d->encoded = d->client->encode(d->owner, &images, &d->error);
}

static void on_encoded(uv_work_t *work, int status)
{
    struct drawing *d = work->data;

    d->with_pool = false;
    d->encoded_ns = uv_hrtime();
    if (!d->status && d->encoded == 0) {
        detach(d, 200);
        d->client->done(d->owner, NULL);
    } else {
        fail(d, d->encoded == -ENOMEM ? 503 : 500, 0, d->error.text);
    }
    settle(d);
}

static void take_back(struct drawing *d)
{
    struct job *job = &d->job;

    d->with_engine = false;
    admission_leave(d->all->admission, job);
    if (job->status == 0 && job->n_finished < job->n && take_best(d) < 0)
        fail(d, 503, 0, "out of memory");
    if (job->status == 0 && !d->status) {
        d->encoding.data = d;
        d->with_pool = true;
        uv_queue_work(d->all->loop, &d->encoding, encode, on_encoded);
        return;
    }
    if (job->status < 0 && job->status != -ECANCELED) {
        log_write(LOG_ERROR, "event=job_failed id=%s error=%s", d->id, LOG_TEXT(job->error.text));
        fail(d, 500, 0,
             job->status == -EDOM ? job->error.text
                                  : "the device failed; the request may be sent again");
    }
    settle(d);
}

static void look_at(struct drawing *d)
{
    int evaluations, place;

    if (!d->client->progress || d->status || !d->with_engine)
        return;
    evaluations = progress_evaluations(d->job.progress);
    place = drawing_place(d);
    if (evaluations == d->seen && place == d->place)
        return;
    d->seen = evaluations;
    d->place = place;
    d->client->progress(d->owner);
}

void drawings_collect(struct drawings *all)
{
    struct job *job;

    while ((job = engines_take_done(all->engines)))
        take_back(job->owner);
    for (struct drawing *d = all->first; d; d = d->next)
        look_at(d);
}

void drawings_cancel_all(struct drawings *all)
{
    for (struct drawing *d = all->first; d; d = d->next)
        fail(d, 503, 1, "the daemon is shutting down; try another one");
}

/* Beginning */

int drawing_order_evaluations(const struct drawing_order *order)
{
    return order->guidance > 0 ? 2 * order->sampling.nfe : order->sampling.nfe;
}

void drawing_order_seeds(struct drawing_order *order, uint64_t seed, uint64_t seed_b, int mix)
{
    bool one = mix == 0 || mix == REQUEST_MIX_WHOLE || seed == seed_b;

    order->seed = mix == REQUEST_MIX_WHOLE ? seed_b : seed;
    order->seed_b = one ? 0 : seed_b;
    order->mix = one ? 0 : mix;
}

uint64_t drawing_random_seed(void)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
        seed = uv_hrtime();
    return seed >> 11;
}

static const char *timeout_name(const struct drawing_order *order)
{
    return order->timeout_name ? order->timeout_name : "timeout_ms";
}

/* With the memory for its images; NULL without. */
static struct drawing *create(struct drawings *all, const struct drawing_order *order)
{
    struct engine_model *model = order->model;
    size_t side = (size_t)model->side_px, bytes = side * side * (size_t)model->channels;
    bool watched = order->best_ms > 0 || order->stop_after > 0 || order->client->progress;
    /* The pictures that a restoration goes by are in one place. */
    bool parted = order->n > 1 && engines_count(all->engines) > 1 && !order->restoration;
    struct drawing *d = calloc(1, sizeof(*d));

    if (!d)
        return NULL;
    d->all = all;
    d->model = model;
    d->client = order->client;
    d->owner = order->owner;
    d->timeout_ms = order->timeout_ms;
    d->timeout_name = timeout_name(order);
    d->best_ms = order->best_ms;
    snprintf(d->id, sizeof(d->id), "%s", order->request_id);
    d->job.model = order->model;
    d->job.sampler = order->sampling.sampler;
    d->job.nfe = order->sampling.nfe;
    d->job.evaluations = drawing_order_evaluations(order);
    d->job.label = order->label;
    d->job.guidance = order->guidance;
    d->job.seed = order->seed;
    d->job.seed_b = order->seed_b;
    d->job.mix = order->mix;
    d->job.n = order->n;
    d->job.priority = order->priority;
    d->job.stop_after = order->stop_after;
    d->job.owner = d;
    d->job.pixels = malloc((size_t)order->n * bytes);
    if (watched)
        d->job.progress = progress_create(order->n, bytes);
    if (parted)
        d->job.parts = calloc((size_t)engines_count(all->engines), sizeof(*d->job.parts));
    if (d->job.pixels && (!watched || d->job.progress) && (!parted || d->job.parts))
        return d;
    destroy(d);
    return NULL;
}

/* Nobody has to wait for what would come too late for him. What could not be there in time with all lanes
 * to itself is told what it would be told then; the rest may come back when there is less to do. The
 * longest time that there is is nobody's wish, and not held to an estimate. */
static int check_deadline(const struct drawings *all, const struct drawing_order *order,
                          struct problem *problem)
{
    bool best = order->best_ms > 0;
    int limit_ms = best ? order->best_ms : order->timeout_ms;
    struct forecast f;
    double ms;

    if (!best && limit_ms >= admission_limits(all->admission)->timeout_max_ms)
        return 0;
    forecast_make(all, order, admission_lanes(all->admission), engines_count_well(all->engines),
                  &f);
    ms = best ? f.first_ms : f.done_ms;
    if (ms <= limit_ms)
        return 0;
    problem->expected_ms = ms;
    if (!best && f.alone_ms > limit_ms)
        return problem_set(problem, 504,
                           "the deadline of %d ms would pass: at the present speed, %d image%s of "
                           "%d evaluations alone take %.0f ms; ask for fewer, for a smaller nfe, "
                           "with a longer %s or for a job",
                           limit_ms, order->n, order->n == 1 ? "" : "s",
                           drawing_order_evaluations(order), f.alone_ms, timeout_name(order));
    problem->retry_after_s = admission_retry_in_s((ms - limit_ms) / 1e3);
    return problem_set(problem, 503,
                       "the deadline of %d ms would pass: behind what others have asked for, %s in "
                       "about %.0f ms",
                       limit_ms, best ? "the first evaluation is done" : "the images are there",
                       ms);
}

int drawings_begin(struct drawings *all, const struct drawing_order *order, struct drawing **out,
                   struct problem *problem)
{
    struct drawing *d;

    if (admission_check(all->admission, order->model, order->n, order->priority, problem) < 0 ||
        check_deadline(all, order, problem) < 0)
        return -EINVAL;
    d = create(all, order);
    if (!d)
        return problem_set(problem, 503, "out of memory");
    if (keys_charge(order->payer, order->n, uv_hrtime(), problem) < 0) {
        destroy(d);
        return -EINVAL;
    }
    d->admitted_ns = uv_hrtime();
    d->next = all->first;
    if (d->next)
        d->next->previous = d;
    all->first = d;
    all->n++;
    models_hold(d->model);
    d->job.restoration = order->restoration;
    if (order->restoration)
        d->restored = *order->restored;
    admission_enter(all->admission, &d->job);
    uv_timer_init(all->loop, &d->deadline);
    d->deadline.data = d;
    d->with_timer = true;
    if (d->best_ms > 0)
        uv_timer_start(&d->deadline, on_best, (uint64_t)d->best_ms, 0);
    else
        uv_timer_start(&d->deadline, on_deadline, (uint64_t)d->timeout_ms, 0);
    d->with_engine = true;
    engines_submit(all->engines, &d->job);
    *out = d;
    return 0;
}

int drawings_create(uv_loop_t *loop, struct admission *admission, struct engines *engines,
                    struct models *models, struct drawings **out, struct error *err)
{
    struct drawings *all = calloc(1, sizeof(*all));

    if (!all)
        return error_set(err, -ENOMEM, "out of memory");
    all->loop = loop;
    all->admission = admission;
    all->engines = engines;
    all->models = models;
    *out = all;
    return 0;
}

void drawings_destroy(struct drawings *all)
{
    free(all);
}
