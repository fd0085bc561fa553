#include "server/daemon.h"

#include "api/limits.h"
#include "api/problem.h"
#include "config/model_folder.h"
#include "config/settings.h"
#include "engine/base/error.h"
#include "engine/base/headroom.h"
#include "engine/base/log.h"
#include "server/admission.h"
#include "server/batches.h"
#include "server/drawing.h"
#include "server/engine_model.h"
#include "server/engines.h"
#include "server/keys.h"
#include "server/listener.h"
#include "server/models.h"
#include "server/permalinks.h"
#include "server/picture_cache.h"
#include "server/routes.h"
#include "server/short_turns.h"
#include "server/supervisor.h"
#include "server/tls.h"
#include "server/waker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    DRAIN_LOOK_MS = 10,       /* between two looks */
    FAILED_MS = 2000,         /* for probes to see that the device failed, before the end */
    ANSWER_SENDING_MS = 2000, /* for the last answers to reach their clients */
    CANCELLING_MS = 10000,    /* for the engine to let go of cancelled jobs */
    LOADING_MS = 10000,       /* for the engine to notice that it need not load any more */
    POOL_BYTES = 64 << 20,    /* more than four stacks */
};

static uint64_t ms_since(uint64_t ns)
{
    return (uv_hrtime() - ns) / 1000000;
}

/* NULL: nothing. */
static const char *what_is_wrong(const struct daemon *d)
{
    struct engine_stats stats;

    engines_stats(d->engines, &stats);
    if (stats.state == ENGINE_FAILED)
        return "failed";
    return stats.stalled ? "stalled" : NULL;
}

/* No model gives images: whoever has other replicas should ask these. Still served, since a good image
 * shows that a model is well again. */
static bool all_models_are_unhealthy(const struct daemon *d)
{
    int n = 0;

    for (int i = 0; i < models_count(d->models); i++)
        n += atomic_load(&models_at(d->models, i)->unhealthy);
    return n > 0 && n == models_count(d->models);
}

const char *daemon_state(const struct daemon *d)
{
    const char *wrong;

    if (d->phase >= DAEMON_LEAVING)
        return "draining";
    wrong = what_is_wrong(d);
    if (wrong)
        return wrong;
    if (d->phase != DAEMON_READY)
        return "loading";
    return all_models_are_unhealthy(d) ? "unhealthy" : "ready";
}

bool daemon_serves(const struct daemon *d)
{
    return (d->phase == DAEMON_READY || d->phase == DAEMON_LEAVING) && !what_is_wrong(d);
}

/* The end */

void daemon_hold_signals(bool hold)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

static void finish(struct daemon *d)
{
    daemon_hold_signals(true); /* without their watchers they would kill */
    uv_timer_stop(&d->drain);
    listener_destroy(d->public);
    listener_destroy(d->admin);
    tls_destroy(d->tls);
    keys_destroy(d->keys);
    engines_stop(d->engines);
    batches_destroy(d->batches);
    permalinks_destroy(d->permalinks);
    picture_cache_destroy(d->cache);
    drawings_destroy(d->drawings);
    models_destroy(d->models);
    admission_destroy(d->admission);
    waker_destroy(d->waker);
    uv_close((uv_handle_t *)&d->sigterm, NULL);
    uv_close((uv_handle_t *)&d->sigint, NULL);
    uv_close((uv_handle_t *)&d->sighup, NULL);
    uv_close((uv_handle_t *)&d->drain, NULL);
    uv_close((uv_handle_t *)&d->alive, NULL);
    loop_lag_stop(&d->lag);
    supervisor_close(&d->supervisor);
}

/* The engine's thread cannot be joined, only left behind. */
static void leave_engine(struct daemon *d)
{
    d->engine_runs = true;
    uv_stop(&d->loop);
}

static bool still_loads(const struct daemon *d)
{
    struct engine_stats stats;

    engines_stats(d->engines, &stats);
    return stats.state == ENGINE_LOADING;
}

