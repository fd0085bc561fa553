/* The daemon: two listeners, the engines' threads, and the loop between them.
 *
 *     loading -> ready -> leaving -> draining -> gone
 *
 * Both listeners answer from the start; samples are served while ready. After SIGTERM or SIGINT the
 * probes say that it drains. For drain_delay_ms it serves on, so that whoever reads the probes can
 * send its clients elsewhere; then the public listener accepts no more, what was accepted is
 * finished within drain_timeout_ms, the rest gets 503; the probes answer until the end. A second
 * signal ends it at once. SIGHUP reads the keys, the certificate and the models again (server/keys.h,
 * server/tls.h, server/models.h).
 */
#ifndef SERVER_DAEMON_H
#define SERVER_DAEMON_H

#include "server/listening.h"
#include "server/loop_lag.h"
#include "server/supervisor.h"

#include <stdbool.h>
#include <uv.h>

struct admission;
struct batches;
struct error;
struct keys;
struct listener;
struct models;
struct permalinks;
struct picture_cache;
struct drawings;
struct engines;
struct problem;
struct settings;
struct tls;
struct waker;

enum daemon_phase { DAEMON_LOADING, DAEMON_READY, DAEMON_LEAVING, DAEMON_DRAINING };

/* With which the daemon ends by itself, so that its supervisor starts it again: an engine hangs, or all
 * devices have failed for good. */
enum { DAEMON_STATUS_STUCK = 75, DAEMON_STATUS_DEVICE = 76 };

enum { DAEMON_ADMIN_CONNECTIONS = 64 };

/* Read by the routes; written by daemon.c. Thread: loop. */
struct daemon {
    const struct settings *settings;
    enum daemon_phase phase;
    bool loads;                  /* the devices are open, and the models are being loaded */
    bool reloads, reloads_again; /* for a SIGHUP; another one came since */
    int exit_status;
    bool engine_runs; /* it was left behind */
    uv_loop_t loop;
    uv_work_t first_work; /* that makes the pool's threads */
    struct waker *waker;  /* an engine's thread has something */
    uv_signal_t sigterm, sigint, sighup;
    uv_timer_t drain; /* ends the delay, then looks whether all is finished */
    uv_timer_t alive; /* tells the supervisor */
    struct loop_lag lag;
    struct supervisor supervisor;
    uint64_t started_ns, drain_started_ns;
    uint64_t hurried_ns; /* the engines were told to stop loading; 0: it was not */
    bool cancelled;      /* the requests left over at the end of the drain */
    struct listener *public, *admin;
    struct keys *keys;
    struct tls *tls; /* NULL: none */
    struct engines *engines;
    struct admission *admission;
    struct models *models;
    int n_models; /* that it is told to begin with */
    struct drawings *drawings;
    int n_uploads;   /* pictures that come in, server/exchange.h */
    int n_preparing; /* what else the pool has: server/restorations.h, server/batch_previews.h */
    struct batches *batches;
    struct picture_cache *cache;
    struct permalinks *permalinks;
};

/* What the probes say: "loading", "ready", "unhealthy" (all models are), "draining", "stalled" or
 * "failed". */
const char *daemon_state(const struct daemon *d);

/* Whether samples are served: ready, or leaving with a device that works. */
bool daemon_serves(const struct daemon *d);

/* Of both listeners. */
struct daemon_sockets {
    struct listening public, admin;
};

/* Reads again who may use the daemon, and what it shows them. 0, or -EINVAL with a 422, or a 503 where
 * memory lacks: what of them is bad stays as it was, and what happened is in the log. */
int daemon_reload_access(struct daemon *d, struct problem *problem);

/* Reads the models again, for a signal: one after the other, however many signals come meanwhile there is one more.
 * What happened is in the log. */
void daemon_reload_models(struct daemon *d);

/* How many connections of clients there can be, at most max_connections. 0, or -EMFILE. */
int daemon_connections(const struct settings *s, int *out, struct error *err);

/* Binds both, or takes those that the supervisor has bound (server/supervisor.h); an error says what can be done. 0, -EINVAL or -errno. */
int daemon_bind(const struct settings *s, struct daemon_sockets *out, struct error *err);

struct daemon_end {
    int status; /* of the process: 0 after a drain, 1 if the engine could not load,
                       * DAEMON_STATUS_DEVICE if all devices failed later, DAEMON_STATUS_STUCK: one hangs */
    bool
        engine_runs; /* a thread of theirs, which hangs or still loads, uses what exit() would tear down */
};

/* Signals that end or reload wait, for this thread and those that it makes from then on. To be called before
 * the first is made: then they are the loop's alone, and none can kill a daemon that has none any more. */
void daemon_hold_signals(bool hold);

/* Serves until a signal, blocking; signals are held before and after. 0, or -errno if the listeners could
 * not be opened. */
int daemon_run(const struct settings *settings, struct daemon_end *out, struct error *err);

#endif
