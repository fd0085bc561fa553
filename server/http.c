/* How libmicrohttpd 0.9.75 and libuv 1.44 are held, and why:
 *
 *   - The library's epoll descriptor is watched by the loop. All of its work is done in pump(),
 *     from a prepare handle: never inside another callback, so it is never entered twice.
 *   - libuv before 1.48 runs a timer of 0 ms again and again without polling: timers get 1 ms.
 *   - A suspended connection is out of the library's epoll set, so nobody would notice its end: a
 *     poll handle on the same socket waits for UV_DISCONNECT alone.
 *   - The library's own timeout is one of inactivity, which a drip of bytes resets: deadlines are
 *     our timers, and expiry shuts the socket down, which the library sees as its end.
 *   - STRICT_FOR_CLIENT is 0: the strict mode answers some bad requests twice; the guard is ours.
 */
#include "server/http.h"

#include "api/limits.h"
#include "api/problem.h"
#include "engine/base/error.h"
#include "server/guard.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

enum { FIELDS_MAX = 128, HEADERS_MAX = 8, BACKLOG = 511, RUNS_MAX = 4, CONNECTION_BYTES = 32768 };

struct http {
    struct http_options options;
    uv_loop_t *loop;
    struct MHD_Daemon *daemon;
    uv_poll_t poll; /* the library's epoll descriptor */
    uv_prepare_t prepare;
    uv_timer_t timer; /* the library's timeout */
    int handles;      /* of the three above, not yet closed */
    bool dirty;       /* pump() has work */
    int n_exchanges;
};

/* Lives as long as the socket. */
struct connection {
    struct http *http;
    int socket;
    uv_timer_t deadline;
    uv_poll_t watch; /* started while suspended */
    int handles;     /* of the two above, not yet closed */
    struct exchange *exchange;
};

enum stage { STAGE_HEAD, STAGE_BODY, STAGE_COMPLETE };

struct header {
    const char *name;
    char value[256];
};

struct exchange {
    struct http *http;
    struct connection *connection;
    struct MHD_Connection *mhd;
    enum stage stage;
    char *target; /* owned */
    char *path;   /* owned */
    char method[16];
    char id[LIMITS_REQUEST_ID_BYTES + 1];
    const char *route;
    uint64_t started_ns;
    char *body; /* owned */
    size_t body_size;
    bool body_too_large, out_of_memory;
    struct header headers[HEADERS_MAX];
    int n_headers;
    bool close;
    bool suspended, gone;
    bool answered; /* response is set, or there was no memory for it */
    struct MHD_Response *response;
    int status;
    size_t response_bytes;
    void (*on_gone)(void *arg);
    void *on_gone_arg;
};

static void on_timer(uv_timer_t *handle)
{
    struct http *http = handle->data;

    http->dirty = true;
}

static void pump(struct http *http)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;
    enum MHD_Result wanted = MHD_NO;
    int i;

    while (http->dirty) {
        http->dirty = false;
        for (i = 0; i < RUNS_MAX; i++) {
            MHD_run(http->daemon);
            wanted = MHD_get_timeout(http->daemon, &ms);
            if (wanted != MHD_YES || ms > 0)
                break;
        }
    }
    if (wanted == MHD_YES)
        uv_timer_start(&http->timer, on_timer, ms ? ms : 1, 0);
    else
        uv_timer_stop(&http->timer);
}

static void on_prepare(uv_prepare_t *handle)
{
    struct http *http = handle->data;

    if (http->dirty)
        pump(http);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct http *http = handle->data;

    http->dirty = true;
}

/* Connections */

static void on_deadline(uv_timer_t *handle)
{
    struct connection *c = handle->data;

    log_write(LOG_DEBUG, "event=deadline listener=%s", c->http->options.name);
    shutdown(c->socket, SHUT_RDWR);
}

static void set_deadline(struct connection *c, int ms)
{
    uv_timer_start(&c->deadline, on_deadline, (uint64_t)ms, 0);
}

static void wake(struct exchange *x)
{
    uv_poll_stop(&x->connection->watch);
    x->suspended = false;
    MHD_resume_connection(x->mhd);
    x->http->dirty = true;
}

static void on_disconnect(uv_poll_t *handle, int status, int events)
{
    struct connection *c = handle->data;
    struct exchange *x = c->exchange;

    if (!x || !x->suspended)
        return;
    x->gone = true;
    if (x->on_gone)
        x->on_gone(x->on_gone_arg);
    x->on_gone = NULL;
    wake(x);
}