/* Nobody waits for a model any more, and the first images of one may take minutes. */
static void end_loading(struct daemon *d)
{
    if (!d->hurried_ns) {
        d->hurried_ns = uv_hrtime();
        engines_hurry(d->engines);
    }
    if (ms_since(d->hurried_ns) > LOADING_MS) {
        log_write(LOG_WARN, "event=loading_left");
        leave_engine(d);
    }
}

static void on_drain_look(uv_timer_t *timer)
{
    struct daemon *d = timer->data;
    uint64_t elapsed_ms = ms_since(d->drain_started_ns);
    uint64_t limit_ms = (uint64_t)d->settings->drain_timeout_ms;
    bool draws, changes;

    if (still_loads(d)) { /* then there never was a request for images */
        end_loading(d);
        return;
    }
    draws =
        drawings_in_progress(d->drawings) > 0 || d->n_preparing > 0 || !batches_idle(d->batches);
    changes = !models_idle(d->models);
    if (changes && !draws) {
        end_loading(d);
        return;
    }
    if (!changes && !draws) {
        if (listener_exchanges(d->public) == 0 || elapsed_ms > limit_ms + ANSWER_SENDING_MS)
            finish(d);
        return;
    }
    if (elapsed_ms >= limit_ms && !d->cancelled) {
        log_write(LOG_WARN, "event=drain_timeout requests=%d", drawings_in_progress(d->drawings));
        d->cancelled = true;
        drawings_cancel_all(d->drawings);
    }
    if (elapsed_ms > limit_ms + CANCELLING_MS) {
        /* The engine's thread hangs inside the device. */
        log_write(LOG_ERROR, "event=stuck requests=%d", drawings_in_progress(d->drawings));
        d->exit_status = DAEMON_STATUS_STUCK;
        leave_engine(d);
    }
}

static void drain(struct daemon *d)
{
    d->phase = DAEMON_DRAINING;
    supervisor_tell_stopping(&d->supervisor);
    d->drain_started_ns = uv_hrtime();
    if (d->batches)
        batches_stop(d->batches);
    listener_quiesce(d->public);
    uv_timer_start(&d->drain, on_drain_look, 1, DRAIN_LOOK_MS);
}

static void on_delay_over(uv_timer_t *timer)
{
    drain(timer->data);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct daemon *d = handle->data;
    struct problem problem = {0};

    if (number == SIGHUP) { /* by default it would end the daemon without a drain */
        log_write(LOG_INFO, "event=sighup");
        daemon_reload_access(d, &problem);
        daemon_reload_models(d);
        return;
    }
    if (d->phase < DAEMON_LEAVING) {
        log_write(LOG_INFO, "event=drain signal=%d requests=%d", number,
                  drawings_in_progress(d->drawings));
        if (d->phase == DAEMON_READY && d->settings->drain_delay_ms > 0) {
            d->phase = DAEMON_LEAVING;
            listener_leave(d->public);
            uv_timer_start(&d->drain, on_delay_over, (uint64_t)d->settings->drain_delay_ms, 0);
        } else {
            drain(d);
        }
        return;
    }
    log_write(LOG_INFO, "event=drain_now signal=%d requests=%d", number,
              drawings_in_progress(d->drawings));
    if (d->phase == DAEMON_LEAVING)
        drain(d);
    d->cancelled = true;
    drawings_cancel_all(d->drawings);
}

/* The engine */

/* Where all devices have failed for good nobody is answered; another process may find them well again. */
static void look_at_device(struct daemon *d)
{
    struct engine_stats stats;

    engines_stats(d->engines, &stats);
    if (stats.state != ENGINE_FAILED || d->exit_status != 0)
        return;
    d->exit_status = DAEMON_STATUS_DEVICE;
    log_write(LOG_ERROR, "event=device_failed status=%d error=%s", d->exit_status,
              LOG_TEXT(stats.error.text));
    uv_timer_start(&d->drain, on_delay_over, FAILED_MS, 0);
}

