#include "server/metrics.h"

#include "api/text_stream.h"
#include "config/settings.h"
#include "engine/base/log_writer.h"
#include "server/admission.h"
#include "server/batches.h"
#include "server/daemon.h"
#include "server/drawing.h"
#include "server/engine_model.h"
#include "server/engines.h"
#include "server/keys.h"
#include "server/listener.h"
#include "server/models.h"
#include "server/permalinks.h"
#include "server/picture_cache.h"
#include "server/process_metrics.h"
#include "server/request_counts.h"
#include "server/tls.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* Names and values of labels need no escapes: all are ours, or names that settings restrict. */

static void head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(FILE *out, const char *name, const char *type, const char *help, double value)
{
    head(out, name, type, help);
    fprintf(out, "%s %.17g\n", name, value);
}

static void write_models(FILE *out, const struct daemon *d)
{
    const struct engine_model *m;

    head(out, "softdiff_build_info", "gauge", "The version; always 1.");
    fprintf(out, "softdiff_build_info{version=\"%s\"} 1\n", SOFTDIFF_VERSION);
    if (!daemon_serves(d)) /* the models are not there yet */
        return;
    head(out, "softdiff_model_info", "gauge", "A model that is served; always 1.");
    for (int i = 0; i < models_count(d->models); i++) {
        m = models_at(d->models, i);
        fprintf(out,
                "softdiff_model_info{model=\"%s\",checkpoint=\"%.12s\",corruption=\"%s\","
                "resolution=\"%d\"} 1\n",
                m->name, m->digest, m->corruption, m->side_px);
    }
    head(out, "softdiff_model_healthy", "gauge",
         "0 where the model's last images had numbers that are not finite.");
    for (int i = 0; i < models_count(d->models); i++) {
        m = models_at(d->models, i);
        fprintf(out, "softdiff_model_healthy{model=\"%s\"} %d\n", m->name,
                !atomic_load(&m->unhealthy));
    }
}

static void write_requests(FILE *out, const char *listener, const struct request_counts *counts)
{
    for (int i = 0; i < counts->n; i++)
        fprintf(out,
                "softdiff_http_requests_total{listener=\"%s\",route=\"%s\",method=\"%s\","
                "code=\"%d\"} %" PRIu64 "\n",
                listener, counts->rows[i].route, counts->rows[i].method, counts->rows[i].status,
                counts->rows[i].n);
}

static void write_durations(FILE *out, const char *listener, const struct request_counts *counts)
{
    char labels[128];

    for (int i = 0; i < counts->n_routes; i++) {
        snprintf(labels, sizeof(labels), "listener=\"%s\",route=\"%s\"", listener,
                 counts->routes[i].route);
        histogram_write(&counts->routes[i].seconds, &histogram_seconds,
                        "softdiff_http_request_duration_seconds", labels, out);
    }
}

static void write_http(FILE *out, const struct daemon *d)
{
    struct listener_stats public, admin;

    listener_stats(d->public, &public);
    listener_stats(d->admin, &admin);
    head(out, "softdiff_http_requests_total", "counter",
         "Requests by route, method and status; 499: the client went away.");
    write_requests(out, "public", public.requests);
    write_requests(out, "admin", admin.requests);
    head(out, "softdiff_http_request_duration_seconds", "histogram",
         "From a request's head to the end of its answer, by route.");
    write_durations(out, "public", public.requests);
    write_durations(out, "admin", admin.requests);
    head(out, "softdiff_http_connections", "gauge", "Open connections.");
    fprintf(out, "softdiff_http_connections{listener=\"public\"} %d\n", public.n_connections);
    fprintf(out, "softdiff_http_connections{listener=\"admin\"} %d\n", admin.n_connections);
    head(out, "softdiff_http_connections_refused_total", "counter",
         "Newcomers that were turned away: the listener was full, or their client had its share.");
    fprintf(out, "softdiff_http_connections_refused_total{reason=\"full\"} %" PRIu64 "\n",
            public.n_refused_full);
    fprintf(out, "softdiff_http_connections_refused_total{reason=\"client\"} %" PRIu64 "\n",
            public.n_refused_client);
}

