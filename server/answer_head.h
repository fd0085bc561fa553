/* The header fields of an answer, gathered before it is there.
 *
 * Thread: loop.
 */
#ifndef SERVER_ANSWER_HEAD_H
#define SERVER_ANSWER_HEAD_H

#include <microhttpd.h>
#include <stdbool.h>

enum { ANSWER_HEADERS_MAX = 12, ANSWER_HEADER_BYTES = 512 };

/* All zero: none. */
struct answer_head {
    struct answer_header {
        const char *name; /* static */
        char value[ANSWER_HEADER_BYTES];
    } headers[ANSWER_HEADERS_MAX];
    int n_headers;
    const char *cache_control; /* static; NULL: no-store */
    bool has_origin;           /* answers depend on the origin of the page that asks */
    char origin[256];          /* that may read this one; "": none */
    bool close;                /* the connection, behind the answer */
    int hsts_max_age_s;        /* 0: none */
};

/* value is cut where it is too long; headers past the last are dropped. */
void answer_head_add(struct answer_head *h, const char *name, const char *value);

/* Puts all of them onto an answer, and what every answer has. content_type NULL: it has no body.
 * False without memory. */
bool answer_head_apply(const struct answer_head *h, const char *request_id,
                       const char *content_type, struct MHD_Response *response);

#endif
