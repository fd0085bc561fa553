#include "server/samples.h"

#include "api/accept.h"
#include "api/prefer.h"
#include "api/events.h"
#include "api/problem.h"
#include "api/response.h"
#include "server/admission.h"
#include "server/batches.h"
#include "server/daemon.h"
#include "server/drawing.h"
#include "server/events.h"
#include "server/exchange.h"
#include "server/selection.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An exchange that waits for its images. */
struct sample {
    struct exchange *exchange;
    struct drawing *drawing;
    uint64_t seed;
    bool bare_png;
    int nfe_done;    /* of the first image, where it ended before its time; 0: it did not */
    uint8_t *answer; /* owned until it is sent */
    size_t answer_bytes;
};

static int encode(void *owner, const struct samples_response *images, struct error *err)
{
    struct sample *s = owner;

    if (images->nfe_done && images->nfe_done[0] < images->nfe)
        s->nfe_done = images->nfe_done[0];
    return samples_response_encode(images, s->bare_png, &s->answer, &s->answer_bytes, err);
}

static void answer(struct sample *s)
{
    struct drawing_times ms;
    uint8_t *body = s->answer;
    char text[128];

    snprintf(text, sizeof(text), "%" PRIu64, s->seed);
    exchange_add_header(s->exchange, "X-Seed", text);
    drawing_times(s->drawing, &ms);
    snprintf(text, sizeof(text), "queue;dur=%.1f, engine;dur=%.1f, encode;dur=%.1f", ms.queue,
             ms.engine, ms.encode);
    exchange_add_header(s->exchange, "Server-Timing", text);
    exchange_add_header(s->exchange, "Vary", "Accept");
    if (s->bare_png && s->nfe_done > 0) {
        snprintf(text, sizeof(text), "%d", s->nfe_done);
        exchange_add_header(s->exchange, "X-NFE-Done", text);
    }
    s->answer = NULL;
    exchange_respond(s->exchange, 200, s->bare_png ? "image/png" : "application/json", body,
                     s->answer_bytes, body);
}

static void done(void *owner, const struct problem *problem)
{
    struct sample *s = owner;

    if (problem)
        exchange_respond_problem(s->exchange, problem);
    else
        answer(s);
}

static void release(void *owner)
{
    struct sample *s = owner;

    free(s->answer);
    free(s);
}

static const struct drawing_client client = {.encode = encode, .done = done, .release = release};

static void on_gone(void *arg)
{
    struct sample *s = arg;

    drawing_cancel(s->drawing);
}

int samples_check_accept(const struct exchange *x, struct problem *problem)
{
    const char *accept = exchange_header(x, "Accept");

    if (accept_weight(accept, "application/json") || accept_weight(accept, "image/png") ||
        accept_weight(accept, "text/event-stream"))
        return 0;
    return problem_set(problem, 406,
                       "the answer can be application/json, image/png or text/event-stream");
}

void samples_begin(struct daemon *d, struct exchange *x)
{
    struct problem problem = {0};

    if (exchange_has_json(x, &problem) < 0 || samples_check_accept(x, &problem) < 0)
        exchange_respond_problem(x, &problem);
}

/* Whether the answer is a bare PNG. 0, or -EINVAL with a 406. */
static int choose_type(const char *accept, int n, bool *bare_png, struct problem *problem)
{
    int json = accept_weight(accept, "application/json");
    int png = accept_weight(accept, "image/png");

    if (n > 1 && json == 0)
        return problem_set(problem, 406,
                           "image/png carries one image; ask for n = 1 or accept application/json");
    *bare_png = n == 1 && png > json;
    return 0;
}

