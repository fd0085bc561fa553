/* A job as clients see it: the body of /v1/jobs/{job} and the data of its events.
 *
 *     {"id": "9f..", "status": "in_progress", "durable": false, "created": 1764330000, "model": ..,
 *      "checkpoint": .., "sampler": .., "nfe": 20, "determinism": .., "seed": 7, "n": 100,
 *      "images_done": 32, "step": 680, "steps": 2000, "eta_ms": 1900,
 *      "images": "/v1/jobs/9f../images/{index}.png", "archive": "/v1/jobs/9f../images.zip"}
 *
 * One of two seeds has "seed_b" and "mix", one that restores "restoration", as of api/response.h. "error" is the
 * problem document of one that failed. One whose client is told of its end has
 *
 *     "webhook": {"url": "https://..", "status": "waiting", "tries": 2, "last_status": 500}
 *
 * or "delivered", or "given_up"; last_status is of the last answer, 0: there was none.
 *
 * Thread: any.
 */
#ifndef API_JOB_STATUS_H
#define API_JOB_STATUS_H

#include "api/response.h"

#include <stdbool.h>
#include <stdint.h>

struct problem;

enum job_state { JOB_QUEUED, JOB_IN_PROGRESS, JOB_COMPLETED, JOB_FAILED, JOB_CANCELLED };

enum { JOB_ID_BYTES = 33 };

struct job_webhook {
    const char *url, *status;
    int tries, last_status; /* no last_status before there was a try */
};

struct job_status {
    char id[JOB_ID_BYTES];
    enum job_state state;
    bool durable;                  /* it outlives the daemon */
    int64_t created_s;             /* seconds since 1970 */
    struct samples_response order; /* all but the pixels */
    int images_done, step;         /* a step is an evaluation for one image */
    double eta_ms;                 /* < 0: not known */
    const struct problem *problem; /* NULL: none */
    struct job_webhook webhook;    /* url NULL: none */
};

const char *job_state_name(enum job_state state);

/* Malloc'ed; NULL without memory. */
char *job_status_to_json(const struct job_status *s);

/* Which of a list are asked for, by a query such as "limit=50&after=ID". */
struct job_page {
    int limit;                /* of jobs: 1 .. JOB_PAGE_MAX */
    char after[JOB_ID_BYTES]; /* the one behind which they are; "": from the newest */
};

enum { JOB_PAGE_MAX = 100, JOB_PAGE_DEFAULT = 20 };

/* query NULL: none. 0, or -EINVAL with the problem: 400 or 422. */
int job_page_parse(const char *query, struct job_page *out, struct problem *problem);

/* {"jobs": [n of them], "has_more": more}, likewise. */
char *job_list_to_json(const struct job_status *jobs, int n, bool more);

#endif
