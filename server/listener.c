/* How libmicrohttpd 0.9.75 and libuv 1.44 are held, and why:
 *
 *   - Connections are accepted here and handed to the library: at a limit of its own it accepts
 *     nothing, without a word, and without descriptors it asks for the socket again and again.
 *   - The library's epoll descriptor is watched by the loop. All of its work is done in pump(),
 *     from a prepare handle: never inside another callback, so it is never entered twice.
 *   - libuv before 1.48 runs a timer of 0 ms again and again without polling: timers get 1 ms.
 *   - It reads requests as strictly as it can without answering some bad ones twice, which 0.9.75
 *     does in its strict mode; the guard is ours.
 *
 * What else is held with care is told in connection.h and exchange.c.
 */
#include "server/listener.h"

#include "api/problem.h"
#include "engine/base/error.h"
#include "engine/base/log.h"
#include "server/clients.h"
#include "server/connection.h"
#include "server/exchange_hooks.h"
#include "server/refusal.h"
#include "server/tls.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    WAITING_MAX = 512, /* that the system lets wait to be accepted */
    ACCEPTS_MAX = 64,  /* at a time, before those who are connected get their turn */
    RUNS_MAX = 4,
    CONNECTION_BYTES = 32768,
    PAUSE_MS = 100, /* without descriptors or memory */
};

#if MHD_VERSION >= 0x00097701
static const enum MHD_OPTION strictness_option = MHD_OPTION_CLIENT_DISCIPLINE_LVL;
static const int strictness = 3;
#else
static const enum MHD_OPTION strictness_option = MHD_OPTION_STRICT_FOR_CLIENT;
static const int strictness = 0;
#endif

struct listener {
    struct exchanges exchanges;
    struct listener_options options;
    uv_loop_t *loop;
    bool accepting;
    struct MHD_Daemon *daemon;
    uv_poll_t acceptable; /* the listening socket */
    uv_poll_t poll;       /* the library's epoll descriptor */
    uv_prepare_t prepare;
    uv_timer_t timer; /* the library's timeout */
    uv_timer_t pause; /* until the next try to accept */
    int handles;      /* of the five above, not yet closed */
    bool waiting;     /* somebody is to be accepted */
    struct clients *clients;
    struct connection *entering; /* handed to the library, which has not told of them yet */
    struct refusals refusals;
    struct listener_stats stats;
};

/* Accepting */

static void leave(struct listener *l, struct connection *c)
{
    clients_leave(l->clients, c->client);
    l->stats.n_connections--;
    connection_close(c);
}

/* Takes the connection with this socket off the list of those that enter; NULL if there is none. */
static struct connection *take_entering(struct listener *l, int socket)
{
    struct connection **link = &l->entering, *c;

    while (*link && (*link)->socket != socket)
        link = &(*link)->next;
    c = *link;
    if (c)
        *link = c->next;
    return c;
}

static void refuse(struct listener *l, int fd, int status, const char *detail)
{
    const struct exchange_options *o = &l->options.exchange;
    struct problem problem = {.retry_after_s = o->retry_after_s(o->arg)};

    problem_set(&problem, status, "%s", detail);
    log_write(LOG_DEBUG, "event=refused listener=%s status=%d", o->name, status);
    if (l->options.tls)
        refusals_end_tls(&l->refusals, fd);
    else
        refusals_answer(&l->refusals, fd, NULL, &problem);
}

/* Takes the socket. */
static void enter(struct listener *l, int fd, const struct sockaddr *address, socklen_t size)
{
    struct connection *c;
    struct client *client;
    int rc;

    if (l->stats.n_connections >= l->options.connections_max) {
        l->stats.n_refused_full++;
        refuse(l, fd, 503, "there are as many connections as this server takes; try again");
        return;
    }
    rc = clients_enter(l->clients, address, l->options.connections_per_client_max, &client);
    if (rc == -EBUSY) {
        l->stats.n_refused_client++;
        refuse(l, fd, 429, "you have as many connections as a client may have; close some");
        return;
    }
    if (rc < 0) {
        close(fd);
        return;
    }
    c = connection_create(l->loop, fd, client);
    if (!c) {
        clients_leave(l->clients, client);
        close(fd);
        return;
    }
    l->stats.n_connections++;
    c->next = l->entering;
    l->entering = c;
    connection_set_deadline(c, l->options.exchange.header_timeout_ms);
    /* On failure the library closes the socket. */
    if (MHD_add_connection(l->daemon, fd, address, size) != MHD_YES && take_entering(l, fd))
        leave(l, c);
}

