/* A stream lives as long as its drawing, its previews on the pool or its timer do: settle() frees it
 * when all have let go.
 */
#include "server/events.h"

#include "api/accept.h"
#include "api/limits.h"
#include "api/problem.h"
#include "api/response.h"
#include "engine/base/error.h"
#include "server/daemon.h"
#include "server/drawing.h"
#include "server/engine_model.h"
#include "server/exchange.h"
#include "server/exchange_stream.h"
#include "server/kept_pictures.h"
#include "server/progress.h"
#include "server/samples.h"
#include "server/selection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PING_MS = 15000 };

struct stream {
    struct daemon *daemon;
    struct exchange *exchange; /* NULL: ended or gone */
    struct drawing *drawing;
    struct samples_response images; /* all but the pixels */
    char request_id[LIMITS_REQUEST_ID_BYTES + 1];
    struct progress *progress; /* the drawing's */
    const struct events_form *form;
    struct samples_request wanted;
    bool previewed;
    struct shown {
        int done;    /* evaluations of the last preview */
        int n;       /* previews */
    } * shown;       /* [n] owned */
    uint8_t *pixels; /* [n, 2, image]: x, predicted, as they are encoded; owned */
    bool *due;       /* [n] whether they are; owned */
    uv_work_t work;
    char *previews;             /* events that the pool has made; owned */
    char *answer;               /* owned */
    int place;                  /* that it was told; 0: none */
    struct kept_pictures *kept; /* owned; NULL: none */
    uv_timer_t ping;
    bool with_drawing, with_pool, with_timer;
};

static void settle(struct stream *s)
{
    if (s->with_drawing || s->with_pool || s->with_timer)
        return;
    free(s->shown);
    free(s->pixels);
    free(s->due);
    free(s->previews);
    free(s->answer);
    kept_pictures_destroy(s->kept);
    free(s);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct stream *s = handle->data;

    s->with_timer = false;
    settle(s);
}

static void detach(struct stream *s)
{
    s->exchange = NULL;
    uv_close((uv_handle_t *)&s->ping, on_timer_closed);
}

static void on_gone(void *arg)
{
    struct stream *s = arg;

    detach(s);
    if (!s->wanted.finish)
        drawing_cancel(s->drawing);
}

/* Writes an event; takes text. One that there is no memory for is left out. */
static void write_event(struct stream *s, char *text)
{
    if (text)
        exchange_stream_write(s->exchange, text, strlen(text));
    free(text);
}

static void on_ping(uv_timer_t *timer)
{
    struct stream *s = timer->data;

    if (exchange_stream_pending(s->exchange) == 0)
        write_event(s, strdup(": ping\n\n"));
}

/* Previews */

static size_t image_bytes(const struct stream *s)
{
    return (size_t)s->images.side_px * (size_t)s->images.side_px * (size_t)s->images.channels;
}

static void encode_previews(uv_work_t *work)
{
    struct stream *s = work->data;
    size_t bytes = image_bytes(s);

    for (int i = 0; i < s->images.n; i++)
        if (s->due[i])
            s->form->add_preview(&s->images, i, s->shown[i].done, s->shown[i].n++,
                                 s->pixels + (size_t)i * 2 * bytes,
                                 s->pixels + ((size_t)i * 2 + 1) * bytes, &s->previews);
}

static void on_previews(uv_work_t *work, int status)
{
    struct stream *s = work->data;
    char *previews = s->previews;

    s->with_pool = false;
    s->previews = NULL;
    if (s->exchange && previews)
        write_event(s, previews);
    else
        free(previews);
    settle(s);
}

static int n_previews(const struct stream *s, int done)
{
    return s->form->n_previews(&s->wanted, s->images.nfe, done);
}

/* Copies what is new, while it is there: the drawing may end before the pool comes to it. */
static void begin_previews(struct stream *s)
{
    size_t bytes = image_bytes(s);
    bool any = false;
    uint8_t *x;
    int done;

    for (int i = 0; i < s->images.n; i++) {
        x = s->pixels + (size_t)i * 2 * bytes;
        done = progress_read(s->progress, i, NULL, NULL);
        s->due[i] = done < s->images.nfe && n_previews(s, done) > n_previews(s, s->shown[i].done);
        if (s->due[i])
            s->shown[i].done = progress_read(s->progress, i, x, x + bytes);
        any |= s->due[i];
    }
    if (!any)
        return;
    s->work.data = s;
    s->with_pool = true;
    uv_queue_work(s->ping.loop, &s->work, encode_previews, on_previews);
}

