#include "server/forecast.h"

#include "server/drawing_parts.h"
#include "server/engine_model.h"
#include "server/lookahead.h"
#include "server/pace.h"

#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* Lanes of one device, of which there are several. */
struct room {
    int lanes, devices;
};

static bool is_awaited(const struct painting *p)
{
    return p->with_engine && painting_count_waiting(p) > 0;
}

static double tick_s(const struct engine_model *m, int images, struct room room)
{
    images = (images + room.devices - 1) / room.devices;
    return pace_tick_s(&m->pace, images < room.lanes ? images : room.lanes);
}

/* The tick of another model that comes between two of this one. */
static double between_s(const struct drawings *all, const struct engine_model *model,
                        struct room room)
{
    double longest = 0;

    for (const struct painting *p = all->first; p; p = p->next)
        if (p->model != model && is_awaited(p) && p->job.priority == PRIORITY_INTERACTIVE)
            longest = fmax(longest, tick_s(p->model, p->model->n_images, room));
    return longest;
}

/* Evaluations of an image, of which the sampler has nfe. */
static int until_end(int evaluations, int nfe, int stop_after)
{
    return stop_after > 0 ? stop_after * (evaluations / nfe) : evaluations;
}

static struct lookahead_job describe(const struct job *job)
{
    return (struct lookahead_job){
        .n = job->n,
        .evaluations = until_end(job->evaluations, job->nfe, job->stop_after),
        .done = atomic_load(&job->n_evaluated),
        .priority = job->priority,
    };
}

/* The order, and before it what it shares lanes with or waits for, oldest first: [*n], NULL without memory. */
static struct lookahead_job *look_around(const struct drawings *all,
                                         const struct drawing_order *order, int nfe, int *n)
{
    struct lookahead_job *jobs = calloc((size_t)all->n + 1, sizeof(*jobs));
    int first = all->n;

    if (!jobs)
        return NULL;
    jobs[first] = (struct lookahead_job){order->n, nfe, 0, order->priority};
    for (const struct painting *p = all->first; p; p = p->next)
        if (p->model == order->model && is_awaited(p) && p->job.priority <= order->priority)
            jobs[--first] = describe(&p->job);
    *n = all->n + 1 - first;
    for (int i = 0; first > 0 && i < *n; i++)
        jobs[i] = jobs[first + i];
    return jobs;
}

void forecast_make(const struct drawings *all, const struct drawing_order *order, int lanes,
                   int devices, struct forecast *out)
{
    const struct engine_model *m = order->model;
    struct room room = {lanes, devices > 0 ? devices : 1};
    struct room own = {lanes, order->restoration ? 1 : room.devices};
    int nfe = until_end(drawing_order_evaluations(order), order->sampling.nfe, order->stop_after);
    int n = 0;
    double alone = ceil(order->n / ((double)own.lanes * own.devices)) * nfe, first_s, done_s;
    const struct lookahead lookahead = {&m->pace, room.lanes, room.devices,
                                        between_s(all, m, room)};
    struct lookahead_job *jobs = look_around(all, order, nfe, &n);

    *out = (struct forecast){.alone_ms = 0};
    if (jobs && lookahead_run(&lookahead, jobs, n, &first_s, &done_s) == 0) {
        out->alone_ms = 1e3 * alone * tick_s(m, order->n, own);
        out->first_ms = 1e3 * first_s;
        out->done_ms = fmax(out->alone_ms, 1e3 * done_s);
    }
    free(jobs);
}
