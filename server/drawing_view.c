/* What is told of drawings: where they are, how long they take, what has become of them. */
#include "server/drawing_parts.h"

#include "engine/base/log.h"
#include "server/engine_model.h"
#include "server/engines.h"
#include "server/progress.h"

#include <inttypes.h>
#include <jansson.h>
#include <time.h>

static double ms_between(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (double)(to_ns - from_ns) / 1e6 : 0;
}

static void find_times(const struct painting *p, struct drawing_times *out)
{
    const struct job *job = &p->job;
    bool started = job->started_ns != 0;

    out->queue = ms_between(p->admitted_ns, started ? job->started_ns : job->finished_ns);
    out->engine = started ? ms_between(job->started_ns, job->finished_ns) : 0;
    out->encode = ms_between(job->finished_ns, p->encoded_ns);
}

void drawing_times(const struct drawing *d, struct drawing_times *out)
{
    find_times(d->painting, out);
}

/* Ends */

static void log_painting(const struct painting *p)
{
    const struct job *job = &p->job;
    struct drawing_times ms;

    find_times(p, &ms);
    log_write(LOG_INFO,
              "event=samples id=%s model=%s seed=%" PRIu64 " n=%d sampler=%s nfe=%d status=%d "
              "images=%d queue_ms=%.1f engine_ms=%.1f encode_ms=%.1f",
              p->id, p->model->name, job->seed, job->n, sampler_name(job->sampler), job->nfe,
              p->status, job->n_finished, ms.queue, ms.engine, ms.encode);
}

static void count_for_model(struct engine_model_counts *c, const struct painting *p,
                            const struct drawing_times *ms)
{
    double all_ms = ms_between(p->admitted_ns, uv_hrtime());

    c->last_s = (int64_t)time(NULL);
    if (p->status != 200) {
        c->n_failed++;
        c->failed_ms += all_ms;
        return;
    }
    c->n_ok++;
    c->n_images += (uint64_t)p->job.n;
    c->ok_ms += all_ms;
    c->queue_ms += ms->queue;
    c->engine_ms += ms->engine;
    c->encode_ms += ms->encode;
}

/* Who went or was refused while waiting has waited, too; of the rest only whole images count. */
void painting_count(const struct painting *p)
{
    struct drawings *all = p->all;
    struct drawing_times ms;

    log_painting(p);
    find_times(p, &ms);
    histogram_add(&all->stats.queue, &histogram_seconds, 1e-3 * ms.queue);
    if (p->job.status == 0)
        histogram_add(&all->stats.engine, &histogram_seconds, 1e-3 * ms.engine);
    if (p->encoded_ns)
        histogram_add(&all->stats.encode, &histogram_seconds, 1e-3 * ms.encode);
    count_for_model(&p->model->counts, p, &ms);
}

/* On the way */

struct progress *drawing_progress(const struct drawing *d)
{
    return d->painting->job.progress;
}

static bool waits(const struct painting *p)
{
    return p->with_engine && painting_count_waiting(p) > 0 && !atomic_load(&p->job.begun);
}

int drawing_place(const struct drawing *d)
{
    const struct painting *p = d->painting;
    int place = waits(p);
    bool older = false;

    for (const struct painting *other = p->all->first; place > 0 && other; other = other->next) {
        if (other->model == p->model && waits(other) &&
            (other->job.priority < p->job.priority ||
             (older && other->job.priority == p->job.priority)))
            place++;
        older |= other == p;
    }
    return place;
}

double drawing_left_ms(const struct drawing *d)
{
    const struct painting *p = d->painting;
    int done = d->seen;

    if (done == 0)
        return -1;
    return ms_between(p->admitted_ns, uv_hrtime()) / done * ((double)p->job.n * p->job.nfe - done);
}

const struct drawings_stats *drawings_stats(const struct drawings *all)
{
    return &all->stats;
}

int drawings_in_progress(const struct drawings *all)
{
    return all->n;
}

/* The devices that draw it, or drew it in vain. */
static json_t *devices_of(const struct painting *p)
{
    json_t *list = json_array();

    for (int i = 0; i < engines_count(p->all->engines); i++)
        if (p->job.engines >> i & 1)
            json_array_append_new(list, json_string(engines_name(p->all->engines, i)));
    return list;
}

struct json_t *drawings_to_json(const struct drawings *all)
{
    json_t *list = json_array();
    uint64_t now_ns = uv_hrtime();
    int clients;

    for (const struct painting *p = all->first; p; p = p->next) {
        clients = painting_count_waiting(p);
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:i, s:i, s:s, s:i, s:i, s:b, s:o}", "id",
                                        p->id, "model", p->model->name, "sampler",
                                        sampler_name(p->job.sampler), "nfe", p->job.nfe, "n",
                                        p->job.n, "priority",
                                        p->job.priority == PRIORITY_BACKGROUND ? "background"
                                                                               : "interactive",
                                        "age_ms", (int)ms_between(p->admitted_ns, now_ns),
                                        "clients", clients, "cancelled", clients == 0, "devices",
                                        devices_of(p)));
    }
    return list;
}
