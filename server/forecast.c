#include "server/forecast.h"

#include "server/drawing_parts.h"
#include "server/engine_model.h"
#include "server/pace.h"

#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Those of its model for which somebody waits. */
struct company {
    int begun, waiting;
    double shared;   /* evaluations of theirs that come before the last of the order's own */
    double to_begin; /* evaluations of one image of each that waits */
};

static bool counts(const struct painting *p)
{
    return p->with_engine && painting_count_waiting(p) > 0 &&
           p->job.priority == PRIORITY_INTERACTIVE;
}

static void look_around(const struct drawings *all, const struct drawing_order *order,
                        struct company *out)
{
    double own = (double)order->n * drawing_order_evaluations(order), theirs;

    *out = (struct company){.begun = 0};
    for (const struct painting *p = all->first; p; p = p->next) {
        if (p->model != order->model || !counts(p))
            continue;
        theirs = (double)p->job.n * p->job.evaluations;
        if (order->priority == PRIORITY_INTERACTIVE && theirs > own)
            theirs = own;
        if (atomic_load(&p->job.begun)) {
            out->begun++;
            out->shared += theirs / 2;
        } else {
            out->waiting++;
            out->shared += theirs;
            out->to_begin += p->job.evaluations;
        }
    }
}

/* Lanes of one device, of which there are several. */
struct room {
    int lanes, devices;
};

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
        if (p->model != model && counts(p))
            longest = fmax(longest, tick_s(p->model, p->model->n_images, room));
    return longest;
}

void forecast_make(const struct drawings *all, const struct drawing_order *order, int lanes,
                   int devices, struct forecast *out)
{
    const struct engine_model *m = order->model;
    struct room room = {lanes, devices > 0 ? devices : 1};
    struct room own = {lanes, order->restoration ? 1 : room.devices};
    int nfe = order->stop_after > 0 ? order->stop_after : drawing_order_evaluations(order);
    double n_lanes = (double)room.lanes * room.devices, n_own = (double)own.lanes * own.devices;
    double alone = ceil(order->n / n_own) * nfe, ticks, wait = 0, round_s;
    struct company company;

    look_around(all, order, &company);
    round_s = tick_s(m, m->n_images + order->n, room) + between_s(all, m, room);
    ticks = fmax(alone, ((double)order->n * nfe + company.shared) / n_lanes);
    if (company.begun + company.waiting >= n_lanes)
        wait = company.to_begin / n_lanes;
    out->alone_ms = 1e3 * alone * tick_s(m, order->n, own);
    out->first_ms = 1e3 * (wait + 1) * round_s;
    out->done_ms = 1e3 * ticks * round_s;
}
