#include "server/lookahead.h"

#include "server/pace.h"
#include "server/queue/player.h"

#include <errno.h>
#include <stdbool.h>

enum { LOOKS_MAX = 1 << 20 }; /* about a millisecond */

static int clamp(int value, int least, int most)
{
    return value < least ? least : value > most ? most : value;
}

/* Without the images that are done. Those of one job are alike: as many are under way as it had lanes, which so
 * many jobs shared. */
static struct player_job leave(const struct lookahead_job *job, int n_lanes, int n_sharing)
{
    int side_by_side = clamp(n_sharing > 0 ? n_lanes / n_sharing : n_lanes, 1, job->n);
    int finished = job->done / (side_by_side * job->evaluations) * side_by_side;
    int rest = job->done - finished * job->evaluations;
    struct player_job left = {
        .n = clamp(job->n - finished, 0, job->n),
        .evaluations = job->evaluations,
        .priority = job->priority,
    };

    left.n_begun = clamp(side_by_side, 0, left.n);
    if (left.n_begun > 0)
        left.done = clamp(rest / left.n_begun, 0, job->evaluations - 1);
    return left;
}

/* Who has a lane is in front, then who waits for the first one, then who waits again; the last as it is. */
static void add_all(struct player *p, const struct lookahead_job *jobs, int n, int n_lanes)
{
    struct player_job left;
    int n_sharing = 0, rank;

    for (int i = 0; i < n; i++)
        n_sharing += jobs[i].done > 0;
    for (int turn = 0; turn < 3; turn++)
        for (int i = 0; i < n - 1; i++) {
            left = leave(&jobs[i], n_lanes, n_sharing);
            rank = left.done > 0 ? 0 : jobs[i].done > 0 ? 2 : 1;
            if (rank == turn && left.n > 0)
                player_add(p, i, &left);
        }
    left = leave(&jobs[n - 1], n_lanes, n_sharing);
    player_add(p, n - 1, &left);
}

static double tick_s(const struct lookahead *l, int busy)
{
    return pace_tick_s(l->pace, (busy + l->devices - 1) / l->devices) + l->between_s;
}

/* From one finished image to the next, until all n of the last job are. */
static void play(struct player *p, const struct lookahead *l, int last, int n, double *first_s,
                 double *done_s)
{
    double now_s = 0, each_s;
    bool begun = false;
    int i, ticks;

    while (n > 0 && player_looks(p) < LOOKS_MAX) {
        bool waited = !begun;

        while ((i = player_begin(p)) >= 0)
            begun |= i == last;
        each_s = tick_s(l, player_busy(p));
        if (waited && begun)
            *first_s = now_s + each_s;
        ticks = player_until_end(p);
        now_s += ticks * each_s;
        player_evaluate(p, ticks);
        while ((i = player_end(p)) >= 0)
            n -= i == last;
    }
    if (!begun)
        *first_s = now_s;
    *done_s = now_s;
}

int lookahead_run(const struct lookahead *l, const struct lookahead_job *jobs, int n,
                  double *first_s, double *done_s)
{
    int n_lanes = l->lanes * l->devices;
    struct player *p = player_create(n, n_lanes);

    if (!p)
        return -ENOMEM;
    add_all(p, jobs, n, n_lanes);
    play(p, l, n - 1, jobs[n - 1].n, first_s, done_s);
    player_destroy(p);
    return 0;
}
