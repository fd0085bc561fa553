/* Lanes: taken, parked, resumed and given up. Every lane has a slot of the state for itself, parked ones
 * too, so that nothing moves. generator_tick.c computes.
 */
#include "model/generator.h"
#include "engine/base/error.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "model/evaluation.h"
#include "model/generator_parts.h"
#include "model/generator_task.h"
#include "model/tick_trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    LANES_MAX = 4096,
    PARKED_PER_LANE = 2,
};

static int make_lanes(struct generator *g, bool restoration, struct error *err)
{
    size_t n = (size_t)g->n_lanes, busy_max = (size_t)g->busy_max;
    size_t side = (size_t)g->formulation->architecture.image_size;

    g->lanes = calloc(n, sizeof(*g->lanes));
    g->rows = calloc(n * (size_t)g->nfe_max, sizeof(*g->rows));
    g->flying = calloc(busy_max, sizeof(*g->flying));
    g->finishes = calloc(busy_max, sizeof(*g->finishes));
    g->shows = calloc(busy_max, sizeof(*g->shows));
    g->notes[0] = calloc(2 * busy_max, sizeof(*g->notes[0]));
    if (restoration) {
        g->blurs = calloc(n * side, sizeof(*g->blurs));
        g->ones = calloc(side * side, sizeof(*g->ones));
    }
    if (!g->lanes || !g->rows || !g->flying || !g->finishes || !g->shows || !g->notes[0] ||
        (restoration && (!g->blurs || !g->ones)))
        return error_set(err, -ENOMEM, "out of memory for %d lanes", g->n_lanes);
    g->notes[1] = g->notes[0] + busy_max;
    for (size_t i = 0; i < n; i++) {
        g->lanes[i].rows = g->rows + i * (size_t)g->nfe_max;
        g->lanes[i].blur = restoration ? g->blurs + i * side : NULL;
    }
    for (size_t i = 0; restoration && i < side * side; i++)
        g->ones[i] = 1;
    return 0;
}

int generator_create(struct device *device, const struct checkpoint *c,
                     const struct generator_options *options, struct generator **out,
                     struct error *err)
{
    struct evaluation_options evaluation = {.precision = options->precision,
                                            .batch_max = options->lanes,
                                            .n_slots = (1 + PARKED_PER_LANE) * options->lanes,
                                            .restoration = options->restoration};
    struct generator *g;
    int rc;

    if (options->lanes < 1 || options->lanes > LANES_MAX)
        return error_set(err, -EINVAL, "a generator has 1 to %d lanes, not %d", LANES_MAX,
                         options->lanes);
    if (options->nfe_max < 1 || options->nfe_max > SAMPLER_NFE_MAX)
        return error_set(err, -EINVAL, "the largest nfe is 1 to %d, not %d", SAMPLER_NFE_MAX,
                         options->nfe_max);
    g = calloc(1, sizeof(*g));
    if (!g)
        return error_set(err, -ENOMEM, "out of memory for a generator");
    g->formulation = &c->formulation;
    g->busy_max = options->lanes;
    g->n_lanes = evaluation.n_slots; /* those for parked ones, too */
    g->nfe_max = options->nfe_max;
    rc = make_lanes(g, options->restoration, err);
    if (rc == 0)
        rc = evaluation_create(device, c, &evaluation, &g->evaluation, err);
    if (rc < 0) {
        generator_destroy(g);
        return rc;
    }
    *out = g;
    return 0;
}

void generator_destroy(struct generator *g)
{
    if (!g)
        return;
    evaluation_destroy(g->evaluation);
    tick_trace_destroy(g->trace);
    free(g->lanes);
    free(g->rows);
    free(g->blurs);
    free(g->ones);
    free(g->flying);
    free(g->finishes);
    free(g->shows);
    free(g->notes[0]);
    free(g);
}

int generator_lanes(const struct generator *g)
{
    return g->busy_max;
}

int generator_busy(const struct generator *g)
{
    return g->n_busy;
}

int generator_nfe_max(const struct generator *g)
{
    return g->nfe_max;
}

int generator_side(const struct generator *g)
{
    return g->formulation->architecture.image_size;
}

int generator_channels(const struct generator *g)
{
    return g->formulation->architecture.num_channels;
}

enum precision generator_precision(const struct generator *g)
{
    return evaluation_precision(g->evaluation);
}

size_t generator_memory_bytes(const struct generator *g)
{
    size_t side = g->blurs ? (size_t)generator_side(g) : 0;

    return evaluation_memory_bytes(g->evaluation) +
           (size_t)g->n_lanes * (sizeof(*g->lanes) + (size_t)g->nfe_max * sizeof(*g->rows) +
                                 side * sizeof(*g->blurs));
}

size_t generator_row_bytes(const struct generator *g)
{
    return evaluation_row_bytes(g->evaluation);
}

const struct generator_times *generator_times(const struct generator *g)
{
    return &g->times;
}