/* The drawing's client */

static int encode(void *owner, const struct samples_response *images, struct error *err)
{
    struct stream *s = owner;

    if (s->wanted.finish)
        s->kept = kept_pictures_make(images);
    return s->form->completed(images, &s->answer, err);
}

/* Whether it still waits. Who is the next from the start is about to begin, and told nothing. */
static bool tell_place(struct stream *s, int place)
{
    if (place != s->place && (place > 1 || (place == 1 && s->place > 0))) {
        s->place = place;
        if (s->form->place)
            write_event(s, s->form->place(place));
    }
    return place > 0;
}

static void on_progress(void *owner, int step, int place)
{
    struct stream *s = owner;
    int steps = s->images.n * s->images.nfe;

    if (!s->exchange || exchange_stream_pending(s->exchange) > 0 || tell_place(s, place) ||
        step == 0)
        return;
    if (s->form->progress)
        write_event(s, s->form->progress(step, steps, drawing_left_ms(s->drawing)));
    if (s->previewed && !s->with_pool)
        begin_previews(s);
}

static void done(void *owner, const struct problem *problem)
{
    struct stream *s = owner;
    struct exchange *x = s->exchange;
    bool told;
    char *text;

    kept_pictures_put(s->kept, s->daemon->cache);
    s->kept = NULL;
    if (!x)
        return;
    text = problem ? s->form->failed(problem, s->request_id) : s->answer;
    if (!problem)
        s->answer = NULL;
    told = text && exchange_stream_write(x, text, strlen(text));
    free(text);
    detach(s);
    if (told)
        exchange_stream_end(x);
    else /* an end without the last event would be taken for one that tells nothing */
        exchange_stream_break(x);
}

static void release(void *owner)
{
    struct stream *s = owner;

    s->with_drawing = false;
    settle(s);
}

static const struct drawing_client client = {.encode = encode,
                                             .progress = on_progress,
                                             .done = done,
                                             .release = release};

/* Beginning */

bool events_are_wanted(const char *accept)
{
    int events = accept_weight(accept, "text/event-stream");

    return accept && events > accept_weight(accept, "application/json") &&
           events > accept_weight(accept, "image/png");
}

/* 0 or -ENOMEM. */
static int allocate(struct stream *s)
{
    size_t n = (size_t)s->images.n;

    s->previewed = n_previews(s, s->images.nfe) > 0;
    if (!s->previewed)
        return 0;
    s->shown = calloc(n, sizeof(*s->shown));
    s->due = calloc(n, sizeof(*s->due));
    s->pixels = malloc(n * 2 * image_bytes(s));
    return s->shown && s->due && s->pixels ? 0 : -ENOMEM;
}

int events_start(struct daemon *d, struct exchange *x, const struct selection *chosen,
                 const struct events_form *form, struct problem *problem)
{
    struct stream *s = calloc(1, sizeof(*s));
    struct drawing_order order = samples_order(chosen, x);
    int rc = 0;

    if (!s)
        return problem_set(problem, 503, "out of memory");
    order.client = &client;
    order.owner = s;
    drawings_describe(d->drawings, &order, &s->images);
    s->daemon = d;
    s->form = form;
    s->wanted = chosen->request;
    s->images.restoration = NULL; /* the drawing's, which may end before a preview is encoded */
    snprintf(s->request_id, sizeof(s->request_id), "%s", exchange_id(x));
    if (allocate(s) < 0)
        rc = problem_set(problem, 503, "out of memory");
    if (rc == 0)
        rc = drawings_begin(d->drawings, &order, &s->drawing, problem);
    if (rc < 0) {
        settle(s);
        return rc;
    }
    s->with_drawing = true;
    s->exchange = x;
    s->progress = drawing_progress(s->drawing);
    uv_timer_init(&d->loop, &s->ping);
    s->ping.data = s;
    s->with_timer = true;
    uv_timer_start(&s->ping, on_ping, PING_MS, PING_MS);
    if (chosen->request.finish)
        exchange_expect_half_close(x);
    exchange_add_header(x, "X-Accel-Buffering", "no"); /* of proxies */
    if (!exchange_stream_begin(x, "text/event-stream", on_gone, s)) {
        on_gone(s);
        return 0;
    }
    if (form->accepted)
        write_event(s, form->accepted(&s->images));
    tell_place(s, drawing_place(s->drawing));
    return 0;
}
