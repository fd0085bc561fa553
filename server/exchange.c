/* The library calls exchange_on_target() with the first line of a head, exchange_on_request() once
 * with the whole head, then for every piece of the body and once more at its end; an answer may be
 * queued in the first and in the last of these calls only. It calls exchange_on_completed() in the end,
 * also for a head that never ended.
 */
#include "server/exchange.h"

#include "api/problem.h"
#include "server/connection.h"
#include "server/exchange_hooks.h"
#include "server/exchange_parts.h"
#include "server/guard.h"
#include "server/keys.h"
#include "server/refusal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uv.h>

enum { FIELDS_MAX = 128, ARGUMENTS_MAX = 128, TARGET_MAX = 16384 };

void exchange_wake(struct exchange *x)
{
    connection_unwatch(x->connection);
    x->suspended = false;
    MHD_resume_connection(x->mhd);
    x->all->dirty = true;
}

static void on_gone(void *arg)
{
    struct exchange *x = arg;

    x->gone = true;
    if (x->on_gone)
        x->on_gone(x->on_gone_arg);
    x->on_gone = NULL;
    exchange_wake(x);
}

/* The path of the absolute form comes after scheme and authority. 0 or -ENOMEM. */
static int split_target(struct exchange *x)
{
    const char *path = x->target;

    if (*path != '/') {
        path = strstr(path, "://");
        path = path ? strchr(path + 3, '/') : NULL;
        path = path ? path : "/";
    }
    x->path = strndup(path, strcspn(path, "#"));
    if (!x->path)
        return -ENOMEM;
    x->query = strchr(x->path, '?');
    if (x->query)
        *x->query++ = '\0';
    return 0;
}

void exchange_sleep(struct exchange *x)
{
    MHD_suspend_connection(x->mhd);
    x->suspended = true;
    if (!x->half_close)
        connection_watch(x->connection, on_gone, x);
}

/* The library keeps an address and a record of each of its arguments in a connection's memory. Where that ends it
 * has none left for an answer either (0.9.75), closes, and does not tell of an end: so this is refused before, and
 * with room for the fields of a head. */
static bool is_too_long(const char *target)
{
    size_t arguments = 0;

    for (const char *p = strchr(target, '?'); p; p = strchr(p + 1, '&'))
        arguments++;
    return arguments > ARGUMENTS_MAX || strlen(target) > TARGET_MAX;
}

/* Nothing can be answered by the library yet: on the connection's socket. */
static void refuse_target(struct exchanges *all, struct MHD_Connection *mhd, int socket)
{
    const union MHD_ConnectionInfo *tls = NULL;
    struct problem problem = {0};

    problem_set(&problem, 414, "the address has more than %d bytes or %d arguments", TARGET_MAX,
                ARGUMENTS_MAX);
    if (all->options.secure)
        tls = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    refusals_answer(all->refusals, fcntl(socket, F_DUPFD_CLOEXEC, 0), tls ? tls->tls_session : NULL,
                    &problem);
}

void *exchange_on_target(void *cls, const char *target, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info;
    struct exchanges *all = cls;
    struct connection *connection;
    struct exchange *x;

    info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (!info || !info->socket_context)
        return NULL;
    connection = info->socket_context;
    if (is_too_long(target)) {
        refuse_target(all, mhd, connection->socket);
        return NULL;
    }
    x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    x->all = all;
    x->mhd = mhd;
    x->route = "-";
    x->head.hsts_max_age_s = all->options.secure ? all->options.hsts_max_age_s : 0;
    x->body_bytes_max = all->options.body_bytes_max;
    x->started_ns = uv_hrtime();
    x->target = strdup(target);
    if (!x->target || split_target(x) < 0) {
        free(x->target);
        free(x);
        return NULL;
    }
    x->connection = connection;
    return x;
}

void exchange_on_completed(void *cls, struct MHD_Connection *mhd, void **context,
                           enum MHD_RequestTerminationCode code)
{
    struct exchange *x = *context;
    struct exchanges *all = cls;
    double seconds;
    int status;