static void write_engine(FILE *out, const struct daemon *d)
{
    struct engine_stats stats;
    const char *state = daemon_state(d);

    engines_stats(d->engines, &stats);
    one(out, "softdiff_ready", "gauge", "1 while samples are served.", strcmp(state, "ready") == 0);
    one(out, "softdiff_engine_up", "gauge",
        "0 where no device is left that neither failed nor hangs.",
        stats.state != ENGINE_FAILED && !stats.stalled);
    one(out, "softdiff_slots", "gauge", "Images that are computed at a time.", stats.slots);
    one(out, "softdiff_slots_busy", "gauge", "Slots in use.", stats.busy);
    one(out, "softdiff_images_waiting", "gauge", "Images without a slot.", (double)stats.waiting);
    one(out, "softdiff_requests_in_progress", "gauge", "Requests for samples.",
        drawings_in_progress(d->drawings));
    one(out, "softdiff_images_total", "counter", "Images that were computed.",
        (double)stats.images);
    one(out, "softdiff_images_not_finite_total", "counter",
        "Images that were refused because of numbers that are not finite.",
        (double)stats.images_not_finite);
    one(out, "softdiff_network_evaluations_total", "counter", "Evaluations of the network.",
        (double)stats.evaluations);
    one(out, "softdiff_evaluations_per_second", "gauge",
        "Speed of the network while busy; 0 until measured.", stats.evaluations_per_s);
    one(out, "softdiff_backlog_evaluations", "gauge",
        "Evaluations that requests in progress need in all; over the speed: seconds of work.",
        admission_backlog(d->admission));
    head(out, "softdiff_step_seconds", "histogram",
         "Ticks: an evaluation of the network for all images in slots, with what surrounds it.");
    histogram_write(&stats.tick_seconds, &histogram_seconds, "softdiff_step_seconds", "", out);
    head(out, "softdiff_batch_size", "histogram", "Images in a tick.");
    histogram_write(&stats.batch_size, &histogram_images, "softdiff_batch_size", "", out);
}

static void write_of_devices(FILE *out, const struct daemon *d, const char *name, const char *type,
                             const char *help, const double *values)
{
    head(out, name, type, help);
    for (int i = 0; i < engines_count(d->engines); i++)
        fprintf(out, "%s{device=\"%s\"} %.17g\n", name, engines_name(d->engines, i), values[i]);
}

static void write_devices(FILE *out, const struct daemon *d)
{
    double up[ENGINES_MAX], slots[ENGINES_MAX], busy[ENGINES_MAX], evaluations[ENGINES_MAX];
    double backlog[ENGINES_MAX];
    struct engine_stats stats;

    for (int i = 0; i < engines_count(d->engines); i++) {
        engines_stats_of(d->engines, i, &stats);
        up[i] = stats.state != ENGINE_FAILED && !stats.stalled;
        slots[i] = stats.slots;
        busy[i] = stats.busy;
        evaluations[i] = (double)stats.evaluations;
        backlog[i] = engines_load(d->engines, i);
    }
    write_of_devices(out, d, "softdiff_device_up", "gauge", "0 where a device failed or hangs.",
                     up);
    write_of_devices(out, d, "softdiff_device_slots", "gauge", "Slots of a device.", slots);
    write_of_devices(out, d, "softdiff_device_slots_busy", "gauge", "Slots of a device in use.",
                     busy);
    write_of_devices(out, d, "softdiff_device_evaluations_total", "counter",
                     "Evaluations of the network by a device.", evaluations);
    write_of_devices(out, d, "softdiff_device_backlog_evaluations", "gauge",
                     "Evaluations that a device has left to do.", backlog);
}