static void fail_loading(struct daemon *d, const char *text)
{
    log_write(LOG_ERROR, "event=load_failed error=%s", LOG_TEXT(text));
    d->exit_status = 1;
    drain(d);
}

static void on_loaded(void *arg, const struct problem *problem, const struct json_t *result)
{
    struct daemon *d = arg;
    struct engine_stats stats;
    char devices[ENGINES_MAX * 64] = "";
    size_t n = 0;

    if (d->phase != DAEMON_LOADING) /* it ends */
        return;
    if (problem) {
        fail_loading(d, problem->detail);
        return;
    }
    batches_begin(d->batches);
    d->phase = DAEMON_READY;
    listener_begin(d->public);
    for (int i = 0; i < engines_count(d->engines) && n < sizeof(devices); i++)
        n += (size_t)snprintf(devices + n, sizeof(devices) - n, "%s%s", i > 0 ? "; " : "",
                              engines_device(d->engines, i));
    engines_stats(d->engines, &stats);
    log_write(LOG_INFO, "event=ready device=%s models=%d slots=%d ms=%llu", LOG_TEXT(devices),
              models_count(d->models), stats.slots, (unsigned long long)ms_since(d->started_ns));
    supervisor_tell_ready(&d->supervisor);
}

static void load_when_open(struct daemon *d)
{
    struct engine_stats stats;

    engines_stats(d->engines, &stats);
    if (stats.state == ENGINE_FAILED) {
        fail_loading(d, stats.error.text);
    } else if (stats.state == ENGINE_READY && !d->loads) {
        d->loads = true;
        models_begin(d->models, on_loaded, d);
    }
}

static void on_wake(void *arg)
{
    struct daemon *d = arg;

    if (d->phase == DAEMON_LOADING)
        load_when_open(d);
    if (d->phase == DAEMON_READY)
        look_at_device(d);
    drawings_collect(d->drawings);
    models_collect(d->models);
}

static void wake(void *arg)
{
    struct daemon *d = arg;

    waker_wake(d->waker);
}

/* The beginning */

static int open_listener(struct daemon *d, const char *name, const struct listener_options *options,
                         struct listener **out, struct error *err)
{
    struct listener_options o = *options;
    int rc;

    o.exchange.name = name;
    o.exchange.header_timeout_ms = d->settings->header_timeout_ms;
    o.exchange.idle_timeout_ms = d->settings->idle_timeout_ms;
    o.exchange.body_bytes_max = LIMITS_BODY_BYTES;
    o.exchange.complete = routes_complete;
    o.exchange.retry_after_s = routes_retry_after_s;
    o.exchange.arg = d;
    rc = listener_create(&d->loop, &o, out, err);
    if (rc == 0)
        log_write(LOG_INFO, "event=listen listener=%s address=%s", name,
                  o.listening.local ? LOG_TEXT(o.listening.text) : o.listening.text);
    return rc;
}

static int open_listeners(struct daemon *d, struct error *err)
{
    struct listener_options public = {
        .tls = d->tls,
        .connections_per_client_max = d->settings->max_connections_per_ip,
        .exchange.log_level = LOG_INFO,
        .exchange.secure = d->tls != NULL,
        .exchange.hsts_max_age_s = d->settings->hsts_max_age_s,
        .exchange.begin = routes_public_begin,
    };
    struct listener_options admin = {
        .connections_max = DAEMON_ADMIN_CONNECTIONS,
        .exchange.log_level = LOG_DEBUG,
        .exchange.lengthless = true,
        .exchange.begin = routes_admin_begin,
    };
    struct daemon_sockets sockets;
    int rc = daemon_connections(d->settings, &public.connections_max, err);

    if (rc == 0)
        rc = daemon_bind(d->settings, &sockets, err);
    if (rc < 0)
        return rc;
    public.listening = sockets.public;
    public.waits = sockets.public.adopted; /* clients wait there as before the start */
    admin.listening = sockets.admin;
    rc = open_listener(d, "public", &public, &d->public, err);
    if (rc < 0) {
        listening_close(&sockets.admin);
        return rc;
    }
    return open_listener(d, "admin", &admin, &d->admin, err);
}

