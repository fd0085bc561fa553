/* How libmicrohttpd 0.9.75 and libuv 1.44 are held, and why:
 *
 *   - The library's epoll descriptor is watched by the loop. All of its work is done in pump(),
 *     from a prepare handle: never inside another callback, so it is never entered twice.
 *   - libuv before 1.48 runs a timer of 0 ms again and again without polling: timers get 1 ms.
 *   - STRICT_FOR_CLIENT is 0: the strict mode answers some bad requests twice; the guard is ours.
 *
 * What else is held with care is told in connection.h and exchange.c.
 */
#include "server/listener.h"

#include "engine/base/error.h"
#include "engine/base/log.h"
#include "server/connection.h"
#include "server/exchange_hooks.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BACKLOG = 511, RUNS_MAX = 4, CONNECTION_BYTES = 32768 };

struct listener {
    struct exchanges exchanges;
    uv_loop_t *loop;
    struct MHD_Daemon *daemon;
    uv_poll_t poll; /* the library's epoll descriptor */
    uv_prepare_t prepare;
    uv_timer_t timer; /* the library's timeout */
    int handles;      /* of the three above, not yet closed */
};

static void on_timer(uv_timer_t *handle)
{
    struct listener *l = handle->data;

    l->exchanges.dirty = true;
}

static void pump(struct listener *l)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;
    enum MHD_Result wanted = MHD_NO;

    while (l->exchanges.dirty) {
        l->exchanges.dirty = false;
        for (int i = 0; i < RUNS_MAX; i++) {
            MHD_run(l->daemon);
            wanted = MHD_get_timeout(l->daemon, &ms);
            if (wanted != MHD_YES || ms > 0)
                break;
        }
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
    struct connection *c;

    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        /* At its limit of connections the library listens again only when it is run once more. */
        l->exchanges.dirty = true;
        c = *context;
        /* Before the library closes the socket: a poll handle must not outlive its descriptor. */
        connection_close(c);
        return;
    }
    info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    c = connection_create(l->loop, info->connect_fd);
    if (c)
        connection_set_deadline(c, l->exchanges.options.header_timeout_ms);
    *context = c;
}

int listener_bind(const char *text, int *out, char bound[ADDRESS_TEXT_BYTES], struct error *err)
{
    struct address address;
    int on = 1, fd, rc;

    rc = address_parse(text, &address, err);
    if (rc < 0)
        return rc;
    fd = socket(address.socket.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(err, -errno, "could not open a socket: %s", strerror(errno));
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        (address.socket.any.sa_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
        bind(fd, &address.socket.any, address.size) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, &address.socket.any, &address.size) < 0) {
        rc = error_set(err, -errno, "could not listen on %s: %s", text, strerror(errno));
        close(fd);
        return rc;
    }
    address_format(&address, bound);
    *out = fd;
    return 0;
}

static void on_library_log(void *cls, const char *fmt, va_list args)
{
    const struct listener *l = cls;
    char text[256];

    vsnprintf(text, sizeof(text), fmt, args);
    text[strcspn(text, "\n")] = '\0';
    log_write(LOG_DEBUG, "event=microhttpd listener=%s text=\"%s\"", l->exchanges.options.name,
              text);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;

    if (--l->handles == 0)
        free(l);
}

int listener_create(uv_loop_t *loop, const struct listener_options *options, struct listener **out,
                    struct error *err)
{
    const union MHD_DaemonInfo *info;
    struct listener *l = calloc(1, sizeof(*l));
    int rc;

    if (!l) {
        close(options->socket);
        return error_set(err, -ENOMEM, "out of memory starting listener \"%s\"",
                         options->exchange.name);
    }
    l->exchanges.options = options->exchange;
    l->loop = loop;
    l->daemon =
        MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL,
                         NULL, exchange_on_request, &l->exchanges, MHD_OPTION_EXTERNAL_LOGGER,
                         on_library_log, l, MHD_OPTION_LISTEN_SOCKET, options->socket,
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned)options->connections_max,
                         MHD_OPTION_PER_IP_CONNECTION_LIMIT,
                         (unsigned)options->connections_per_ip_max,
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
                         MHD_OPTION_STRICT_FOR_CLIENT, 0, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
                         MHD_OPTION_URI_LOG_CALLBACK, exchange_on_target, &l->exchanges,
                         MHD_OPTION_NOTIFY_COMPLETED, exchange_on_completed, &l->exchanges,
                         MHD_OPTION_NOTIFY_CONNECTION, on_connection, l, MHD_OPTION_END);
    if (!l->daemon) {
        close(options->socket);
        free(l);
        return error_set(err, -EIO, "could not start listener \"%s\"", options->exchange.name);
    }
    info = MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    rc = info ? uv_poll_init(loop, &l->poll, info->epoll_fd) : -EIO;
    if (rc < 0) {
        MHD_stop_daemon(l->daemon);
        free(l);
        return error_set(err, -EIO, "could not watch listener \"%s\"", options->exchange.name);
    }
    uv_prepare_init(loop, &l->prepare);
    uv_timer_init(loop, &l->timer);
    l->handles = 3;
    l->poll.data = l;
    l->prepare.data = l;
    l->timer.data = l;
    uv_poll_start(&l->poll, UV_READABLE, on_poll);
    uv_prepare_start(&l->prepare, on_prepare);
    *out = l;
    return 0;
}

void listener_quiesce(struct listener *l)
{
    int fd;

    l->exchanges.dirty = true;
    pump(l);
    fd = MHD_quiesce_daemon(l->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
}

int listener_exchanges(const struct listener *l)
{
    return l->exchanges.n;
}

void listener_destroy(struct listener *l)
{
    if (!l)
        return;
    uv_close((uv_handle_t *)&l->poll, on_handle_closed);
    uv_close((uv_handle_t *)&l->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&l->timer, on_handle_closed);
    MHD_stop_daemon(l->daemon);
}

const char *listener_library_version(void)
{
    return MHD_get_version();
}