struct drawing_order samples_order(const struct selection *chosen, const struct exchange *x)
{
    const struct samples_request *wanted = &chosen->request;
    struct drawing_order order = {
        .request_id = exchange_id(x),
        .payer = exchange_key(x),
        .model = chosen->model,
        .sampling = chosen->sampling,
        .seed = wanted->has_seed ? wanted->seed : drawing_random_seed(),
        .n = wanted->n,
        .timeout_ms = wanted->timeout_ms,
        .restoration = chosen->restoration,
        .restored = chosen->restored,
        .best_ms = wanted->best ? wanted->deadline_ms : 0,
    };

    if (wanted->deadline_ms > 0 && !wanted->best && wanted->deadline_ms < order.timeout_ms)
        order.timeout_ms = wanted->deadline_ms;
    return order;
}

static int start(struct daemon *d, struct exchange *x, const struct selection *chosen,
                 bool bare_png, struct problem *problem)
{
    struct sample *s = calloc(1, sizeof(*s));
    struct drawing_order order = samples_order(chosen, x);
    int rc;

    if (!s)
        return problem_set(problem, 503, "out of memory");
    order.client = &client;
    order.owner = s;
    s->exchange = x;
    s->seed = order.seed;
    s->bare_png = bare_png;
    rc = drawings_begin(d->drawings, &order, &s->drawing, problem);
    if (rc < 0) {
        free(s);
        return rc;
    }
    exchange_on_gone(x, on_gone, s);
    if (chosen->request.finish)
        exchange_expect_half_close(x);
    return 0;
}

static int n_previews(const struct samples_request *wanted, int nfe, int done)
{
    return wanted->preview_every > 0 ? done / wanted->preview_every : 0;
}

static void add_preview(const struct samples_response *r, int i, int nfe_done, int number,
                        const uint8_t *x, const uint8_t *predicted, char **text)
{
    events_add_preview(r, i, nfe_done, x, predicted, text);
}

static const struct events_form events = {.accepted = events_of_acceptance,
                                          .place = events_of_place,
                                          .progress = events_of_progress,
                                          .failed = events_of_problem,
                                          .add_preview = add_preview,
                                          .completed = events_of_images,
                                          .n_previews = n_previews};

int samples_answer(struct daemon *d, struct exchange *x, const struct selection *chosen,
                   struct problem *problem)
{
    const char *accept = exchange_header(x, "Accept");
    bool bare_png = false;

    if (events_are_wanted(accept))
        return events_start(d, x, chosen, &events, problem);
    if (chosen->request.preview_every > 0) {
        problem_add_field(problem, "preview_every", "needs Accept: text/event-stream");
        return -EINVAL;
    }
    if (choose_type(accept, chosen->request.n, &bare_png, problem) < 0)
        return -EINVAL;
    return start(d, x, chosen, bare_png, problem);
}

/* Whether it becomes a job: where the client would rather not wait, and asks for nothing that a job has
 * not. Preferences are never a reason to refuse. */
static bool is_job(const struct exchange *x, const struct samples_request *wanted)
{
    const char *accept = exchange_header(x, "Accept");

    return prefer_has(exchange_header(x, "Prefer"), "respond-async") && wanted->deadline_ms == 0 &&
           wanted->preview_every == 0 && !events_are_wanted(accept) &&
           accept_weight(accept, "application/json") > 0;
}

void samples_handle(struct daemon *d, struct exchange *x)
{
    struct problem problem = {0};
    struct selection chosen = {.model = NULL};
    const char *body;
    size_t size;
    int rc;

    body = exchange_body(x, &size);
    rc = selection_read(d->models, REQUEST_SAMPLES, admission_limits(d->admission), body, size,
                        &chosen, &problem);
    if (rc == 0 && is_job(x, &chosen.request)) {
        exchange_add_header(x, "Preference-Applied", "respond-async");
        batches_add(d->batches, &chosen, exchange_header(x, "Idempotency-Key"), body, size, x);
        return;
    }
    if (rc == 0)
        rc = samples_answer(d, x, &chosen, &problem);
    if (rc < 0)
        exchange_respond_problem(x, &problem);
}
