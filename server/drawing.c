/* What clients have of paintings: their beginning, their deadlines and their end. */
#include "server/drawing_parts.h"

#include "api/problem.h"
#include "api/request.h"
#include "model/restoration.h"
#include "server/admission.h"
#include "server/engine_model.h"
#include "server/engines.h"
#include "server/forecast.h"
#include "server/keys.h"
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

static void on_timer_closed(uv_handle_t *handle)
{
    struct drawing *d = handle->data;

    d->with_timer = false;
    painting_settle(d->painting);
}

/* Its client waits no more; where nobody does, the lanes are to be free. */
static void detach(struct drawing *d, int status)
{
    struct painting *p = d->painting;

    d->status = status;
    if (p->status != 200)
        p->status = status;
    uv_close((uv_handle_t *)&d->deadline, on_timer_closed);
    if (p->with_engine && painting_count_waiting(p) == 0)
        engine_thread_cancel(&p->job);
}

void drawing_end(struct drawing *d, const struct problem *problem)
{
    if (d->status)
        return;
    detach(d, problem ? problem->status : 200);
    d->client->done(d->owner, problem);
}

static void fail(struct drawing *d, int status, const char *detail)
{
    struct problem problem = {.retry_after_s = 0};

    problem_set(&problem, status, "%s", detail);
    drawing_end(d, &problem);
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
    fail(d, 504, detail);
}

/* What there is has to do, if there is anything. Nobody else waits for it. */
static void on_best(uv_timer_t *handle)
{
    struct drawing *d = handle->data;
    struct painting *p = d->painting;
    int left_ms = d->timeout_ms - d->best_ms;

    if (!p->with_engine || progress_evaluations(p->job.progress) > 0) {
        engine_thread_settle(&p->job);
        uv_timer_start(&d->deadline, on_deadline,
                       (uint64_t)(left_ms > SETTLING_MS ? left_ms : SETTLING_MS), 0);
        return;
    }
    fail(d, 504, "the deadline passed before there was a first picture");
}

/* On the way */

static void look_at(struct drawing *d)
{
    int evaluations, place;

    if (!d->client->progress || d->status || !d->painting->with_engine)
        return;
    evaluations = progress_evaluations(d->painting->job.progress);
    place = drawing_place(d);
    if (evaluations == d->seen && place == d->place)
        return;
    d->seen = evaluations;
    d->place = place;
    d->client->progress(d->owner, evaluations, place);
}

void drawings_collect(struct drawings *all)
{
    struct job *job;

    while ((job = engines_take_done(all->engines)))
        painting_take_back(job->owner);
    for (struct painting *p = all->first; p; p = p->next)
        for (struct drawing *d = p->drawings; d; d = d->next)
            look_at(d);
}

void drawings_cancel_all(struct drawings *all)
{
    struct problem problem = {.retry_after_s = 1};

    problem_set(&problem, 503, "the daemon is shutting down; try another one");
    for (struct painting *p = all->first; p; p = p->next)
        for (struct drawing *d = p->drawings; d; d = d->next)
            drawing_end(d, &problem);
}

/* Beginning */

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

/* NULL without memory. */
static struct drawing *create(const struct drawing_order *order)
{
    struct drawing *d = calloc(1, sizeof(*d));

    if (!d)
        return NULL;
    d->client = order->client;
    d->owner = order->owner;
    d->timeout_ms = order->timeout_ms;
    d->timeout_name = timeout_name(order);
    d->best_ms = order->best_ms;
    return d;
}

static void share(struct drawings *all, struct painting *p, struct drawing *d)
{
    d->painting = p;
    d->next = p->drawings;
    p->drawings = d;
    uv_timer_init(all->loop, &d->deadline);
    d->deadline.data = d;
    d->with_timer = true;
    if (d->best_ms > 0)
        uv_timer_start(&d->deadline, on_best, (uint64_t)d->best_ms, 0);
    else
        uv_timer_start(&d->deadline, on_deadline, (uint64_t)d->timeout_ms, 0);
}

/* What others have begun costs nothing more, neither room nor the payer's images. */
static int join(struct drawings *all, struct painting *p, const struct drawing_order *order,
                struct drawing **out, struct problem *problem)
{
    struct drawing *d = create(order);

    if (!d)
        return problem_set(problem, 503, "out of memory");
    d->joined = true;
    all->stats.joined++;
    restoration_destroy(order->restoration);
    share(all, p, d);
    *out = d;
    return 0;
}

int drawings_begin(struct drawings *all, const struct drawing_order *order, struct drawing **out,
                   struct problem *problem)
{
    struct painting *p = painting_find(all, order);
    struct drawing *d;

    if (p)
        return join(all, p, order, out, problem);
    if (admission_check(all->admission, order->model, order->n, order->priority, problem) < 0 ||
        check_deadline(all, order, problem) < 0)
        return -EINVAL;
    d = create(order);
    p = painting_create(all, order);
    if (!d || !p) {
        problem_set(problem, 503, "out of memory");
        goto fail;
    }
    if (keys_charge(order->payer, order->n, uv_hrtime(), problem) < 0)
        goto fail;
    share(all, p, d);
    painting_begin(p, order);
    *out = d;
    return 0;

fail:
    painting_destroy(p);
    free(d);
    return -EINVAL;
}

bool drawing_is_joined(const struct drawing *d)
{
    return d->joined;
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