static void on_connection_handle_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;

    if (--c->handles == 0)
        free(c);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    const union MHD_ConnectionInfo *info;
    struct http *http = cls;
    struct connection *c;

    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        /* At its limit of connections the library listens again only when it is run once more. */
        http->dirty = true;
        c = *context;
        if (!c)
            return;
        /* Before the library closes the socket: a poll handle must not outlive its descriptor. */
        uv_close((uv_handle_t *)&c->watch, on_connection_handle_closed);
        uv_close((uv_handle_t *)&c->deadline, on_connection_handle_closed);
        return;
    }
    info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    *context = NULL;
    c = calloc(1, sizeof(*c));
    if (!c)
        return;
    c->http = http;
    c->socket = info->connect_fd;
    if (uv_poll_init(http->loop, &c->watch, c->socket) < 0) {
        free(c);
        return;
    }
    uv_timer_init(http->loop, &c->deadline);
    c->handles = 2;
    c->watch.data = c;
    c->deadline.data = c;
    set_deadline(c, http->options.header_timeout_ms);
    *context = c;
}

/* Exchanges */

static void *on_target(void *cls, const char *target, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info;
    struct http *http = cls;
    struct exchange *x;
    const char *path;

    info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (!info || !info->socket_context)
        return NULL;
    x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    x->http = http;
    x->mhd = mhd;
    x->route = "-";
    x->started_ns = uv_hrtime();
    /* The path of the absolute form comes after scheme and authority. */
    path = target;
    if (*path != '/') {
        path = strstr(target, "://");
        path = path ? strchr(path + 3, '/') : NULL;
        path = path ? path : "/";
    }
    x->target = strdup(target);
    x->path = strndup(path, strcspn(path, "?#"));
    if (!x->target || !x->path) {
        free(x->target);
        free(x->path);
        free(x);
        return NULL;
    }
    x->connection = info->socket_context;
    x->connection->exchange = x;
    http->n_exchanges++;
    return x;
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct exchange *x = *context;
    struct http *http = cls;

    if (!x)
        return;
    if (x->on_gone)
        x->on_gone(x->on_gone_arg);
    if (x->stage != STAGE_HEAD)
        log_write(http->options.log_level,
                  "event=request listener=%s id=%s method=%s route=%s status=%d bytes=%zu ms=%.1f",
                  http->options.name, x->id, x->method, x->route,
                  code == MHD_REQUEST_TERMINATED_COMPLETED_OK ? x->status : 499, x->response_bytes,
                  (double)(uv_hrtime() - x->started_ns) / 1e6);
    if (x->connection->exchange == x)
        x->connection->exchange = NULL;
    if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        set_deadline(x->connection, http->options.idle_timeout_ms);
    if (x->response)
        MHD_destroy_response(x->response);
    http->n_exchanges--;
    free(x->body);
    free(x->path);
    free(x->target);
    free(x);
    *context = NULL;
}

struct field_list {
    struct guard_field fields[FIELDS_MAX];
    size_t n;
    bool full;
};

static enum MHD_Result on_field(void *cls, enum MHD_ValueKind kind, const char *name,
                                size_t name_size, const char *value, size_t value_size)
{
    struct field_list *list = cls;

    if (list->n == FIELDS_MAX) {
        list->full = true;
        return MHD_NO;
    }
    list->fields[list->n++] = (struct guard_field){name, name_size, value, value ? value_size : 0};
    return MHD_YES;
}

static void respond_status(struct exchange *x, int status, const char *detail)
{
    struct problem problem = {0};

    problem_set(&problem, status, "%s", detail);
    exchange_respond_problem(x, &problem);
}

static void respond_too_large(struct exchange *x)
{
    struct problem problem = {0};

    problem_set(&problem, 413, "the body has more than %zu bytes", x->http->options.body_bytes_max);
    exchange_respond_problem(x, &problem);
}

static void guard(struct exchange *x, const char *method, const char *version)
{
    struct field_list list = {.n = 0};
    struct guard_request request = {.method = method, .target = x->target, .version = version};
    const char *why = "too many header fields";
    int status;

    MHD_get_connection_values_n(x->mhd, MHD_HEADER_KIND, on_field, &list);
    request.fields = list.fields;
    request.n_fields = list.n;
    status = list.full ? 431 : guard_check(&request, &why);
    if (status == 0)
        return;
    exchange_set_close(x);
    respond_status(x, status, why);
}

static void take_request_id(struct exchange *x)
{
    const char *given = exchange_header(x, "X-Request-ID");
    uint64_t random = 0;
    size_t i, n = given ? strlen(given) : 0;

    for (i = 0; i < n; i++)
        if (!isalnum((unsigned char)given[i]) && !strchr("._-", given[i]))
            break;
    if (n > 0 && n < sizeof(x->id) && i == n) {
        memcpy(x->id, given, n + 1);
        return;
    }
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        random = uv_hrtime();
    snprintf(x->id, sizeof(x->id), "%016" PRIx64, random);
}

