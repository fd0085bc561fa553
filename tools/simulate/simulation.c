/* Time jumps from the end of a tick, or of a batch, to the next. What arrived meanwhile is admitted
 * at the moment of its arrival, so that a full queue refuses what the daemon's would.
 */
#include "tools/simulate/simulation.h"

#include "engine/base/error.h"
#include "server/job.h"
#include "server/queue.h"
#include "tools/simulate/stream.h"
#include "tools/simulate/ticks.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/* An image that has begun, as the generator has it. */
struct lane {
    struct job *job; /* NULL: free */
    bool parked;
    int evaluations_left;
};

struct simulation {
    const struct simulation_options *options;
    const struct ticks *ticks;
    const struct stream_request *requests;
    int n_requests;

    double now_s, busy_s;
    int n_arrived;    /* of the requests */
    int first;        /* batch: no request before it waits */
    int n_images;     /* admitted and not yet completed */
    int n_in_system;  /* requests */
    double counted_s; /* until when in_system is summed up */
    double in_system; /* integral over time */
    struct simulation_result result;
    double *latency_s; /* [n_requests], of the completed */
    double wait_s;     /* sum */

    struct job *jobs; /* one per request */
    struct queue queue;
    struct lane *lanes; /* [2 * slots] */
    int n_busy;
};

const char *policy_name(enum policy p)
{
    static const char *const names[POLICIES] = {"continuous", "batch"};

    return names[p];
}

static const struct stream_request *request_of(const struct simulation *s, const struct job *job)
{
    return &s->requests[job->id];
}

/* Sums up how many requests were there until then. */
static void count_until(struct simulation *s, double time_s)
{
    s->in_system += s->n_in_system * (time_s - s->counted_s);
    s->counted_s = time_s;
}

static void arrive(struct simulation *s, int i)
{
    const struct stream_request *request = &s->requests[i];
    struct job *job = &s->jobs[i];

    if (request->images > s->options->slots + s->options->max_queue - s->n_images) {
        s->result.refused++;
        return;
    }
    count_until(s, request->arrival_s);
    s->n_in_system++;
    s->n_images += request->images;
    job->id = (uint64_t)i;
    job->n = request->images;
    job->nfe = request->nfe;
    if (s->options->policy == POLICY_CONTINUOUS)
        queue_push(&s->queue, job);
}

static void arrive_until(struct simulation *s, double time_s)
{
    while (s->n_arrived < s->n_requests && s->requests[s->n_arrived].arrival_s <= time_s)
        arrive(s, s->n_arrived++);
}

/* One more image of a job is there. */
static void complete_image(struct simulation *s, struct job *job)
{
    if (++job->n_finished < job->n)
        return;
    count_until(s, s->now_s);
    s->n_in_system--;
    s->n_images -= job->n; /* the daemon's admission, too, counts requests whole */
    s->latency_s[s->result.completed++] = s->now_s - request_of(s, job)->arrival_s;
    s->result.images += job->n;
    s->result.evaluations += (long long)job->n * job->nfe;
}

/* The first image of a job begins. */
static void begin_job(struct simulation *s, const struct job *job)
{
    s->wait_s += s->now_s - request_of(s, job)->arrival_s;
}

/* Continuous batching */

static void park(struct simulation *s, const struct job *job)
{
    struct lane *found = NULL;

    for (int i = 0; i < 2 * s->options->slots; i++) {
        struct lane *lane = &s->lanes[i];

        if (lane->job == job && !lane->parked &&
            (!found || lane->evaluations_left > found->evaluations_left))
            found = lane;
    }
    assert(found);
    found->parked = true;
    s->n_busy--;
}

static void resume(struct simulation *s, const struct job *job)
{
    struct lane *found = NULL;

    for (int i = 0; i < 2 * s->options->slots; i++) {
        struct lane *lane = &s->lanes[i];

        if (lane->job == job && lane->parked &&
            (!found || lane->evaluations_left < found->evaluations_left))
            found = lane;
    }
    assert(found);
    found->parked = false;
    s->n_busy++;
}

static void begin_image(struct simulation *s, struct job *job)
{
    struct lane *lane = s->lanes;

    while (lane->job)
        lane++;
    *lane = (struct lane){.job = job, .evaluations_left = job->nfe};
    s->n_busy++;
    if (job->n_started == 1)
        begin_job(s, job);
}

static void share_lanes(struct simulation *s)
{
    struct job *job;
    bool parked;

    for (;;) {
        if (s->n_busy == s->options->slots) {
            job = queue_park(&s->queue);
            if (!job)
                return;
            park(s, job);
        }
        job = queue_take(&s->queue, &parked);
        if (!job)
            return;
        if (parked)
            resume(s, job);
        else
            begin_image(s, job);
    }
}

