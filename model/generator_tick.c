/* Ticks: which lanes are in one.
 *
 * The rows of a tick are the lanes of the one before that go on, then new ones. While a tick runs, the
 * rows of the next are filled as if all went on; generator_start() fills anew those that hold
 * something else than they should. Two inboxes take turns, so there are notes of what two hold.
 */
#include "engine/base/clock.h"
#include "engine/base/philox.h"
#include "model/evaluation.h"
#include "model/generator.h"
#include "model/generator_parts.h"
#include "model/tick_trace.h"

#include <string.h>

/* The keys of a draw. */
struct keys {
    struct philox_key key, other;
    struct evaluation_noise noise; /* points to the two above */
};

static void make_keys(const struct lane *lane, int step, struct keys *k)
{
    k->key = philox_key(lane->seed, 0, (uint32_t)step);
    k->other = philox_key(lane->seed_b, 0, (uint32_t)step);
    k->noise = (struct evaluation_noise){&k->key, lane->mixed ? &k->other : NULL, lane->mix};
}

/* Fills row i with a lane's evaluation number `position`, unless it holds that. */
static void write_row(struct generator *g, int i, const struct lane *lane, int position)
{
    struct note *note = &g->notes[g->filling][i];
    struct step_lead lead = lane->lead;
    const struct sampler_row *row;
    struct keys keys;

    if (note->serial == lane->serial && note->position == position)
        return;
    if (lead.guided) { /* two evaluations per row, the first without the label */
        row = &lane->rows[position / 2];
        lead.hold = position % 2 == 0;
        lead.guided = !lead.hold;
        lead.label = lead.hold ? 0 : lead.label;
    } else {
        row = &lane->rows[position];
    }
    make_keys(lane, row->step, &keys);
    evaluation_write(g->evaluation, i, (int)(lane - g->lanes), row, &keys.noise, &lead);
    *note = (struct note){lane->serial, position};
}

/* Draws x_1 of the lanes that are new. */
static int start_lanes(struct generator *g, struct error *err)
{
    int n = 0, rc;

    g->times.begin = g->times.drawn = clock_seconds();
    for (int i = 0; i < g->n_lanes; i++) {
        const struct lane *lane = &g->lanes[i];
        struct keys keys;

        if (lane->state != LANE_BUSY || !lane->fresh || lane->started)
            continue;
        make_keys(lane, 0, &keys);
        evaluation_write_start(g->evaluation, n++, i, &keys.noise);
    }
    if (n == 0)
        return 0;
    rc = evaluation_start(g->evaluation, n, err);
    g->times.drawn = clock_seconds();
    return rc;
}

/* Those that go on first, in the order they had, then the others. */
static void list_lanes(struct generator *g)
{
    int n = 0;

    for (int i = 0; i < g->n_flying; i++) {
        if (g->lanes[g->flying[i]].state == LANE_BUSY)
            g->flying[n++] = g->flying[i];
    }
    for (int i = 0; i < n; i++)
        g->lanes[g->flying[i]].flying = true;
    for (int i = 0; i < g->n_lanes; i++) {
        if (g->lanes[i].state == LANE_BUSY && !g->lanes[i].flying) {
            g->lanes[i].flying = true;
            g->flying[n++] = i;
        }
    }
    g->n_flying = n;
}

/* Fills rows of the next tick as if all lanes of this one went on. */
static void write_next_rows(struct generator *g)
{
    int next = 0;

    for (int i = 0; i < g->n_flying; i++) {
        const struct lane *lane = &g->lanes[g->flying[i]];

        if (lane_evaluations_left(lane) > 1)
            write_row(g, next++, lane, lane->position + 1);
    }
}

/* After a failure nobody is in a tick, and what the inboxes hold is unknown. */
static void forget_tick(struct generator *g)
{
    for (int i = 0; i < g->n_flying; i++)
        g->lanes[g->flying[i]].flying = false;
    g->n_flying = 0;
    memset(g->notes[0], 0, 2 * (size_t)g->busy_max * sizeof(*g->notes[0]));
}

int generator_start(struct generator *g, struct error *err)
{
    int rc = start_lanes(g, err);

    if (rc < 0) {
        forget_tick(g);
        return rc;
    }
    list_lanes(g);
    for (int i = 0; i < g->n_flying; i++) {
        struct lane *lane = &g->lanes[g->flying[i]];

        lane->fresh = false;
        write_row(g, i, lane, lane->position);
        g->finishes[i] = lane->previews || lane_evaluations_left(lane) == 1;
        g->shows[i] = lane->previews;
    }
    if (g->n_flying == 0)
        return 0;
    g->times.written = clock_seconds();
    rc = evaluation_run(g->evaluation, g->n_flying, g->finishes, g->shows, err);
    if (rc < 0) {
        forget_tick(g);
        return rc;
    }
    g->times.handed = clock_seconds();
    g->filling = !g->filling;
    write_next_rows(g);
    g->times.filled = clock_seconds();
    return 0;
}

/* Hands over what a lane has after its evaluation in row i. */
static void deliver(struct generator *g, const struct lane *lane, int i,
                    struct generator_image *image)
{
    *image = (struct generator_image){
        .id = lane->id,
        .seed = lane->seed,
        .finished = lane_evaluations_left(lane) == 0,
        .n_evaluations = lane->n,
        .n_done = lane->position,
        .finite = evaluation_is_finite(g->evaluation, i),
        .pixels = evaluation_pixels(g->evaluation, i),
        .predicted = lane->previews ? evaluation_predicted(g->evaluation, i) : NULL,
    };
}

int generator_finish(struct generator *g, struct generator_image *images, int *n_images,
                     struct error *err)
{
    int rc, n = 0;

    g->times.waiting = clock_seconds();
    rc = g->n_flying > 0 ? evaluation_wait(g->evaluation, err) : 0;
    g->times.done = clock_seconds();
    *n_images = 0;
    if (rc < 0) {
        forget_tick(g);
        return rc;
    }
    for (int i = 0; i < g->n_flying; i++) {
        struct lane *lane = &g->lanes[g->flying[i]];
        bool done = lane->flying && lane->state != LANE_FREE;

        lane->flying = false;
        if (!done)
            continue;
        lane->position++;
        if (lane->previews || lane_evaluations_left(lane) == 0)
            deliver(g, lane, i, &images[n++]);
        if (lane_evaluations_left(lane) == 0)
            lane_free(g, lane);
    }
    *n_images = n;
    g->times.end = clock_seconds();
    if (g->trace && g->n_flying > 0)
        tick_trace_add(g->trace, &g->times, g->n_flying);
    return 0;
}

int generator_tick(struct generator *g, struct generator_image *images, int *n_images,
                   struct error *err)
{
    int rc = generator_start(g, err);

    *n_images = 0;
    return rc < 0 ? rc : generator_finish(g, images, n_images, err);
}