static void begin(struct exchange *x, const char *method, const char *version)
{
    const char *length;

    snprintf(x->method, sizeof(x->method), "%s", method);
    take_request_id(x);
    guard(x, method, version);
    if (x->answered)
        return;
    x->http->options.begin(x, x->http->options.arg);
    if (x->answered)
        return;
    length = exchange_header(x, "Content-Length");
    if (length && strtoull(length, NULL, 10) > x->http->options.body_bytes_max) {
        x->body_too_large = true;
        exchange_set_close(x);
        respond_too_large(x);
    }
}

static void collect(struct exchange *x, const char *data, size_t size)
{
    char *grown;

    if (x->body_too_large || x->out_of_memory)
        return;
    if (size > x->http->options.body_bytes_max - x->body_size) {
        x->body_too_large = true;
        return;
    }
    grown = realloc(x->body, x->body_size + size);
    if (!grown) {
        x->out_of_memory = true;
        return;
    }
    memcpy(grown + x->body_size, data, size);
    x->body = grown;
    x->body_size += size;
}

static void complete(struct exchange *x)
{
    if (x->body_too_large)
        respond_too_large(x);
    else if (x->out_of_memory)
        respond_status(x, 503, "out of memory");
    else
        x->http->options.complete(x, x->http->options.arg);
}

static enum MHD_Result send_response(struct exchange *x)
{
    if (x->gone || !x->response)
        return MHD_NO;
    set_deadline(x->connection, x->http->options.idle_timeout_ms);
    return MHD_queue_response(x->mhd, (unsigned)x->status, x->response);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **context)
{
    struct exchange *x = *context;

    if (!x)
        return MHD_NO;
    switch (x->stage) {
    case STAGE_HEAD:
        x->stage = STAGE_BODY;
        begin(x, method, version);
        /* An answer before a body closes the connection, as it must; one without a body need not,
         * but the library would: it is sent on the next call. */
        if (x->answered && (x->close || exchange_announces_body(x)))
            return send_response(x);
        set_deadline(x->connection, x->http->options.header_timeout_ms);
        return MHD_YES;
    case STAGE_BODY:
        if (*size > 0) {
            collect(x, data, *size);
            *size = 0;
            return MHD_YES;
        }
        uv_timer_stop(&x->connection->deadline);
        x->stage = STAGE_COMPLETE;
        if (!x->answered)
            complete(x);
        if (x->answered)
            return send_response(x);
        MHD_suspend_connection(mhd);
        x->suspended = true;
        uv_poll_start(&x->connection->watch, UV_DISCONNECT, on_disconnect);
        return MHD_YES;
    case STAGE_COMPLETE:
        break;
    }
    return send_response(x);
}

const char *exchange_id(const struct exchange *x)
{
    return x->id;
}

const char *exchange_method(const struct exchange *x)
{
    return x->method;
}

const char *exchange_path(const struct exchange *x)
{
    return x->path;
}

const char *exchange_header(const struct exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->mhd, MHD_HEADER_KIND, name);
}

bool exchange_announces_body(const struct exchange *x)
{
    const char *length = exchange_header(x, "Content-Length");

    return (length && strcmp(length, "0")) || exchange_header(x, "Transfer-Encoding");
}

const char *exchange_body(const struct exchange *x, size_t *size)
{
    *size = x->body_size;
    return x->body;
}

uint64_t exchange_started_ns(const struct exchange *x)
{
    return x->started_ns;
}

void exchange_set_route(struct exchange *x, const char *route)
{
    x->route = route;
}

void exchange_add_header(struct exchange *x, const char *name, const char *value)
{
    if (x->n_headers == HEADERS_MAX)
        return;
    x->headers[x->n_headers].name = name;
    snprintf(x->headers[x->n_headers].value, sizeof(x->headers[0].value), "%s", value);
    x->n_headers++;
}

void exchange_set_close(struct exchange *x)
{
    x->close = true;
}

void exchange_respond(struct exchange *x, int status, const char *content_type, const void *body,
                      size_t size, void *owned)
{
    struct MHD_Response *response;
    bool ok = true;
    int i;

    /* The library takes a void pointer even where it only reads. */
    if (owned)
        response =
            MHD_create_response_from_buffer_with_free_callback(size, (void *)(uintptr_t)body, free);
    else
        response =
            MHD_create_response_from_buffer(size, (void *)(uintptr_t)body, MHD_RESPMEM_PERSISTENT);
    if (!response)
        free(owned);
    for (i = 0; response && i < x->n_headers; i++)
        ok &= MHD_add_response_header(response, x->headers[i].name, x->headers[i].value);
    if (response) {
        ok &= MHD_add_response_header(response, "Content-Type", content_type);
        ok &= MHD_add_response_header(response, "X-Request-ID", x->id);
        ok &= MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
        ok &= MHD_add_response_header(response, "Cache-Control", "no-store");
        if (x->close)
            ok &= MHD_add_response_header(response, "Connection", "close");
        if (!ok) {
            MHD_destroy_response(response);
            response = NULL;
        }
    }
    x->answered = true;
    x->response = response;
    x->response_bytes = size;
    x->status = status;
    x->on_gone = NULL;
    if (x->suspended)
        wake(x);
}