int generator_trace(struct generator *g, struct trace *trace, const char *track, struct error *err)
{
    struct tick_trace *ticks = NULL;
    int rc = trace ? tick_trace_create(trace, track, &ticks, err) : 0;

    if (rc == 0)
        rc = evaluation_trace(g->evaluation, trace, err);
    if (rc < 0) {
        tick_trace_destroy(ticks);
        return rc;
    }
    tick_trace_destroy(g->trace);
    g->trace = ticks;
    return 0;
}

/* Writes the pictures that a task brings along into the lane's slot. */
static int put_pictures(struct generator *g, struct lane *lane, const struct generator_task *task,
                        struct error *err)
{
    const struct generator_restoration *r = task->restoration;
    int slot = (int)(lane - g->lanes), side = generator_side(g), rc = 0;

    if (task->start)
        rc = evaluation_put(g->evaluation, "x", slot, task->start, err);
    if (task->start && rc == 0)
        rc = evaluation_clear(g->evaluation, slot, err);
    if (!r || rc < 0)
        return rc;
    corruption_blur_row(side, r->blur, side, lane->blur);
    lane->lead.restoration = r->weight;
    lane->lead.a = lane->blur;
    rc = evaluation_put(g->evaluation, "y", slot, r->y, err);
    return rc < 0 ? rc
                  : evaluation_put(g->evaluation, "mask", slot, r->mask ? r->mask : g->ones, err);
}

int generator_submit(struct generator *g, const struct generator_task *task, struct error *err)
{
    struct lane *lane = g->lanes, *end = g->lanes + g->n_lanes;
    int rc = generator_task_check(task, &g->formulation->architecture, g->nfe_max, g->blurs != NULL,
                                  err);

    if (rc < 0)
        return rc;
    if (g->n_busy == g->busy_max)
        return error_set(err, -EBUSY, "all %d lanes are busy", g->busy_max);
    while (lane < end && (lane->state != LANE_FREE || lane->flying))
        lane++;
    if (lane == end) /* cancelled images hold theirs until the tick ends */
        return error_set(err, -EBUSY, "all %d lanes are busy", g->busy_max);
    if (task->rows)
        memcpy(lane->rows, task->rows, (size_t)task->nfe * sizeof(*lane->rows));
    else
        rc = sampler_table(task->sampler, g->formulation, task->nfe, lane->rows, err);
    if (rc < 0)
        return rc;
    lane->lead = (struct step_lead){.label = task->label,
                                    .guided = task->guided,
                                    .guidance = task->guidance};
    rc = put_pictures(g, lane, task, err);
    if (rc < 0)
        return rc;
    lane->serial = ++g->n_submitted;
    lane->id = task->id;
    lane->seed = task->seed;
    lane->n = task->guided ? 2 * task->nfe : task->nfe;
    lane->position = 0;
    lane->fresh = true;
    lane->started = task->start != NULL;
    lane->previews = task->previews;
    lane->mixed = task->mixed && task->seed_b != task->seed; /* alike, they would add up */
    lane->seed_b = task->seed_b;
    lane->mix = task->mix;
    lane->state = LANE_BUSY;
    g->n_busy++;
    return 0;
}

int lane_evaluations_left(const struct lane *lane)
{
    return lane->n - lane->position;
}

int generator_park(struct generator *g, uint64_t id, struct error *err)
{
    struct lane *found = NULL;

    for (int i = 0; i < g->n_lanes; i++) {
        struct lane *lane = &g->lanes[i];

        if (lane->state == LANE_BUSY && lane->id == id &&
            (!found || lane_evaluations_left(lane) > lane_evaluations_left(found)))
            found = lane;
    }
    if (!found)
        return error_set(err, -ENOENT, "no image with this id has a lane");
    if (g->n_parked == PARKED_PER_LANE * g->busy_max)
        return error_set(err, -EBUSY, "%d images are parked already", g->n_parked);
    found->state = LANE_PARKED;
    g->n_busy--;
    g->n_parked++;
    return 0;
}

int generator_resume(struct generator *g, uint64_t id, struct error *err)
{
    struct lane *found = NULL;

    for (int i = 0; i < g->n_lanes; i++) {
        struct lane *lane = &g->lanes[i];

        if (lane->state == LANE_PARKED && lane->id == id &&
            (!found || lane_evaluations_left(lane) < lane_evaluations_left(found)))
            found = lane;
    }
    if (!found)
        return error_set(err, -ENOENT, "no image with this id is parked");
    if (g->n_busy == g->busy_max)
        return error_set(err, -EBUSY, "all %d lanes are busy", g->busy_max);
    found->state = LANE_BUSY;
    g->n_busy++;
    g->n_parked--;
    return 0;
}

void lane_free(struct generator *g, struct lane *lane)
{
    *(lane->state == LANE_BUSY ? &g->n_busy : &g->n_parked) -= 1;
    lane->state = LANE_FREE;
}

int generator_cancel(struct generator *g, uint64_t id)
{
    int n = 0;

    for (int i = 0; i < g->n_lanes; i++) {
        struct lane *lane = &g->lanes[i];

        if (lane->state == LANE_FREE || lane->id != id)
            continue;
        lane_free(g, lane);
        n++;
    }
    return n;
}