static void on_acceptable(uv_poll_t *handle, int status, int events)
{
    struct listener *l = handle->data;

    l->waiting = true;
    l->exchanges.dirty = true;
}

static void on_pause_over(uv_timer_t *handle)
{
    struct listener *l = handle->data;

    if (l->accepting)
        uv_poll_start(&l->acceptable, UV_READABLE, on_acceptable);
}

static void pause_accepting(struct listener *l, int code)
{
    log_write(LOG_WARN, "event=accept_paused listener=%s error=%s", l->options.exchange.name,
              LOG_TEXT(strerror(code)));
    uv_poll_stop(&l->acceptable);
    uv_timer_start(&l->pause, on_pause_over, PAUSE_MS, 0);
}

/* Accepts one who waits. 0, or the errno that says why not. */
static int accept_one(struct listener *l)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    int fd = accept4(l->options.listening.socket, (struct sockaddr *)&address, &size,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return errno;
    enter(l, fd, (struct sockaddr *)&address, size);
    return 0;
}

static void accept_waiting(struct listener *l)
{
    int code;

    l->waiting = false;
    for (int i = 0; i < ACCEPTS_MAX && l->accepting; i++) {
        code = accept_one(l);
        if (code == EMFILE || code == ENFILE || code == ENOMEM || code == ENOBUFS)
            pause_accepting(l, code);
        /* A client that is gone before it was accepted; what else there is concerns all. */
        if (code != 0 && code != ECONNABORTED && code != EINTR && code != EPROTO)
            return;
    }
}

/* The library */

static void on_timer(uv_timer_t *handle)
{
    struct listener *l = handle->data;

    l->exchanges.dirty = true;
}

static void pump(struct listener *l)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;
    enum MHD_Result wanted = MHD_NO;
    struct connection *c;

    while (l->exchanges.dirty) {
        l->exchanges.dirty = false;
        if (l->waiting)
            accept_waiting(l);
        for (int i = 0; i < RUNS_MAX; i++) {
            MHD_run(l->daemon);
            wanted = MHD_get_timeout(l->daemon, &ms);
            if (wanted != MHD_YES || ms > 0)
                break;
        }
    }
    while ((c = l->entering)) { /* the library had no room for it, and closed it */
        l->entering = c->next;
        leave(l, c);
    }
    if (wanted == MHD_YES)
        uv_timer_start(&l->timer, on_timer, ms ? ms : 1, 0);
    else
        uv_timer_stop(&l->timer);
}

static void on_prepare(uv_prepare_t *handle)
{
    struct listener *l = handle->data;

    if (l->exchanges.dirty)
        pump(l);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct listener *l = handle->data;

    l->exchanges.dirty = true;
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    const union MHD_ConnectionInfo *info;
    struct listener *l = cls;
    struct connection *c = *context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        *context = info ? take_entering(l, info->connect_fd) : NULL;
        return;
    }
    /* The library closes the socket after this: a poll handle must not outlive its descriptor. */
    if (c)
        leave(l, c);
}

static void on_library_log(void *cls, const char *fmt, va_list args)
{
    const struct listener *l = cls;
    char text[256];

    vsnprintf(text, sizeof(text), fmt, args);
    text[strcspn(text, "\n")] = '\0';
    log_write(LOG_DEBUG, "event=microhttpd listener=%s text=%s", l->options.exchange.name,
              LOG_TEXT(text));
}

/* The beginning and the end */

static struct MHD_Daemon *start_library(struct listener *l)
{
    bool tls = l->options.tls != NULL;

    return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
                                MHD_USE_NO_LISTEN_SOCKET | (tls ? MHD_USE_TLS : 0),
                            0, NULL, NULL, exchange_on_request, &l->exchanges,
                            MHD_OPTION_EXTERNAL_LOGGER, on_library_log, l,
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)l->options.connections_max,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
                            strictness_option, strictness, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
                            MHD_OPTION_URI_LOG_CALLBACK, exchange_on_target, &l->exchanges,
                            MHD_OPTION_NOTIFY_COMPLETED, exchange_on_completed, &l->exchanges,
                            MHD_OPTION_NOTIFY_CONNECTION, on_connection, l,
                            tls ? MHD_OPTION_HTTPS_PRIORITIES : MHD_OPTION_END, tls_priorities,
                            MHD_OPTION_HTTPS_CERT_CALLBACK, tls_retrieve, MHD_OPTION_END);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;

    if (--l->handles == 0)
        free(l);
}

