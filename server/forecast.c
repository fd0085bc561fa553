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

static bool is_waited_for(const struct drawing *d)
{
    return d->with_engine && !d->status && d->job.priority == PRIORITY_INTERACTIVE;
}

static void look_around(const struct drawings *all, const struct drawing_order *order,
                        struct company *out)
{
    double own = (double)order->n * order->sampling.nfe, theirs;

    *out = (struct company){.begun = 0};
    for (const struct drawing *d = all->first; d; d = d->next) {
        if (d->model != order->model || !is_waited_for(d))
            continue;
        theirs = (double)d->job.n * d->job.nfe;
        if (order->priority == PRIORITY_INTERACTIVE && theirs > own)
            theirs = own;
        if (atomic_load(&d->job.begun)) {
            out->begun++;
            out->shared += theirs / 2;
        } else {
            out->waiting++;
            out->shared += theirs;
            out->to_begin += d->job.nfe;
        }
    }
}

static double tick_s(const struct engine_model *m, int images, int lanes)
{
    return pace_tick_s(&m->pace, images < lanes ? images : lanes);
}

/* The tick of another model that comes between two of this one. */
static double between_s(const struct drawings *all, const struct engine_model *model, int lanes)
{
    double longest = 0;

    for (const struct drawing *d = all->first; d; d = d->next)
        if (d->model != model && is_waited_for(d))
            longest = fmax(longest, tick_s(d->model, d->model->n_images, lanes));
    return longest;
}

void forecast_make(const struct drawings *all, const struct drawing_order *order, int lanes,
                   struct forecast *out)
{
    const struct engine_model *m = order->model;
    int nfe = order->stop_after > 0 ? order->stop_after : order->sampling.nfe;
    double alone = ceil((double)order->n / lanes) * nfe, ticks, wait = 0, round_s;
    struct company company;

    look_around(all, order, &company);
    round_s = tick_s(m, m->n_images + order->n, lanes) + between_s(all, m, lanes);
    ticks = fmax(alone, ((double)order->n * nfe + company.shared) / lanes);
    if (company.begun + company.waiting >= lanes)
        wait = company.to_begin / lanes;
    out->alone_ms = 1e3 * alone * tick_s(m, order->n, lanes);
    out->first_ms = 1e3 * (wait + 1) * round_s;
    out->done_ms = 1e3 * ticks * round_s;
}
