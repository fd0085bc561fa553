/* Problem documents: the body of every answer that is not a success.
 *
 * Source: RFC 9457 (application/problem+json). type is "about:blank", so the title is the phrase
 * of the status; detail says what happened and what to do; errors lists every bad field.
 * Texts may quote what a client sent. Thread: any.
 */
#ifndef API_PROBLEM_H
#define API_PROBLEM_H

enum { PROBLEM_FIELDS_MAX = 16 };

#define PROBLEM_CONTENT_TYPE "application/problem+json"

/* The document of a 503 for which there is no memory. */
#define PROBLEM_NO_MEMORY                                                         \
    "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503," \
    "\"detail\":\"out of memory\"}"

struct problem_field {
    char name[72];
    char detail[256];
};

/* Starts as {0}; all text is printable (engine/base/printable.h), whatever was formatted into it. */
struct problem {
    int status;         /* HTTP status, 0: no problem */
    int retry_after_s;  /* for the header Retry-After, 0: none */
    double expected_ms; /* "expected_ms": what it would take, 0: not told */
    char detail[512];
    int n_fields;
    struct problem_field fields[PROBLEM_FIELDS_MAX];
};

/* Sets status and detail. Returns -EINVAL, for functions that report through a problem. */
__attribute__((format(printf, 3, 4))) int problem_set(struct problem *p, int status,
                                                      const char *fmt, ...);

/* Adds a bad field and makes the problem a 422; fields past the last are dropped. */
__attribute__((format(printf, 3, 4))) void problem_add_field(struct problem *p, const char *name,
                                                             const char *fmt, ...);

const char *problem_title(int status); /* "Not Found"; "Unknown" for what we never send */

/* The document, malloc'ed; NULL without memory. request_id may be NULL. */
char *problem_to_json(const struct problem *p, const char *request_id);

#endif