static void write_jobs(FILE *out, const struct daemon *d)
{
    struct batches_stats stats;

    batches_stats(d->batches, &stats);
    head(out, "softdiff_jobs", "gauge",
         "Jobs in the store, when they were last counted; where it is shared, those of all.");
    fprintf(out, "softdiff_jobs{state=\"waiting\"} %d\nsoftdiff_jobs{state=\"ended\"} %d\n",
            stats.store.waiting, stats.store.ended);
    one(out, "softdiff_jobs_held", "gauge", "Jobs that are drawn here.", stats.held);
    one(out, "softdiff_job_store_up", "gauge",
        "0 where the store of jobs did not do the last thing that was asked of it.",
        stats.store.up);
    one(out, "softdiff_job_store_errors_total", "counter",
        "Times that the store of jobs did not do what was asked of it.",
        (double)stats.store.errors);
    one(out, "softdiff_job_leases_lost_total", "counter",
        "Jobs that were drawn here when another daemon took them up.", (double)stats.leases_lost);
    one(out, "softdiff_job_picture_bytes", "gauge", "Images of jobs in the store.",
        (double)stats.store.picture_bytes);
    head(out, "softdiff_webhooks_total", "counter",
         "Tries to tell the end of a job: delivered or failed; and ends that were given up.");
    fprintf(out,
            "softdiff_webhooks_total{outcome=\"delivered\"} %" PRIu64 "\n"
            "softdiff_webhooks_total{outcome=\"failed\"} %" PRIu64 "\n"
            "softdiff_webhooks_total{outcome=\"given_up\"} %" PRIu64 "\n",
            stats.webhooks_delivered, stats.webhooks_failed, stats.webhooks_given_up);
    one(out, "softdiff_webhooks_waiting", "gauge",
        "Ends of jobs that are still to be told, when they were last counted.",
        stats.store.webhooks);
    one(out, "softdiff_job_source_bytes", "gauge", "Pictures that jobs restore, in the store.",
        (double)stats.store.source_bytes);
}

/* Where the time of requests for images goes. */
static void write_drawings(FILE *out, const struct daemon *d)
{
    const struct drawings_stats *stats = drawings_stats(d->drawings);

    head(out, "softdiff_request_queue_seconds", "histogram",
         "From admission to the first slot, or to the end where there never was one.");
    histogram_write(&stats->queue, &histogram_seconds, "softdiff_request_queue_seconds", "", out);
    head(out, "softdiff_request_engine_seconds", "histogram",
         "From the first slot to the last image, of requests whose images were all computed.");
    histogram_write(&stats->engine, &histogram_seconds, "softdiff_request_engine_seconds", "", out);
    head(out, "softdiff_request_encode_seconds", "histogram",
         "From the last image to the encoded answer.");
    histogram_write(&stats->encode, &histogram_seconds, "softdiff_request_encode_seconds", "", out);
}

static void write_cache(FILE *out, const struct daemon *d)
{
    struct picture_cache_stats cache;
    struct permalinks_stats links;

    picture_cache_stats(d->cache, &cache);
    permalinks_stats(d->permalinks, &links);
    one(out, "softdiff_response_cache_hits_total", "counter",
        "Images of permalinks that the cache had.", (double)links.hits);
    one(out, "softdiff_response_cache_misses_total", "counter",
        "Images of permalinks that were drawn.", (double)links.misses);
    one(out, "softdiff_response_cache_merged_total", "counter",
        "Requests that waited for the drawing of another.",
        (double)(links.merged + drawings_stats(d->drawings)->joined));
    one(out, "softdiff_response_cache_evictions_total", "counter",
        "Images that made room for others.", (double)cache.evictions);
    one(out, "softdiff_response_cache_bytes", "gauge", "Memory of the cached images.",
        (double)cache.bytes);
}

char *metrics_text(const struct daemon *d)
{
    struct text_stream text;
    FILE *out;

    if (text_stream_open(&text) < 0)
        return NULL;
    out = text.file;
    write_models(out, d);
    write_engine(out, d);
    write_devices(out, d);
    write_jobs(out, d);
    write_drawings(out, d);
    write_cache(out, d);
    write_http(out, d);
    keys_write_metrics(d->keys, out);
    if (d->tls)
        one(out, "softdiff_certificate_expires_timestamp_seconds", "gauge",
            "When the API's certificate ends, in seconds since 1970.",
            (double)tls_expires_s(d->tls));
    one(out, "softdiff_loop_lag_seconds", "gauge",
        "How late the event loop was at most, in the last 15 to 30 seconds.",
        loop_lag_seconds(&d->lag));
    process_metrics_write(out);
    one(out, "softdiff_log_dropped_total", "counter", "Lines of the log that nobody read in time.",
        (double)log_writer_dropped());
    return text_stream_close(&text, NULL);
}
