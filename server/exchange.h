/* One request and its answer, from head to last byte:
 *
 *     head read -> guard -> begin() -> body read -> complete() -> answer sent
 *
 * The answer is given with exchange_respond(), inside a callback or at any later time on the loop;
 * between complete() and then the connection sleeps, and only its end is watched. What clients do
 * wrong at the level of HTTP is answered here and never reaches the callbacks.
 *
 * Every phase has a deadline: head (and again body) header_timeout_ms, pause between requests and
 * receiving the answer idle_timeout_ms. A client that misses one is disconnected.
 * A client that closes its sending side while it waits counts as gone: it cannot be told from one
 * that closed the connection. exchange_expect_half_close() is for those that announce it.
 * The body of a GET or HEAD is ignored, and the connection closed after the answer.
 *
 * Thread: loop.
 */
#ifndef SERVER_EXCHANGE_H
#define SERVER_EXCHANGE_H

#include "engine/base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct exchange;
struct key;
struct problem;
struct shared_bytes;

/* How the exchanges of a listener go. */
struct exchange_options {
    const char *name; /* of the listener, in logs */
    int header_timeout_ms, idle_timeout_ms;
    size_t body_bytes_max;
    bool lengthless;          /* takes requests that tell no length to have no body */
    bool secure;              /* connections have TLS: */
    int hsts_max_age_s;       /* for which clients are told to use nothing else; 0: they are not */
    enum log_level log_level; /* of the line per request */

    /* The head is read: refuse by answering, or return to have the body read. */
    void (*begin)(struct exchange *x, void *arg);
    /* All is read: answer now or later. */
    void (*complete)(struct exchange *x, void *arg);
    /* For a 503 that does not say when to come back: in so many seconds, at least 1. */
    int (*retry_after_s)(void *arg);
    void *arg;
};

/* What the client sent; valid until the exchange is answered. */
const char *exchange_id(const struct exchange *x); /* X-Request-ID, taken over or made */
const char *exchange_method(const struct exchange *x);
const char *exchange_path(const struct exchange *x);  /* as sent, without query, not unescaped */
const char *exchange_query(const struct exchange *x); /* as sent, behind the ?; or NULL */
const char *exchange_header(const struct exchange *x, const char *name); /* or NULL */
bool exchange_is_secure(const struct exchange *x); /* by TLS, here or by the word of a proxy */
bool exchange_announces_body(const struct exchange *x);
/* Whether there is no body, or JSON by its Content-Type. 0, or -EINVAL with a 415. */
int exchange_has_json(const struct exchange *x, struct problem *problem);
/* Not NUL terminated; complete once complete() is called. */
const char *exchange_body(const struct exchange *x, size_t *size);
/* For whoever needs it for longer: to be freed. NULL where there is none. */
uint8_t *exchange_take_body(struct exchange *x, size_t *size);
/* In begin(): the body may have so many bytes, of another type than usual. Counts the exchange in *n
 * until it has ended; false: there are n_max already. */
bool exchange_expect_upload(struct exchange *x, size_t bytes_max, int *n, int n_max);
/* What came has been dealt with: others may come. */
void exchange_end_upload(struct exchange *x);
uint64_t exchange_started_ns(const struct exchange *x); /* uv_hrtime() at its head */

/* The name of the route, static, for the log. */
void exchange_set_route(struct exchange *x, const char *route);

/* The key that let it in (server/keys.h), for the log, and for whom its images count; it leaves with the
 * exchange's end. NULL: it needs none. */
void exchange_set_key(struct exchange *x, struct key *key, bool draws);
struct key *exchange_key(const struct exchange *x);

/* Whatever begin() wants complete() to know; borrowed, NULL at first. */
void exchange_set_context(struct exchange *x, const void *context);
const void *exchange_context(const struct exchange *x);

/* Adds a header to the answer to come. name static; value copied; how many and how long
 * they may be: server/answer_head.h. */
void exchange_add_header(struct exchange *x, const char *name, const char *value);

/* Lets pages of this origin read the answer, whatever it will be; NULL: says only that answers depend
 * on the origin. Cut at 255 bytes. */
void exchange_set_origin(struct exchange *x, const char *origin);

/* Instead of no-store; static. */
void exchange_set_cache_control(struct exchange *x, const char *value);

/* Of a success that did not come: all that was added and set. */
void exchange_drop_headers(struct exchange *x);

/* How problems are written from now on, instead of as problem documents. form is static. */
struct exchange_problem_form {
    const char *content_type;
    /* malloc'ed text, NULL without memory */
    char *(*write)(const struct problem *problem, const char *request_id);
    int (*status)(int status); /* what is sent for a problem's status; NULL: the same */
    const char *no_memory;     /* what is sent with 503 where there is no memory for a text */
};
void exchange_set_problem_form(struct exchange *x, const struct exchange_problem_form *form);

/* Closes the connection after the answer. */
void exchange_set_close(struct exchange *x);

/* Answers. body is borrowed for ever if owned is NULL; else it lies in owned, which is taken and
 * freed with free(). Without memory the connection is dropped. The exchange is not to be used
 * afterwards. */
void exchange_respond(struct exchange *x, int status, const char *content_type, const void *body,
                      size_t size, void *owned);
/* A body that others hold, too: held until it is sent. */
void exchange_respond_shared(struct exchange *x, int status, const char *content_type,
                             struct shared_bytes *body);
/* To HEAD, where the size of what GET would send is not known. */
void exchange_respond_head(struct exchange *x, int status, const char *content_type);
/* Neither body nor type: 304, 204. */
void exchange_respond_empty(struct exchange *x, int status);
/* text malloc'ed and taken, NULL: out of memory. */
void exchange_respond_text(struct exchange *x, int status, const char *content_type, char *text);
void exchange_respond_json(struct exchange *x, int status, char *text);
/* A 503 always says when to come back. */
void exchange_respond_problem(struct exchange *x, const struct problem *problem);

/* Called by complete(): the client may close its sending side and is answered all the same. That it
 * has gone is then noticed when the answer is sent. */
void exchange_expect_half_close(struct exchange *x);
/* After complete() and that: one that closes its sending side has gone all the same. */
void exchange_watch(struct exchange *x);

/* Set by complete() when the answer comes later: called when the client went away, after which the
 * exchange is not to be used. Not called after exchange_respond(). */
void exchange_on_gone(struct exchange *x, void (*gone)(void *arg), void *arg);

#endif