/* Of a listener that could not be started; handles: 1 if the library is watched already. */
static int discard(struct listener *l, int handles, struct error *err)
{
    error_set(err, -EIO, "could not start listener \"%s\"", l->options.exchange.name);
    l->handles = handles;
    if (handles > 0)
        uv_close((uv_handle_t *)&l->poll, on_handle_closed);
    if (l->daemon)
        MHD_stop_daemon(l->daemon);
    clients_destroy(l->clients);
    listening_close(&l->options.listening);
    if (handles == 0)
        free(l);
    return -EIO;
}

int listener_create(uv_loop_t *loop, const struct listener_options *options, struct listener **out,
                    struct error *err)
{
    const union MHD_DaemonInfo *info;
    struct listener *l = calloc(1, sizeof(*l));

    if (!l) {
        listening_close(&options->listening);
        return error_set(err, -ENOMEM, "out of memory starting listener \"%s\"",
                         options->exchange.name);
    }
    l->options = *options;
    l->exchanges.options = options->exchange;
    l->loop = loop;
    if (l->options.listening.local) /* whoever they are, they have no address */
        l->options.connections_per_client_max = 0;
    l->accepting = true;
    l->clients = clients_create();
    refusals_init(&l->refusals, loop);
    l->exchanges.refusals = &l->refusals;
    l->daemon = l->clients ? start_library(l) : NULL;
    info = l->daemon ? MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info || uv_poll_init(loop, &l->poll, info->epoll_fd) < 0)
        return discard(l, 0, err);
    l->poll.data = l;
    if (uv_poll_init(loop, &l->acceptable, options->listening.socket) < 0)
        return discard(l, 1, err);
    uv_prepare_init(loop, &l->prepare);
    uv_timer_init(loop, &l->timer);
    uv_timer_init(loop, &l->pause);
    l->handles = 5;
    l->acceptable.data = l;
    l->prepare.data = l;
    l->timer.data = l;
    l->pause.data = l;
    if (!options->waits)
        uv_poll_start(&l->acceptable, UV_READABLE, on_acceptable);
    uv_poll_start(&l->poll, UV_READABLE, on_poll);
    uv_prepare_start(&l->prepare, on_prepare);
    *out = l;
    return 0;
}

void listener_begin(struct listener *l)
{
    if (l->options.waits)
        uv_poll_start(&l->acceptable, UV_READABLE, on_acceptable);
}

static void stop_accepting(struct listener *l)
{
    if (!l->accepting)
        return;
    uv_timer_stop(&l->pause);
    /* First: closing a handle takes its number off the loop, which may be another file's by then. */
    uv_close((uv_handle_t *)&l->acceptable, on_handle_closed);
    listening_close(&l->options.listening);
    l->accepting = false;
}

void listener_leave(struct listener *l)
{
    if (l->options.listening.adopted)
        stop_accepting(l);
}

void listener_quiesce(struct listener *l)
{
    listener_leave(l);
    /* The end of our socket would cut them off. */
    for (int i = 0; i < WAITING_MAX && l->accepting && accept_one(l) == 0; i++)
        ;
    stop_accepting(l);
    l->exchanges.dirty = true;
    pump(l);
}

int listener_exchanges(const struct listener *l)
{
    return l->exchanges.n;
}

void listener_stats(const struct listener *l, struct listener_stats *out)
{
    *out = l->stats;
    out->requests = &l->exchanges.counts;
}

void listener_destroy(struct listener *l)
{
    if (!l)
        return;
    stop_accepting(l);
    uv_close((uv_handle_t *)&l->poll, on_handle_closed);
    uv_close((uv_handle_t *)&l->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&l->timer, on_handle_closed);
    uv_close((uv_handle_t *)&l->pause, on_handle_closed);
    refusals_fini(&l->refusals);
    MHD_stop_daemon(l->daemon);
    clients_destroy(l->clients);
}

const char *listener_library_version(void)
{
    return MHD_get_version();
}
