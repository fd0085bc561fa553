/* What drawings are made of: for drawing.c, painting.c, drawing_view.c and forecast.c alone.
 *
 * Thread: loop.
 */
#ifndef SERVER_DRAWING_PARTS_H
#define SERVER_DRAWING_PARTS_H

#include "api/limits.h"
#include "api/permalink.h"
#include "api/response.h"
#include "engine/base/error.h"
#include "model/digest.h"
#include "server/drawing.h"
#include "server/job.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct drawings {
    uv_loop_t *loop;
    struct admission *admission;
    struct engines *engines;
    struct models *models;
    struct painting *first; /* newest first */
    int n;
    struct drawings_stats stats;
};

/* What one client has of a painting. */
struct drawing {
    struct painting *painting;
    struct drawing *next; /* of the painting */
    const struct drawing_client *client;
    void *owner;
    bool joined; /* others began it */
    int status;  /* what the client was told; 499: it went, 0: it waits */
    uv_timer_t deadline;
    int timeout_ms, best_ms;
    const char *timeout_name;
    int seen;    /* evaluations of the progress that its client knows of */
    int place;   /* that its client knows of */
    int encoded; /* 0 or -errno ... */
    struct error error;
    bool encodes; /* ... of what the pool makes for it now */
    bool with_timer;
};

/* The images of an order on their way, for all who wait for them. */
struct painting {
    struct drawings *all;
    struct painting *next, *previous;
    struct drawing *drawings; /* newest first */
    struct job job;
    char id[LIMITS_REQUEST_ID_BYTES + 1]; /* of the request that began it */
    char same[DIGEST_TEXT];               /* of the order; "": nobody joins ... */
    uint8_t key[PERMALINK_KEY_BYTES];     /* ... but who orders these images */
    struct engine_model *model;           /* held */
    int status; /* as of a drawing; 200 where one of them has its images */
    uint64_t admitted_ns, encoded_ns;
    struct response_restoration restored; /* where the job has one */
    int *nfe_done;                        /* [n] where it ended before its time, else NULL; owned */
    uv_work_t encoding;
    struct drawing *encoded_first; /* of those that are there when the pool begins */
    bool finished;                 /* by the pool: what restorations need at their end */
    bool with_engine, with_pool;   /* who still holds it */
};

/* painting.c */

/* With the memory for its images; NULL without. */
struct painting *painting_create(struct drawings *all, const struct drawing_order *order);
/* For one that has not begun; NULL is fine. */
void painting_destroy(struct painting *p);
/* Joins the list, and its job goes to the engines. */
void painting_begin(struct painting *p, const struct drawing_order *order);
/* The one on its way whose images are those of the order; NULL: none. */
struct painting *painting_find(const struct drawings *all, const struct drawing_order *order);
int painting_count_waiting(const struct painting *p);
/* Frees those of its drawings that nobody needs any more, and itself without any. */
void painting_settle(struct painting *p);
/* Its job is done. */
void painting_take_back(struct painting *p);

/* drawing.c: tells the client that it ends, unless it was told before. problem NULL: encode() has succeeded. */
void drawing_end(struct drawing *d, const struct problem *problem);

/* drawing_view.c: writes the log's line about one that has come to its end, and counts it. */
void painting_count(const struct painting *p);

#endif
