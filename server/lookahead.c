#include "server/lookahead.h"

#include "server/pace.h"
#include "server/queue.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>

enum { WORK_MAX = 1 << 20 }; /* looks at a lane: about a millisecond */

/* An image that has begun. */
struct lane {
    struct job *job; /* NULL: free */
    bool parked;
    int left; /* evaluations */
};

struct game {
    const struct lookahead *options;
    const struct lookahead_job *asked;
    struct job *jobs; /* [n] as the queue sees them, without the images that are done */
    struct begun {
        int images, done; /* so many have begun, with so many evaluations each */
    } * begun;            /* [n] */
    struct lane *lanes;   /* [n_places] */
    int n, n_places, n_lanes, n_busy, work;
    double now_s;
    struct queue queue;
};

static int clamp(int value, int least, int most)
{
    return value < least ? least : value > most ? most : value;
}

/* The images of one job are alike: as many are under way as it had lanes. */
static void set_up_job(struct game *g, int i, int n_begun)
{
    const struct lookahead_job *asked = &g->asked[i];
    int side_by_side = clamp(n_begun > 0 ? g->n_lanes / n_begun : g->n_lanes, 1, asked->n);
    int finished = asked->done / (side_by_side * asked->evaluations) * side_by_side;
    int rest = asked->done - finished * asked->evaluations;

    g->jobs[i].id = (uint64_t)i;
    g->jobs[i].priority = asked->priority;
    g->jobs[i].n = clamp(asked->n - finished, 0, asked->n);
    g->begun[i].images = clamp(side_by_side, 0, g->jobs[i].n);
    if (g->begun[i].images > 0)
        g->begun[i].done = clamp(rest / g->begun[i].images, 0, asked->evaluations - 1);
}

/* Who has a lane is in front, then who waits for the first one, then who waits again. */
static void set_up(struct game *g)
{
    int n_begun = 0, rank;

    for (int i = 0; i < g->n; i++)
        n_begun += g->asked[i].done > 0;
    for (int i = 0; i < g->n; i++)
        set_up_job(g, i, n_begun);
    for (int turn = 0; turn < 3; turn++)
        for (int i = 0; i < g->n - 1; i++) {
            rank = g->begun[i].done > 0 ? 0 : g->asked[i].done > 0 ? 2 : 1;
            if (rank == turn && g->jobs[i].n > 0)
                queue_push(&g->queue, &g->jobs[i]);
        }
    queue_push(&g->queue, &g->jobs[g->n - 1]);
}

/* Of a job's images that are parked, or have a lane, the one with the fewest evaluations left, or the most. */
static struct lane *find(struct game *g, const struct job *job, bool parked, bool most)
{
    struct lane *found = NULL;

    for (int i = 0; i < g->n_places; i++) {
        struct lane *lane = &g->lanes[i];

        if (lane->job == job && lane->parked == parked &&
            (!found || (most ? lane->left > found->left : lane->left < found->left)))
            found = lane;
    }
    g->work += g->n_places;
    return found;
}

static void set_parked(struct game *g, const struct job *job, bool parked)
{
    find(g, job, !parked, parked)->parked = parked;
    g->n_busy += parked ? -1 : 1;
}

static void begin(struct game *g, struct job *job)
{
    const struct begun *begun = &g->begun[job->id];
    int left = g->asked[job->id].evaluations;

    if (job->n_started <= begun->images)
        left -= begun->done;
    *find(g, NULL, false, false) = (struct lane){.job = job, .left = left};
    g->n_busy++;
}

static void share_lanes(struct game *g)
{
    struct job *job;
    bool parked;

    for (;;) {
        if (g->n_busy == g->n_lanes) {
            job = queue_park(&g->queue);
            if (!job)
                return;
            set_parked(g, job, true);
        }
        job = queue_take(&g->queue, &parked);
        if (!job)
            return;
        if (parked)
            set_parked(g, job, false);
        else
            begin(g, job);
    }
}

static double tick_s(const struct game *g)
{
    int devices = g->options->devices;

    return pace_tick_s(g->options->pace, (g->n_busy + devices - 1) / devices) +
           g->options->between_s;
}

/* Until the next image is finished. */
static void advance(struct game *g)
{
    int ticks = INT_MAX;

    for (int i = 0; i < g->n_places; i++)
        if (g->lanes[i].job && !g->lanes[i].parked && g->lanes[i].left < ticks)
            ticks = g->lanes[i].left;
    g->now_s += ticks * tick_s(g);
    for (int i = 0; i < g->n_places; i++) {
        struct lane *lane = &g->lanes[i];

        if (!lane->job || lane->parked || (lane->left -= ticks) > 0)
            continue;
        lane->job->n_finished++;
        queue_finish(&g->queue, lane->job);
        lane->job = NULL;
        g->n_busy--;
    }
    g->work += 2 * g->n_places;
}

static void play(struct game *g, double *first_s, double *done_s)
{
    const struct job *own = &g->jobs[g->n - 1];
    bool begun = false;

    while (own->n_finished < own->n && g->work < WORK_MAX) {
        share_lanes(g);
        if (!begun && own->n_started > 0)
            *first_s = g->now_s + tick_s(g);
        begun = own->n_started > 0;
        advance(g);
    }
    if (!begun)
        *first_s = g->now_s;
    *done_s = g->now_s;
}

int lookahead_run(const struct lookahead *l, const struct lookahead_job *jobs, int n,
                  double *first_s, double *done_s)
{
    struct game g = {.options = l, .asked = jobs, .n = n, .n_lanes = l->lanes * l->devices};
    int n_images = 0;

    for (int i = 0; i < n; i++)
        n_images += jobs[i].n;
    g.queue.parked_max = g.n_lanes;
    g.n_places = clamp(n_images, 1, 3 * g.n_lanes); /* of each priority as many may be parked */
    g.jobs = calloc((size_t)n, sizeof(*g.jobs));
    g.begun = calloc((size_t)n, sizeof(*g.begun));
    g.lanes = calloc((size_t)g.n_places, sizeof(*g.lanes));
    if (g.jobs && g.begun && g.lanes) {
        set_up(&g);
        play(&g, first_s, done_s);
    }
    free(g.jobs);
    free(g.begun);
    free(g.lanes);
    return g.jobs && g.begun && g.lanes ? 0 : -ENOMEM;
}
