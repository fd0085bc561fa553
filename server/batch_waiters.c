/* Exchanges that wait for a batch: to be taken on, to end, or for its events. */
#include "server/batch_parts.h"

#include "api/events.h"
#include "server/admission.h"
#include "server/daemon.h"
#include "server/exchange.h"
#include "server/exchange_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct waiter {
    enum batch_waiting kind;
    struct batch *batch;
    struct waiter *next;
    struct exchange *exchange;
    struct batch_previews *previews; /* of one that watches and wants them; owned */
    int step;                        /* that it knows of; a piece that is drawn again tells less */
};

static void destroy(struct waiter *w)
{
    batch_previews_destroy(w->previews);
    free(w);
}

static const struct problem no_memory = {.status = 503, .detail = "out of memory"};

static void on_gone(void *arg)
{
    struct waiter *w = arg, **link = &w->batch->waiters;

    while (*link != w)
        link = &(*link)->next;
    *link = w->next;
    batch_settle(w->batch);
    destroy(w);
}

bool batch_wait(struct batch *b, struct exchange *x, enum batch_waiting kind)
{
    struct waiter *w = calloc(1, sizeof(*w));

    if (!w) {
        exchange_respond_problem(x, &no_memory);
        return false;
    }
    w->kind = kind;
    w->batch = b;
    w->exchange = x;
    if (kind == WATCHES && !exchange_stream_begin(x, "text/event-stream", on_gone, w)) {
        free(w);
        return false;
    }
    if (kind != WATCHES)
        exchange_on_gone(x, on_gone, w);
    w->next = b->waiters;
    b->waiters = w;
    return true;
}

/* Takes the next one of a kind out of the list; NULL: there is none. */
static struct waiter *take(struct batch *b, bool (*fits)(enum batch_waiting kind))
{
    struct waiter **link = &b->waiters, *w;

    while (*link && !fits((*link)->kind))
        link = &(*link)->next;
    w = *link;
    if (w)
        *link = w->next;
    return w;
}

static bool is_for_beginning(enum batch_waiting kind)
{
    return kind == WAITS_FOR_BEGINNING;
}

static bool is_for_answer(enum batch_waiting kind)
{
    return kind != WATCHES;
}

static bool is_any(enum batch_waiting kind)
{
    return true;
}

static void answer(struct exchange *x, int http_status, const struct job_status *status)
{
    exchange_respond_json(x, http_status, job_status_to_json(status));
}

void batch_tell_beginning(struct batch *b, const struct batch *same)
{
    const struct admission *admission = b->all->daemon->admission;
    struct job_status status;
    struct waiter *w;
    char text[64];

    batch_describe(same, &status);
    while ((w = take(b, is_for_beginning))) {
        snprintf(text, sizeof(text), "/v1/jobs/%s", status.id);
        exchange_add_header(w->exchange, "Location", text);
        snprintf(text, sizeof(text), "%d", admission_retry_after_s(admission));
        exchange_add_header(w->exchange, "Retry-After", text);
        answer(w->exchange, 202, &status);
        destroy(w);
    }
}

/* False without memory. */
static bool write_event(struct exchange *x, const char *event, const struct job_status *status)
{
    char *json = job_status_to_json(status);
    char *text = json ? events_of_text(event, status->step, json) : NULL;
    bool written = text && exchange_stream_write(x, text, strlen(text));

    free(text);
    free(json);
    return written;
}

static void tell_step(struct waiter *w, const struct job_status *status)
{
    if (status->step <= w->step)
        return;
    w->step = status->step;
    write_event(w->exchange, "progress", status);
}

void batch_tell_progress(struct batch *b)
{
    struct batch_previews_piece piece;
    struct job_status status;

    if (!b->waiters)
        return;
    batch_describe(b, &status);
    batch_piece_describe(b, &piece);
    for (struct waiter *w = b->waiters; w; w = w->next) {
        if (w->kind != WATCHES || exchange_stream_pending(w->exchange) > 0)
            continue;
        tell_step(w, &status);
        if (w->previews && piece.n > 0)
            batch_previews_look(w->previews, &piece);
    }
}

static void answer_cancel(struct exchange *x, const struct job_status *status)
{
    struct problem problem = {0};

    if (status->state == JOB_CANCELLED) {
        answer(x, 200, status);
        return;
    }
    problem_set(&problem, 409, "the job has ended: it is %s", job_state_name(status->state));
    exchange_respond_problem(x, &problem);
}

void batch_tell_end(struct batch *b)
{
    struct job_status status;
    struct waiter *w;

    batch_describe(b, &status);
    while ((w = take(b, is_any))) {
        if (w->kind == WATCHES) {
            if (write_event(w->exchange, job_state_name(b->state), &status))
                exchange_stream_end(w->exchange);
            else /* who asks again is told */
                exchange_stream_break(w->exchange);
        } else if (w->kind == WAITS_FOR_END) {
            answer_cancel(w->exchange, &status);
        } else {
            answer(w->exchange, 202, &status);
        }
        destroy(w);
    }
}

void batch_tell_problem(struct batch *b, const struct problem *problem)
{
    struct waiter *w;

    while ((w = take(b, is_for_answer))) {
        exchange_drop_headers(w->exchange);
        exchange_respond_problem(w->exchange, problem);
        destroy(w);
    }
}

void batch_tell_stop(struct batch *b)
{
    static const struct problem stop = {.status = 503,
                                        .retry_after_s = 1,
                                        .detail = "the daemon is shutting down"};
    struct waiter *w;

    batch_tell_problem(b, &stop);
    while ((w = take(b, is_any))) {
        exchange_stream_end(w->exchange);
        destroy(w);
    }
}

void batch_ping(struct batch *b)
{
    static const char ping[] = ": ping\n\n";

    for (struct waiter *w = b->waiters; w; w = w->next)
        if (w->kind == WATCHES && exchange_stream_pending(w->exchange) == 0)
            exchange_stream_write(w->exchange, ping, sizeof(ping) - 1);
}

void batch_watch(struct batch *b, struct exchange *x, const char *last_event_id, int preview_every)
{
    struct daemon *d = b->all->daemon;
    struct job_status status;
    struct waiter *w;

    if (!batch_wait(b, x, WATCHES))
        return;
    w = b->waiters;
    w->step = events_resume(last_event_id);
    if (preview_every > 0)
        w->previews = batch_previews_create(&d->loop, &d->n_preparing, x, preview_every);
    batch_describe(b, &status);
    if (b->state >= JOB_COMPLETED)
        batch_tell_end(b);
    else
        tell_step(w, &status);
}