/* False: nothing to do. */
static bool tick(struct simulation *s)
{
    double tick_s;

    share_lanes(s);
    if (s->n_busy == 0)
        return false;
    tick_s = 1e-3 * ticks_ms(s->ticks, s->n_busy);
    arrive_until(s, s->now_s + tick_s);
    s->now_s += tick_s;
    s->busy_s += tick_s;
    s->result.lane_evaluations += s->n_busy;
    for (int i = 0; i < 2 * s->options->slots; i++) {
        struct lane *lane = &s->lanes[i];
        struct job *job = lane->job;

        if (!job || lane->parked || --lane->evaluations_left > 0)
            continue;
        lane->job = NULL;
        s->n_busy--;
        queue_finish(&s->queue, job);
        complete_image(s, job);
    }
    return true;
}

/* Request-level batching */

/* The job of the next image in the order of the requests. */
static struct job *take_first(struct simulation *s)
{
    struct job *job;

    while (s->first < s->n_arrived && s->jobs[s->first].n_started == s->jobs[s->first].n)
        s->first++;
    if (s->first == s->n_arrived)
        return NULL;
    job = &s->jobs[s->first];
    if (job->n_started++ == 0)
        begin_job(s, job);
    return job;
}

static bool batch(struct simulation *s)
{
    double batch_s;
    int n = 0, nfe = 0;

    while (n < s->options->slots) {
        struct job *job = take_first(s);

        if (!job)
            break;
        s->lanes[n++].job = job;
        nfe = job->nfe > nfe ? job->nfe : nfe;
    }
    if (n == 0)
        return false;
    batch_s = 1e-3 * nfe * ticks_ms(s->ticks, n);
    arrive_until(s, s->now_s + batch_s);
    s->now_s += batch_s;
    s->busy_s += batch_s;
    s->result.lane_evaluations += (long long)n * nfe;
    for (int i = 0; i < n; i++)
        complete_image(s, s->lanes[i].job);
    return true;
}

/* The whole */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Of sorted numbers, the least that q of them do not exceed. */
static double quantile(const double *sorted, int n, double q)
{
    return n == 0 ? 0 : sorted[(int)ceil(q * n) - 1];
}

static void report(struct simulation *s, struct simulation_result *out)
{
    struct simulation_result *r = &s->result;
    int n = r->completed;
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += s->latency_s[i];
    qsort(s->latency_s, (size_t)n, sizeof(*s->latency_s), compare);
    r->elapsed_s = s->now_s;
    r->busy_s = s->busy_s;
    r->mean_in_system = s->now_s > 0 ? s->in_system / s->now_s : 0;
    r->mean_s = n ? sum / n : 0;
    r->mean_wait_s = n ? s->wait_s / n : 0;
    r->p50_s = quantile(s->latency_s, n, 0.5);
    r->p95_s = quantile(s->latency_s, n, 0.95);
    r->p99_s = quantile(s->latency_s, n, 0.99);
    *out = *r;
}

int simulation_run(const struct simulation_options *o, const struct ticks *ticks,
                   const struct stream_request *requests, int n, struct simulation_result *out,
                   struct error *err)
{
    struct simulation s = {.options = o, .ticks = ticks, .requests = requests, .n_requests = n};
    int rc = 0;

    if (o->slots < 1 || o->slots > ticks_lanes_max(ticks))
        return error_set(err, -EINVAL, "%d slots, but tick times for 1 to %d lanes only", o->slots,
                         ticks_lanes_max(ticks));
    s.queue.parked_max = o->slots;
    s.latency_s = calloc((size_t)n, sizeof(*s.latency_s));
    s.jobs = calloc((size_t)n, sizeof(*s.jobs));
    s.lanes = calloc(2 * (size_t)o->slots, sizeof(*s.lanes));
    if (!s.latency_s || !s.jobs || !s.lanes) {
        rc = error_set(err, -ENOMEM, "out of memory for %d requests", n);
        goto out;
    }
    while (s.n_arrived < n || s.n_in_system > 0) {
        bool served = o->policy == POLICY_CONTINUOUS ? tick(&s) : batch(&s);

        if (!served) { /* idle until somebody comes */
            s.now_s = requests[s.n_arrived].arrival_s;
            arrive_until(&s, s.now_s);
        }
    }
    report(&s, out);

out:
    free(s.latency_s);
    free(s.jobs);
    free(s.lanes);
    return rc;
}
