/* Which engine draws which images, and how what they draw becomes one job again. */
#include "engine/base/log.h"
#include "server/engines.h"
#include "server/engines_parts.h"

#include <errno.h>
#include <stdatomic.h>

enum { BLAMES_MAX = 1 }; /* devices that may fail over a job before it is the job's fault */

/* An engine as it looks to a job. */
struct view {
    bool able;
    double load; /* evaluations that come before the job's */
};

/* Evaluations that a job asks for. */
static double work_of(const struct job *job)
{
    return (double)job->n * job->evaluations;
}

static double left(const struct engine *one, const struct engine_stats *stats, enum priority p)
{
    double left = one->placed[p] - (double)stats->evaluations_open[p];

    return left > 0 ? left : 0;
}

double engines_load(struct engines *e, int i)
{
    struct engine_stats stats;

    engines_stats_of(e, i, &stats);
    return left(&e->all[i], &stats, PRIORITY_INTERACTIVE) +
           left(&e->all[i], &stats, PRIORITY_BACKGROUND);
}

/* except: an engine that is not to have it, or -1. */
static void look(struct engines *e, const struct job *job, int except,
                 struct view views[ENGINES_MAX])
{
    struct engine_stats stats;
    double behind;

    for (int i = 0; i < e->n; i++) {
        engines_stats_of(e, i, &stats);
        views[i].able =
            i != except && job->model->copies[i] && stats.state == ENGINE_READY && !stats.stalled;
        views[i].load = left(&e->all[i], &stats, PRIORITY_INTERACTIVE);
        behind = left(&e->all[i], &stats, PRIORITY_BACKGROUND);
        /* What is in the background gives way to others: it decides where all else is equal. */
        views[i].load += job->priority == PRIORITY_BACKGROUND ? behind : 1e-9 * behind;
    }
}

/* The one with the least load; -1: there is none. */
static int choose(const struct engines *e, const struct view views[ENGINES_MAX])
{
    int least = -1;

    for (int i = 0; i < e->n; i++)
        if (views[i].able && (least < 0 || views[i].load < views[least].load))
            least = i;
    return least;
}

static void place(struct engines *e, struct job *job, int i)
{
    job->id = ++e->last_id;
    job->engine = i;
    job->on = job->model->copies[i];
    job->whole->engines |= 1u << i;
    e->all[i].placed[job->priority] += work_of(job);
    engine_thread_submit(e->all[i].thread, job);
}

/* A part of a job, of n images from the first on. */
static void make_part(struct job *whole, int first, int n, struct job *out)
{
    size_t side = (size_t)whole->model->side_px;

    *out = (struct job){
        .model = whole->model,
        .sampler = whole->sampler,
        .nfe = whole->nfe,
        .evaluations = whole->evaluations,
        .label = whole->label,
        .guidance = whole->guidance,
        .seed = whole->seed + (uint64_t)first,
        .seed_b = whole->seed_b + (uint64_t)first,
        .mix = whole->mix,
        .n = n,
        .priority = whole->priority,
        .pixels = whole->pixels + (size_t)first * side * side * (size_t)whole->model->channels,
        .progress = whole->progress,
        .whole = whole,
        .first = first,
    };
}

/* Shares the images out among all that are able. */
static void place_parts(struct engines *e, struct job *job, struct view views[ENGINES_MAX])
{
    int counts[ENGINES_MAX] = {0}, first = 0;

    for (int image = 0; image < job->n; image++) {
        int i = choose(e, views);

        views[i].load += job->evaluations;
        counts[i]++;
        job->n_parts += counts[i] == 1;
    }
    for (int i = 0, part = 0; i < e->n; i++) {
        if (counts[i] == 0)
            continue;
        make_part(job, first, counts[i], &job->parts[part]);
        place(e, &job->parts[part++], i);
        first += counts[i];
    }
}

void engines_submit(struct engines *e, struct job *job)
{
    struct view views[ENGINES_MAX];
    int chosen;

    job->whole = job;
    look(e, job, -1, views);
    chosen = choose(e, views);
    for (int i = 0; chosen < 0; i++) /* there is none, and any that has the model will say so */
        chosen = job->model->copies[i] ? i : -1;
    if (job->parts && views[chosen].able)
        place_parts(e, job, views);
    else
        place(e, job, chosen);
}

/* What a device could not finish is begun anew by another. */
static bool goes_elsewhere(struct engines *e, struct job *job)
{
    struct view views[ENGINES_MAX];
    int from = job->engine, to;

    if ((job->status != -EIO && job->status != -ENODEV) || atomic_load(&job->whole->cancelled) ||
        atomic_load(&job->whole->enough))
        return false;
    job->n_blamed += job->queued.n_started > 0;
    look(e, job, from, views);
    to = choose(e, views);
    if (to < 0 || job->n_blamed > BLAMES_MAX)
        return false;
    log_write(LOG_WARN, "event=drawn_elsewhere from=%s to=%s images=%d error=%s",
              engines_name(e, from), engines_name(e, to), job->n, LOG_TEXT(job->error.text));
    atomic_fetch_sub(&job->whole->n_evaluated, job->n_evaluations);
    job->n_finished = job->n_evaluations = 0;
    job->started_ns = 0;
    job->status = 0;
    place(e, job, to);
    return true;
}

/* The whole, if all of its parts are done; else NULL. */
static struct job *join(struct job *part)
{
    struct job *whole = part->whole;

    if (part == whole)
        return whole;
    if (part->started_ns && (!whole->started_ns || part->started_ns < whole->started_ns))
        whole->started_ns = part->started_ns;
    if (part->finished_ns > whole->finished_ns)
        whole->finished_ns = part->finished_ns;
    whole->n_finished += part->n_finished;
    if (part->status < 0 && (whole->status == 0 || whole->status == -ECANCELED)) {
        whole->status = part->status;
        whole->error = part->error;
        atomic_store(&whole->cancelled, true); /* nobody wants the rest */
    }
    return --whole->n_parts == 0 ? whole : NULL;
}

struct job *engines_take_done(struct engines *e)
{
    struct job *job;

    for (int i = 0; i < e->n; i++)
        while ((job = engine_thread_take_done(e->all[i].thread))) {
            e->all[i].placed[job->priority] -= work_of(job);
            if (!goes_elsewhere(e, job) && (job = join(job)))
                return job;
        }
    return NULL;
}