/* A daemon whose loop or engine hangs says nothing, and is started anew. */
static void on_alive(uv_timer_t *timer)
{
    struct daemon *d = timer->data;

    supervisor_tell_again(&d->supervisor);
    if (!what_is_wrong(d))
        supervisor_tell_alive(&d->supervisor);
}

static void watch_signal(struct daemon *d, uv_signal_t *handle, int number)
{
    uv_signal_init(&d->loop, handle);
    handle->data = d;
    uv_signal_start(handle, on_signal, number);
}

static void do_nothing(uv_work_t *work)
{
}

/* The threads that encode: with its first work the library makes them all, and aborts if it cannot,
 * so that it is better done now than with the first answer. */
static int start_pool(struct daemon *d, struct error *err)
{
    int rc = headroom_check(POOL_BYTES, "the threads that encode answers", err);

    if (rc == 0)
        uv_queue_work(&d->loop, &d->first_work, do_nothing, NULL);
    return rc;
}

static int start(struct daemon *d, struct error *err)
{
    int rc;

    uv_timer_init(&d->loop, &d->drain);
    d->drain.data = d;
    uv_timer_init(&d->loop, &d->alive);
    d->alive.data = d;
    loop_lag_start(&d->lag, &d->loop);
    supervisor_open(&d->supervisor);
    watch_signal(d, &d->sigterm, SIGTERM);
    watch_signal(d, &d->sigint, SIGINT);
    watch_signal(d, &d->sighup, SIGHUP);
    rc = waker_create(&d->loop, on_wake, d, &d->waker, err);
    if (rc == 0)
        rc = start_pool(d, err);
    if (rc == 0)
        rc = keys_create(d->settings->api_key_file, &d->keys, err);
    if (rc == 0)
        rc = tls_create(d->settings, &d->tls, err);
    if (rc == 0)
        rc = open_listeners(d, err);
    if (rc == 0)
        rc = engines_start(d->settings, wake, d, &d->engines, err);
    if (rc == 0)
        rc = admission_create(d->settings, d->engines, &d->admission, err);
    if (rc == 0)
        rc = models_create(&d->loop, d->settings, d->engines, &d->models, err);
    if (rc == 0)
        rc = drawings_create(&d->loop, d->admission, d->engines, d->models, &d->drawings, err);
    if (rc == 0)
        rc = picture_cache_create((size_t)d->settings->response_cache_bytes, &d->cache, err);
    if (rc == 0)
        rc = permalinks_create(d, &d->permalinks, err);
    if (rc == 0)
        rc = batches_create(d, &d->batches, err);
    if (rc == 0 && supervisor_period_ms(&d->supervisor) > 0)
        uv_timer_start(&d->alive, on_alive, 1, supervisor_period_ms(&d->supervisor));
    short_turns_take(); /* all threads that compute are there */
    return rc;
}

int daemon_run(const struct settings *settings, struct daemon_end *out, struct error *err)
{
    struct daemon d = {.settings = settings, .started_ns = uv_hrtime()};
    struct settings_model models[SETTINGS_FILES_MAX];
    int rc;

    rc = model_folder_list(settings, models, &d.n_models, err);
    if (rc < 0)
        return rc;
    signal(SIGPIPE, SIG_IGN);
    rc = uv_loop_init(&d.loop);
    if (rc < 0)
        return error_set(err, rc, "could not start the event loop: %s", uv_strerror(rc));
    rc = start(&d, err);
    if (rc < 0)
        finish(&d);
    else
        daemon_hold_signals(false);
    uv_run(&d.loop, UV_RUN_DEFAULT);
    if (!d.engine_runs)
        uv_loop_close(&d.loop);
    if (rc == 0)
        log_write(LOG_INFO, "event=stop status=%d drain_ms=%llu", d.exit_status,
                  (unsigned long long)ms_since(d.drain_started_ns));
    *out = (struct daemon_end){d.exit_status, d.engine_runs};
    return rc;
}
