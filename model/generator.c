/* Lanes, and which of them are in a tick. Every lane has a slot of the state for itself, parked ones
 * too, so that nothing moves.
 *
 * The rows of a tick are the lanes of the one before that go on, then new ones. While a tick runs, the
 * rows of the next are filled as if all went on; generator_start() fills anew those that hold
 * something else than they should. Two inboxes take turns, so there are notes of what two hold.
 */
#include "model/generator.h"
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "model/evaluation.h"
#include "model/generator_task.h"
#include "model/step.h"
#include "model/tick_trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    LANES_MAX = 4096,
    PARKED_PER_LANE = 2,
};

enum lane_state { LANE_FREE, LANE_BUSY, LANE_PARKED };

/* An image and where it stands. */
struct lane {
    enum lane_state state;
    uint64_t serial; /* of the submission, from 1 */
    uint64_t id, seed;
    int n, position; /* evaluations, and how many are done */
    bool fresh;      /* its start is still to come */
    bool started;    /* from a picture, not x_1 */
    bool flying;     /* in the tick that runs */
    bool previews;
    bool mixed;
    uint64_t seed_b;
    double mix;
    struct step_lead lead;    /* its a: in blur */
    struct sampler_row *rows; /* [nfe_max] */
    float *blur;              /* [side] weights of distance, for restoration; NULL without */
};

/* What a row of an inbox holds. */
struct note {
    uint64_t serial; /* 0: nothing */
    int position;
};

struct generator {
    const struct formulation *formulation;
    struct evaluation *evaluation;
    int busy_max, nfe_max, n_busy, n_parked;
    uint64_t n_submitted;
    int n_lanes;
    struct lane *lanes;       /* [n_lanes], of which at most busy_max are busy */
    struct sampler_row *rows; /* all lanes' */
    float *blurs;             /* all lanes'; NULL without restoration */
    float *ones;              /* [side,side], likewise */
    int n_flying;
    int *flying;            /* [busy_max] lanes by row */
    bool *finishes, *shows; /* [busy_max] of each row: it is the last; its prediction is wanted */
    int filling;            /* the inbox that is filled next */
    struct note *notes[2];  /* [busy_max] each */
    struct generator_times times;
    struct tick_trace *trace; /* NULL: none */
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

static int evaluations_left(const struct lane *lane)
{
    return lane->n - lane->position;
}

int generator_park(struct generator *g, uint64_t id, struct error *err)
{
    struct lane *found = NULL;

    for (int i = 0; i < g->n_lanes; i++) {
        struct lane *lane = &g->lanes[i];

        if (lane->state == LANE_BUSY && lane->id == id &&
            (!found || evaluations_left(lane) > evaluations_left(found)))
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
            (!found || evaluations_left(lane) < evaluations_left(found)))
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

static void free_lane(struct generator *g, struct lane *lane)
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
        free_lane(g, lane);
        n++;
    }
    return n;
}

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

        if (evaluations_left(lane) > 1)
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
        g->finishes[i] = lane->previews || evaluations_left(lane) == 1;
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
        .finished = evaluations_left(lane) == 0,
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
        if (lane->previews || evaluations_left(lane) == 0)
            deliver(g, lane, i, &images[n++]);
        if (evaluations_left(lane) == 0)
            free_lane(g, lane);
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
