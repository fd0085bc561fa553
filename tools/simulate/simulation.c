/* Time jumps from the end of a tick, or of a batch, to the next. What arrived meanwhile is admitted
 * at the moment of its arrival, so that a full queue refuses what the daemon's would.
 */
#include "tools/simulate/simulation.h"

#include "engine/base/error.h"
#include "server/queue/player.h"
#include "tools/simulate/stream.h"
#include "tools/simulate/ticks.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/* Images of a request. */
struct served {
    int n_admitted, n_begun, n_finished;
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

    struct served *served; /* [n_requests] */
    struct player *player; /* continuous: by the numbers of the requests */
    int *batch;            /* [slots] the requests of its images */
};

const char *policy_name(enum policy p)
{
    static const char *const names[POLICIES] = {"continuous", "batch"};

    return names[p];
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
    const struct player_job job = {.n = request->images, .evaluations = request->nfe};

    if (request->images > s->options->slots + s->options->max_queue - s->n_images) {
        s->result.refused++;
        return;
    }
    count_until(s, request->arrival_s);
    s->n_in_system++;
    s->n_images += request->images;
    s->served[i].n_admitted = request->images;
    if (s->options->policy == POLICY_CONTINUOUS)
        player_add(s->player, i, &job);
}

static void arrive_until(struct simulation *s, double time_s)
{
    while (s->n_arrived < s->n_requests && s->requests[s->n_arrived].arrival_s <= time_s)
        arrive(s, s->n_arrived++);
}

static void begin_image(struct simulation *s, int i)
{
    if (s->served[i].n_begun++ == 0)
        s->wait_s += s->now_s - s->requests[i].arrival_s;
}

static void finish_image(struct simulation *s, int i)
{
    const struct stream_request *request = &s->requests[i];

    if (++s->served[i].n_finished < request->images)
        return;
    count_until(s, s->now_s);
    s->n_in_system--;
    s->n_images -= request->images; /* the daemon's admission, too, counts requests whole */
    s->latency_s[s->result.completed++] = s->now_s - request->arrival_s;
    s->result.images += request->images;
    s->result.evaluations += (long long)request->images * request->nfe;
}

/* n images together evaluate so often. */
static void evaluate(struct simulation *s, int n, int evaluations)
{
    double time_s = 1e-3 * evaluations * ticks_ms(s->ticks, n);

    arrive_until(s, s->now_s + time_s);
    s->now_s += time_s;
    s->busy_s += time_s;
    s->result.lane_evaluations += (long long)n * evaluations;
}

/* Continuous batching. False: nothing to do. */
static bool tick(struct simulation *s)
{
    int i;

    while ((i = player_begin(s->player)) >= 0)
        begin_image(s, i);
    if (player_busy(s->player) == 0)
        return false;
    evaluate(s, player_busy(s->player), 1);
    player_evaluate(s->player, 1);
    while ((i = player_end(s->player)) >= 0)
        finish_image(s, i);
    return true;
}

/* The request of the next image in their order, -1 if none waits. */
static int first_waiting(struct simulation *s)
{
    while (s->first < s->n_arrived && s->served[s->first].n_begun == s->served[s->first].n_admitted)
        s->first++;
    return s->first < s->n_arrived ? s->first : -1;
}

/* Request-level batching. False: nothing to do. */
static bool batch(struct simulation *s)
{
    int i, n = 0, nfe = 0;

    while (n < s->options->slots && (i = first_waiting(s)) >= 0) {
        begin_image(s, i);
        s->batch[n++] = i;
        nfe = s->requests[i].nfe > nfe ? s->requests[i].nfe : nfe;
    }
    if (n == 0)
        return false;
    evaluate(s, n, nfe);
    for (i = 0; i < n; i++)
        finish_image(s, s->batch[i]);
    return true;
}

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
    s.latency_s = calloc((size_t)n, sizeof(*s.latency_s));
    s.served = calloc((size_t)n, sizeof(*s.served));
    s.player = player_create(n, o->slots);
    s.batch = calloc((size_t)o->slots, sizeof(*s.batch));
    if (!s.latency_s || !s.served || !s.player || !s.batch) {
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
    free(s.served);
    player_destroy(s.player);
    free(s.batch);
    return rc;
}
