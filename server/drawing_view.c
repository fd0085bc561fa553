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

void drawing_times(const struct drawing *d, struct drawing_times *out)
{
    const struct job *job = &d->job;
    bool started = job->started_ns != 0;

    out->queue = ms_between(d->admitted_ns, started ? job->started_ns : job->finished_ns);
    out->engine = started ? ms_between(job->started_ns, job->finished_ns) : 0;
    out->encode = ms_between(job->finished_ns, d->encoded_ns);
}

/* Ends */

static void log_drawing(const struct drawing *d)
{
    const struct job *job = &d->job;
    struct drawing_times ms;

    drawing_times(d, &ms);
    log_write(LOG_INFO,
              "event=samples id=%s model=%s seed=%" PRIu64 " n=%d sampler=%s nfe=%d status=%d "
              "images=%d queue_ms=%.1f engine_ms=%.1f encode_ms=%.1f",
              d->id, d->model->name, job->seed, job->n, sampler_name(job->sampler), job->nfe,
              d->status, job->n_finished, ms.queue, ms.engine, ms.encode);
}

static void count_for_model(struct engine_model_counts *c, const struct drawing *d,
                            const struct drawing_times *ms)
{
    double all_ms = ms_between(d->admitted_ns, uv_hrtime());

    c->last_s = (int64_t)time(NULL);
    if (d->status != 200) {
        c->n_failed++;
        c->failed_ms += all_ms;
        return;
    }
    c->n_ok++;
    c->n_images += (uint64_t)d->job.n;
    c->ok_ms += all_ms;
    c->queue_ms += ms->queue;
    c->engine_ms += ms->engine;
    c->encode_ms += ms->encode;
}

/* Who went or was refused while waiting has waited, too; of the rest only whole images count. */
void drawing_count(const struct drawing *d)
{
    struct drawings *all = d->all;
    struct drawing_times ms;

    log_drawing(d);
    drawing_times(d, &ms);
    histogram_add(&all->stats.queue, &histogram_seconds, 1e-3 * ms.queue);
    if (d->job.status == 0)
        histogram_add(&all->stats.engine, &histogram_seconds, 1e-3 * ms.engine);
    if (d->encoded_ns)
        histogram_add(&all->stats.encode, &histogram_seconds, 1e-3 * ms.encode);
    count_for_model(&d->model->counts, d, &ms);
}

/* On the way */

struct progress *drawing_progress(const struct drawing *d)
{
    return d->job.progress;
}

static bool waits(const struct drawing *d)
{
    return d->with_engine && !d->status && !atomic_load(&d->job.begun);
}

int drawing_place(const struct drawing *d)
{
    int place = waits(d);
    bool older = false;

    for (const struct drawing *other = d->all->first; place > 0 && other; other = other->next) {
        if (other->model == d->model && waits(other) &&
            (other->job.priority < d->job.priority ||
             (older && other->job.priority == d->job.priority)))
            place++;
        older |= other == d;
    }
    return place;
}

double drawing_left_ms(const struct drawing *d)
{
    int done = progress_evaluations(d->job.progress);

    if (done == 0)
        return -1;
    return ms_between(d->admitted_ns, uv_hrtime()) / done * ((double)d->job.n * d->job.nfe - done);
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
static json_t *devices_of(const struct drawing *d)
{
    json_t *list = json_array();

    for (int i = 0; i < engines_count(d->all->engines); i++)
        if (d->job.engines >> i & 1)
            json_array_append_new(list, json_string(engines_name(d->all->engines, i)));
    return list;
}

struct json_t *drawings_to_json(const struct drawings *all)
{
    json_t *list = json_array();
    uint64_t now_ns = uv_hrtime();

    for (const struct drawing *d = all->first; d; d = d->next)
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:i, s:i, s:s, s:i, s:b, s:o}", "id",
                                        d->id, "model", d->model->name, "sampler",
                                        sampler_name(d->job.sampler), "nfe", d->job.nfe, "n",
                                        d->job.n, "priority",
                                        d->job.priority == PRIORITY_BACKGROUND ? "background"
                                                                               : "interactive",
                                        "age_ms", (int)ms_between(d->admitted_ns, now_ns),
                                        "cancelled", d->status != 0, "devices", devices_of(d)));
    return list;
}