    if (!x)
        return;
    if (x->on_gone)
        x->on_gone(x->on_gone_arg);
    if (x->stage != STAGE_HEAD) {
        status = code == MHD_REQUEST_TERMINATED_COMPLETED_OK ? x->status : 499;
        seconds = (double)(uv_hrtime() - x->started_ns) / 1e9;
        request_counts_add(&all->counts, x->route,
                           guard_knows_method(x->method) ? x->method : "other", status, seconds);
        log_write(all->options.log_level,
                  "event=request listener=%s id=%s%s%s method=%s route=%s status=%d bytes=%zu "
                  "ms=%.1f",
                  all->options.name, x->id, x->key ? " key=" : "", x->key ? key_name(x->key) : "",
                  x->method, x->route, status, x->response_bytes, 1e3 * seconds);
    }
    keys_leave(x->key, x->draws);
    if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        connection_set_deadline(x->connection, all->options.idle_timeout_ms);
    if (x->stage != STAGE_HEAD)
        all->n--;
    exchange_end_upload(x);
    if (x->response)
        MHD_destroy_response(x->response);
    free(x->stream.data);
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

static void respond_too_large(struct exchange *x)
{
    struct problem problem = {0};

    problem_set(&problem, 413, "the body has more than %zu bytes", x->body_bytes_max);
    exchange_respond_problem(x, &problem);
}

static bool is_reading(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
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
    /* The body of a GET means nothing, and what follows a request that tells no length may be its
     * body: neither may be read as the next request. */
    x->ignore_body = is_reading(method) && exchange_announces_body(x);
    if (x->ignore_body || (!is_reading(method) && !guard_is_framed(&request)) || status != 0)
        exchange_set_close(x);
    if (status == 411 && x->all->options.lengthless)
        status = 0; /* the connection closes behind the answer */
    if (status == 415)
        exchange_add_header(x, "Accept-Encoding", "identity");
    if (status != 0)
        exchange_respond_status(x, status, why);
}

static void begin(struct exchange *x, const char *method, const char *version)
{
    const char *length;

    snprintf(x->method, sizeof(x->method), "%s", guard_knows_method(method) ? method : "-");
    request_id_take(exchange_header(x, "X-Request-ID"), x->id);
    guard(x, method, version);
    if (x->answered)
        return;
    x->all->options.begin(x, x->all->options.arg);
    if (x->answered)
        return;
    if (x->ignore_body) {
        x->all->options.complete(x, x->all->options.arg);
        return;
    }
    length = exchange_header(x, "Content-Length");
    if (length && strtoull(length, NULL, 10) > x->body_bytes_max) {
        x->body_too_large = true;
        exchange_set_close(x);
        respond_too_large(x);
    }
}

static void collect(struct exchange *x, const char *data, size_t size)
{
    size_t capacity = x->body_capacity;
    char *grown;

    if (x->ignore_body || x->body_too_large || x->out_of_memory)
        return;
    if (size > x->body_bytes_max - x->body_size) {
        x->body_too_large = true;
        return;
    }
    while (capacity < x->body_size + size)
        capacity = capacity ? 2 * capacity : size;
    if (capacity > x->body_capacity) {
        grown = realloc(x->body, capacity);
        if (!grown) {
            x->out_of_memory = true;
            return;
        }
        x->body = grown;
        x->body_capacity = capacity;
    }
    memcpy(x->body + x->body_size, data, size);
    x->body_size += size;
}

static void complete(struct exchange *x)
{
    if (x->body_too_large)
        respond_too_large(x);
    else if (x->out_of_memory)
        exchange_respond_status(x, 503, "out of memory");
    else
        x->all->options.complete(x, x->all->options.arg);
}

static enum MHD_Result send_response(struct exchange *x)
{
    if (x->gone || !x->response)
        return MHD_NO;
    connection_set_deadline(x->connection, x->all->options.idle_timeout_ms);
    return MHD_queue_response(x->mhd, (unsigned)x->status, x->response);
}

enum MHD_Result exchange_on_request(void *cls, struct MHD_Connection *mhd, const char *url,
                                    const char *method, const char *version, const char *data,
                                    size_t *size, void **context)
{
    struct exchange *x = *context;

    if (!x)
        return MHD_NO;
    switch (x->stage) {
    case STAGE_HEAD:
        x->stage = STAGE_BODY;
        x->all->n++;
        begin(x, method, version);
        /* An answer before a body closes the connection, as it must; one without a body need not,
         * but the library would: it is sent on the next call. */
        if (x->answered && (x->head.close || exchange_announces_body(x)))
            return send_response(x);
        connection_set_deadline(x->connection, x->all->options.header_timeout_ms);
        return MHD_YES;
    case STAGE_BODY:
        if (*size > 0) {
            collect(x, data, *size);
            *size = 0;
            return MHD_YES;
        }
        connection_clear_deadline(x->connection);
        x->stage = STAGE_COMPLETE;
        if (!x->answered && !x->ignore_body)
            complete(x);
        if (x->answered)
            return send_response(x);
        exchange_sleep(x);
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

const char *exchange_query(const struct exchange *x)
{
    return x->query;
}

const char *exchange_header(const struct exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->mhd, MHD_HEADER_KIND, name);
}

bool exchange_is_secure(const struct exchange *x)
{
    const char *protocol = exchange_header(x, "X-Forwarded-Proto");

    return x->all->options.secure || (protocol && strcasecmp(protocol, "https") == 0);
}

bool exchange_announces_body(const struct exchange *x)
{
    const char *length = exchange_header(x, "Content-Length");

    return (length && strcmp(length, "0") != 0) || exchange_header(x, "Transfer-Encoding");
}

int exchange_has_json(const struct exchange *x, struct problem *problem)
{
    const char *type = exchange_header(x, "Content-Type");
    size_t n = type ? strcspn(type, "; \t") : 0;

    if (!exchange_announces_body(x) ||
        (n == strlen("application/json") && strncasecmp(type, "application/json", n) == 0))
        return 0;
    return problem_set(problem, 415,
                       "the body must be JSON and be sent with Content-Type: application/json");
}

const char *exchange_body(const struct exchange *x, size_t *size)
{
    *size = x->body_size;
    return x->body;
}

uint8_t *exchange_take_body(struct exchange *x, size_t *size)
{
    uint8_t *body = (uint8_t *)x->body;

    *size = x->body_size;
    x->body = NULL;
    x->body_size = 0;
    return body;
}

bool exchange_expect_upload(struct exchange *x, size_t bytes_max, int *n, int n_max)
{
    if (*n >= n_max)
        return false;
    ++*n;
    x->n_uploads = n;
    x->body_bytes_max = bytes_max;
    return true;
}

uint64_t exchange_started_ns(const struct exchange *x)
{
    return x->started_ns;
}

void exchange_set_route(struct exchange *x, const char *route)
{
    x->route = route;
}

void exchange_set_key(struct exchange *x, struct key *key, bool draws)
{
    x->key = key;
    x->draws = draws;
}

struct key *exchange_key(const struct exchange *x)
{
    return x->key;
}

void exchange_set_context(struct exchange *x, const void *context)
{
    x->context = context;
}

const void *exchange_context(const struct exchange *x)
{
    return x->context;
}

void exchange_expect_half_close(struct exchange *x)
{
    x->half_close = true;
}

void exchange_watch(struct exchange *x)
{
    x->half_close = false;
    connection_watch(x->connection, on_gone, x);
}

void exchange_end_upload(struct exchange *x)
{
    if (x->n_uploads)
        --*x->n_uploads;
    x->n_uploads = NULL;
}

void exchange_on_gone(struct exchange *x, void (*gone)(void *arg), void *arg)
{
    x->on_gone = gone;
    x->on_gone_arg = arg;
}
