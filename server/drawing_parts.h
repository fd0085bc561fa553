/* What drawings are made of: for drawing.c, drawing_view.c and forecast.c alone.
 *
 * Thread: loop.
 */
#ifndef SERVER_DRAWING_PARTS_H
#define SERVER_DRAWING_PARTS_H

#include "api/limits.h"
#include "api/response.h"
#include "engine/base/error.h"
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
    struct drawing *first; /* newest first */
    int n;
    struct drawings_stats stats;
};

struct drawing {
    struct drawings *all;
    struct drawing *next, *previous;
    struct job job;
    char id[LIMITS_REQUEST_ID_BYTES + 1];
    struct engine_model *model; /* held */
    const struct drawing_client *client;
    void *owner;
    int status; /* what the client was told; 499: it went, 0: it waits */
    uint64_t admitted_ns, encoded_ns;
    uv_timer_t deadline;
    struct response_restoration restored; /* where the job has one */
    int timeout_ms, best_ms;
    const char *timeout_name;
    int seen;      /* evaluations of the progress that its client knows of */
    int place;     /* that its client knows of */
    int *nfe_done; /* [n] where it ended before its time, else NULL; owned */
    uv_work_t encoding;
    int encoded; /* 0 or -errno */
    struct error error;
    bool with_engine, with_pool, with_timer; /* who still holds it */
};

/* Writes the log's line about one that has come to its end, and counts it. */
void drawing_count(const struct drawing *d);

#endif