void exchange_respond_json(struct exchange *x, int status, char *text)
{
    if (text)
        exchange_respond(x, status, "application/json", text, strlen(text), text);
    else
        respond_status(x, 503, "out of memory");
}

void exchange_respond_problem(struct exchange *x, const struct problem *problem)
{
    static const char no_memory[] = "{\"status\":503,\"title\":\"Service Unavailable\"}";
    char *text = problem_to_json(problem, x->id);
    char seconds[16];

    if (problem->retry_after_s > 0) {
        snprintf(seconds, sizeof(seconds), "%d", problem->retry_after_s);
        exchange_add_header(x, "Retry-After", seconds);
    }
    if (text)
        exchange_respond(x, problem->status, PROBLEM_CONTENT_TYPE, text, strlen(text), text);
    else
        exchange_respond(x, 503, PROBLEM_CONTENT_TYPE, no_memory, strlen(no_memory), NULL);
}

void exchange_on_gone(struct exchange *x, void (*gone)(void *arg), void *arg)
{
    x->on_gone = gone;
    x->on_gone_arg = arg;
}

const char *http_library_version(void)
{
    return MHD_get_version();
}

/* Listeners */

int http_listen(const char *text, int *out, char bound[ADDRESS_TEXT_BYTES], struct error *err)
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
    const struct http *http = cls;
    char text[256];

    vsnprintf(text, sizeof(text), fmt, args);
    text[strcspn(text, "\n")] = '\0';
    log_write(LOG_DEBUG, "event=microhttpd listener=%s text=\"%s\"", http->options.name, text);
}

static void on_http_handle_closed(uv_handle_t *handle)
{
    struct http *http = handle->data;

    if (--http->handles == 0)
        free(http);
}

int http_create(uv_loop_t *loop, const struct http_options *options, struct http **out,
                struct error *err)
{
    const union MHD_DaemonInfo *info;
    struct http *http = calloc(1, sizeof(*http));
    int rc;

    if (!http) {
        close(options->socket);
        return error_set(err, -ENOMEM, "out of memory starting listener \"%s\"", options->name);
    }
    http->options = *options;
    http->loop = loop;
    http->daemon =
        MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL,
                         NULL, on_request, http, MHD_OPTION_EXTERNAL_LOGGER, on_library_log, http,
                         MHD_OPTION_LISTEN_SOCKET, options->socket, MHD_OPTION_CONNECTION_LIMIT,
                         (unsigned)options->connections_max, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
                         (unsigned)options->connections_per_ip_max,
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
                         MHD_OPTION_STRICT_FOR_CLIENT, 0, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
                         MHD_OPTION_URI_LOG_CALLBACK, on_target, http, MHD_OPTION_NOTIFY_COMPLETED,
                         on_completed, http, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http,
                         MHD_OPTION_END);
    if (!http->daemon) {
        close(options->socket);
        free(http);
        return error_set(err, -EIO, "could not start listener \"%s\"", options->name);
    }
    info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    rc = info ? uv_poll_init(loop, &http->poll, info->epoll_fd) : -EIO;
    if (rc < 0) {
        MHD_stop_daemon(http->daemon);
        free(http);
        return error_set(err, -EIO, "could not watch listener \"%s\"", options->name);
    }
    uv_prepare_init(loop, &http->prepare);
    uv_timer_init(loop, &http->timer);
    http->handles = 3;
    http->poll.data = http;
    http->prepare.data = http;
    http->timer.data = http;
    uv_poll_start(&http->poll, UV_READABLE, on_poll);
    uv_prepare_start(&http->prepare, on_prepare);
    *out = http;
    return 0;
}

void http_quiesce(struct http *http)
{
    int fd;

    http->dirty = true;
    pump(http);
    fd = MHD_quiesce_daemon(http->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
}

int http_exchanges(const struct http *http)
{
    return http->n_exchanges;
}

void http_destroy(struct http *http)
{
    if (!http)
        return;
    uv_close((uv_handle_t *)&http->poll, on_http_handle_closed);
    uv_close((uv_handle_t *)&http->prepare, on_http_handle_closed);
    uv_close((uv_handle_t *)&http->timer, on_http_handle_closed);
    MHD_stop_daemon(http->daemon);
}
