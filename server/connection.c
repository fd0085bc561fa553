#include "server/connection.h"

#include "engine/base/log.h"

#include <stdlib.h>
#include <sys/socket.h>

static void on_disconnect(uv_poll_t *handle, int status, int events)
{
    struct connection *c = handle->data;

    if (!c->gone && !c->ended) { /* we are called again, once the library has had its turn */
        c->ended = true;
        return;
    }
    uv_poll_stop(&c->watch);
    if (c->gone)
        c->gone(c->gone_arg);
    else
        shutdown(c->socket, SHUT_RD); /* the library is woken, reads what is left, and the end */
}

struct connection *connection_create(uv_loop_t *loop, int socket, struct client *client)
{
    struct connection *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->socket = socket;
    c->client = client;
    if (uv_poll_init(loop, &c->watch, socket) < 0) {
        free(c);
        return NULL;
    }
    uv_timer_init(loop, &c->deadline);
    c->handles = 2;
    c->watch.data = c;
    c->deadline.data = c;
    uv_poll_start(&c->watch, UV_DISCONNECT, on_disconnect);
    return c;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;

    if (--c->handles == 0)
        free(c);
}

void connection_close(struct connection *c)
{
    if (!c)
        return;
    uv_close((uv_handle_t *)&c->watch, on_handle_closed);
    uv_close((uv_handle_t *)&c->deadline, on_handle_closed);
}

static void on_deadline(uv_timer_t *handle)
{
    const struct connection *c = handle->data;

    log_write(LOG_DEBUG, "event=deadline");
    shutdown(c->socket, SHUT_RDWR);
}

void connection_set_deadline(struct connection *c, int ms)
{
    uv_timer_start(&c->deadline, on_deadline, (uint64_t)ms, 0);
}

void connection_clear_deadline(struct connection *c)
{
    uv_timer_stop(&c->deadline);
}

void connection_watch(struct connection *c, void (*gone)(void *arg), void *arg)
{
    c->gone = gone;
    c->gone_arg = arg;
    uv_poll_start(&c->watch, UV_DISCONNECT, on_disconnect);
}

void connection_unwatch(struct connection *c)
{
    c->gone = NULL;
}
