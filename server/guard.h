/* The request guard: refuses requests that HTTP parsers disagree about.
 *
 * libmicrohttpd 0.9.75 serves requests with both Content-Length and Transfer-Encoding, repeated
 * lengths, unknown transfer codings and white space before the colon; behind a proxy that reads
 * them differently they smuggle a second request (RFC 9112, section 11.2). The guard runs on
 * the first call for a request, before anything reads it. What the library hides from it (bare
 * LF, folded lines, NUL in a value) needs a proxy in front. It drops a Content-Length that is folded:
 * hence no request whose method has a body is served without one that is seen.
 *
 * A pure function over what was parsed; any thread.
 */
#ifndef SERVER_GUARD_H
#define SERVER_GUARD_H

#include <stdbool.h>
#include <stddef.h>

struct guard_field {
    const char *name;
    size_t name_size;
    const char *value; /* may be NULL if value_size is 0 */
    size_t value_size;
};

struct guard_request {
    const char *method;
    const char *target;  /* as sent: origin form or absolute form, query included */
    const char *version; /* "HTTP/1.1" */
    const struct guard_field *fields;
    size_t n_fields;
};

/* Whether a method is one of HTTP's: what a client sends as one may be anything. */
bool guard_knows_method(const char *method);

/* Whether the request says where its body ends, be it at once. */
bool guard_is_framed(const struct guard_request *request);

/* 0 if the request may be served, else the HTTP status to refuse it with, after which the
 * connection must be closed; why: one sentence for the client, static. */
int guard_check(const struct guard_request *request, const char **why);

#endif
