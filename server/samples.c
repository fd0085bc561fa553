#include "server/samples.h"

#include "api/accept.h"
#include "api/prefer.h"
#include "api/events.h"
#include "api/permalink.h"
#include "api/problem.h"
#include "api/response.h"
#include "model/digest.h"
#include "model/restoration.h"
#include "server/admission.h"
#include "server/batches.h"
#include "server/daemon.h"
#include "server/drawing.h"
#include "server/events.h"
#include "server/exchange.h"
#include "server/kept_pictures.h"
#include "server/keys.h"
#include "server/picture_cache.h"
#include "server/selection.h"
#include "server/shared_bytes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An exchange that waits for its images. */
struct sample {
    struct daemon *daemon;
    struct exchange *exchange;
    struct drawing *drawing; /* NULL: nobody waits for it any more */
    /* For the job that it becomes when its client has waited long enough: */
    struct selection chosen; /* holds its source */
    struct response_restoration restored;
    char body[DIGEST_TEXT]; /* digest */
    uv_timer_t patience;
    bool with_drawing, with_timer; /* what still holds it */
    uint64_t seed;
    bool bare_png;
    int nfe_done;    /* of the first image, where it ended before its time; 0: it did not */
    uint8_t *answer; /* owned until it is sent */
    size_t answer_bytes;
    bool keeps;                       /* the answer for who asks again ... */
    bool whole;                       /* ... as all images are what they should be */
    uint8_t key[PERMALINK_KEY_BYTES]; /* of the answer */
    struct kept_pictures *kept;       /* owned; NULL: none */
};

static int encode(void *owner, const struct samples_response *images, struct error *err)
{
    struct sample *s = owner;

    if (images->nfe_done && images->nfe_done[0] < images->nfe)
        s->nfe_done = images->nfe_done[0];
    s->whole = !images->nfe_done;
    if (s->keeps && !s->bare_png) /* where it is, it is its picture */
        s->kept = kept_pictures_make(images);
    return samples_response_encode(images, s->bare_png, &s->answer, &s->answer_bytes, err);
}

/* Of the wishes for a job, or to wait no longer than so many seconds. */
static void tell_preference(struct exchange *x)
{
    int wait_s = prefer_number(exchange_header(x, "Prefer"), "wait");
    char text[32] = "respond-async";

    if (wait_s >= 0)
        snprintf(text, sizeof(text), "wait=%d", wait_s);
    exchange_add_header(x, "Preference-Applied", text);
}

static void send_answer(struct exchange *x, uint64_t seed, bool bare_png, struct shared_bytes *body)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, seed);
    exchange_add_header(x, "X-Seed", text);
    exchange_add_header(x, "Vary", "Accept");
    exchange_respond_shared(x, 200, bare_png ? "image/png" : "application/json", body);
}

static void answer(struct sample *s)
{
    struct shared_bytes *body = shared_bytes_create(s->answer, s->answer_bytes);
    static const struct problem no_memory = {.status = 503, .detail = "out of memory"};
    struct drawing_times ms;
    char text[128];

    s->answer = NULL;
    if (!body) {
        exchange_respond_problem(s->exchange, &no_memory);
        return;
    }
    drawing_times(s->drawing, &ms);
    snprintf(text, sizeof(text), "%squeue;dur=%.1f, engine;dur=%.1f, encode;dur=%.1f",
             drawing_is_joined(s->drawing) ? "cache;desc=merged, " : "", ms.queue, ms.engine,
             ms.encode);
    exchange_add_header(s->exchange, "Server-Timing", text);
    if (s->with_timer)
        tell_preference(s->exchange);
    if (s->bare_png && s->nfe_done > 0) {
        snprintf(text, sizeof(text), "%d", s->nfe_done);
        exchange_add_header(s->exchange, "X-NFE-Done", text);
    }
    if (s->keeps && s->whole)
        picture_cache_put(s->daemon->cache, s->key, body);
    kept_pictures_put(s->kept, s->daemon->cache);
    s->kept = NULL;
    send_answer(s->exchange, s->seed, s->bare_png, body);
    shared_bytes_release(body);
}

static void settle(struct sample *s)
{
    if (s->with_drawing || s->with_timer)
        return;
    kept_pictures_destroy(s->kept);
    shared_bytes_release(s->chosen.source);
    free(s->answer);
    free(s);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct sample *s = handle->data;

    s->with_timer = false;
    settle(s);
}

static void stop_waiting(struct sample *s)
{
    s->drawing = NULL;
    if (s->with_timer)
        uv_close((uv_handle_t *)&s->patience, on_timer_closed);
}

static void done(void *owner, const struct problem *problem)
{
    struct sample *s = owner;

    if (problem)
        exchange_respond_problem(s->exchange, problem);
    else
        answer(s);
    stop_waiting(s);
}

static void release(void *owner)
{
    struct sample *s = owner;

    s->with_drawing = false;
    settle(s);
}

static const struct drawing_client client = {.encode = encode, .done = done, .release = release};

static void on_gone(void *arg)
{
    struct sample *s = arg;

    drawing_cancel(s->drawing);
    stop_waiting(s);
}

static void begin_job(struct daemon *d, struct exchange *x, const struct selection *chosen,
                      const char *body)
{
    tell_preference(x);
    batches_add(d->batches, chosen, exchange_header(x, "Idempotency-Key"), body, x);
}

/* The client has waited as long as it would: what is drawn for it from now on is a job's, from the
 * beginning. It pays once. */
static void on_patience_over(uv_timer_t *timer)
{
    struct sample *s = timer->data;
    bool paid = !drawing_is_joined(s->drawing);

    drawing_cancel(s->drawing);
    stop_waiting(s);
    if (paid)
        keys_refund(exchange_key(s->exchange), s->chosen.request.n);
    begin_job(s->daemon, s->exchange, &s->chosen, s->body);
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

/* What a request that is sent again says again; others' keys are others. "": nothing. */
static void digest_key(const struct exchange *x, char out[DIGEST_TEXT])
{
    const char *key = exchange_header(x, "Idempotency-Key");
    const struct key *owner = exchange_key(x);
    char text[2 * DIGEST_TEXT + 1];

    out[0] = '\0';
    if (!key)
        return;
    digest_of(key, strlen(key), out);
    snprintf(text, sizeof(text), "%s %s", owner ? key_name(owner) : "", out);
    digest_of(text, strlen(text), out);
}

/* One that is sent again means the same images, also where it leaves them to us. */
static uint64_t choose_seed(const struct samples_request *wanted, const char *same)
{
    char digits[14]; /* below 2^53, as drawing_random_seed() */

    if (wanted->has_seed)
        return wanted->seed;
    if (!*same)
        return drawing_random_seed();
    snprintf(digits, sizeof(digits), "%.13s", same);
    return strtoull(digits, NULL, 16);
}

struct drawing_order samples_order(const struct selection *chosen, const struct exchange *x)
{
    const struct samples_request *wanted = &chosen->request;
    struct drawing_order order = {
        .request_id = exchange_id(x),
        .payer = exchange_key(x),
        .model = chosen->model,
        .sampling = chosen->sampling,
        .label = chosen->label,
        .guidance = chosen->guidance,
        .n = wanted->n,
        .priority = wanted->background ? PRIORITY_BACKGROUND : PRIORITY_INTERACTIVE,
        .timeout_ms = wanted->timeout_ms,
        .restoration = chosen->restoration,
        .restored = chosen->restored,
        .best_ms = wanted->best ? wanted->deadline_ms : 0,
    };

    digest_key(x, order.same);
    drawing_order_seeds(&order, choose_seed(wanted, order.same), wanted->seed_b, wanted->mix);
    if (wanted->deadline_ms > 0 && !wanted->best && wanted->deadline_ms < order.timeout_ms) {
        order.timeout_ms = wanted->deadline_ms;
        order.timeout_name = "deadline_ms";
    }
    return order;
}

/* Whether it is sent again and its answer is still there: sent. */
static bool replay(struct daemon *d, struct exchange *x, const struct sample *s)
{
    struct shared_bytes *body = picture_cache_find(d->cache, s->key);

    if (!body)
        return false;
    exchange_add_header(x, "Server-Timing", "cache;desc=hit");
    send_answer(x, s->seed, s->bare_png, body);
    return true;
}

static void describe(struct sample *s, const struct drawing_order *order)
{
    struct samples_response images;

    drawings_describe(s->daemon->drawings, order, &images);
    if (s->bare_png)
        permalink_key(&images, 0, s->key);
    else
        permalink_answer_key(&images, s->key);
}

static void be_patient(struct sample *s, const struct selection *chosen,
                       const struct samples_patience *patience)
{
    s->chosen = *chosen;
    s->chosen.restoration = NULL; /* the drawing's */
    s->chosen.request.has_seed = true;
    s->chosen.request.seed = s->seed;
    if (chosen->source) {
        shared_bytes_hold(s->chosen.source);
        s->restored = *chosen->restored;
        s->chosen.restored = &s->restored;
    }
    memcpy(s->body, patience->body, sizeof(s->body));
    uv_timer_init(&s->daemon->loop, &s->patience);
    s->patience.data = s;
    s->with_timer = true;
    uv_timer_start(&s->patience, on_patience_over, 1000 * (uint64_t)patience->wait_s, 0);
}

static int start(struct daemon *d, struct exchange *x, const struct selection *chosen,
                 bool bare_png, const struct samples_patience *patience, struct problem *problem)
{
    struct sample *s = calloc(1, sizeof(*s));
    struct drawing_order order = samples_order(chosen, x);
    bool finish = chosen->request.finish, again = *order.same;
    int rc;

    if (!s)
        return problem_set(problem, 503, "out of memory");
    order.client = &client;
    order.owner = s;
    s->daemon = d;
    s->exchange = x;
    s->seed = order.seed;
    s->bare_png = bare_png;
    s->keeps = again || (finish && !chosen->restoration); /* which has no address */
    describe(s, &order);
    if (again && replay(d, x, s)) {
        restoration_destroy(chosen->restoration);
        free(s);
        return 0;
    }
    rc = drawings_begin(d->drawings, &order, &s->drawing, problem);
    if (rc < 0) {
        free(s);
        return rc;
    }
    s->with_drawing = true;
    exchange_on_gone(x, on_gone, s);
    if (finish)
        exchange_expect_half_close(x);
    if (patience->wait_s >= 0)
        be_patient(s, chosen, patience);
    return 0;
}

static int n_previews(const struct samples_request *wanted, int nfe, int done)
{
    return wanted->preview_every > 0 ? done / wanted->preview_every : 0;
}

static void add_preview(const struct samples_response *r, int i, int nfe_done, int number,
                        const uint8_t *x, const uint8_t *predicted, char **text)
{
    events_add_preview(r, i, nfe_done, nfe_done, x, predicted, text);
}

static const struct events_form events = {.accepted = events_of_acceptance,
                                          .place = events_of_place,
                                          .progress = events_of_progress,
                                          .failed = events_of_problem,
                                          .add_preview = add_preview,
                                          .completed = events_of_images,
                                          .n_previews = n_previews};

int samples_answer(struct daemon *d, struct exchange *x, const struct selection *chosen,
                   const struct samples_patience *patience, struct problem *problem)
{
    const char *accept = exchange_header(x, "Accept");
    bool bare_png = false;

    if (patience->wait_s == 0) {
        begin_job(d, x, chosen, patience->body);
        restoration_destroy(chosen->restoration);
        return 0;
    }
    if (events_are_wanted(accept))
        return events_start(d, x, chosen, &events, problem);
    if (chosen->request.preview_every > 0) {
        problem_add_field(problem, "preview_every", "needs Accept: text/event-stream");
        return -EINVAL;
    }
    if (choose_type(accept, chosen->request.n, &bare_png, problem) < 0)
        return -EINVAL;
    return start(d, x, chosen, bare_png, patience, problem);
}

/* Whether it asks for nothing that jobs have not: deadlines, previews, an answer other than JSON. */
static bool may_be_job(const struct exchange *x, const struct samples_request *wanted)
{
    const char *accept = exchange_header(x, "Accept");

    return wanted->deadline_ms == 0 && wanted->preview_every == 0 && !events_are_wanted(accept) &&
           accept_weight(accept, "application/json") > 0;
}

int samples_check_webhook(const struct daemon *d, const struct exchange *x,
                          const struct samples_request *wanted, bool is_job,
                          struct problem *problem)
{
    if (!*wanted->webhook || is_job)
        return batches_check_webhook(d->batches, wanted->webhook, exchange_key(x), problem);
    problem_add_field(problem, "webhook",
                      "is told of the end of a job: it needs Prefer: respond-async, or wait, and "
                      "nothing that jobs have not");
    return -EINVAL;
}

/* Preferences are never a reason to refuse: what cannot be a job has none. */
int samples_find_patience(const struct daemon *d, const struct exchange *x,
                          const struct samples_request *wanted, const char *body)
{
    const char *prefer = exchange_header(x, "Prefer"), *key = exchange_header(x, "Idempotency-Key");
    int wait_s = prefer_number(prefer, "wait");

    if (!may_be_job(x, wanted))
        return -1;
    if (wait_s < 0)
        return prefer_has(prefer, "respond-async") ? 0 : -1;
    return key && batches_draw(d->batches, key, body, exchange_key(x)) ? 0 : wait_s;
}

void samples_handle(struct daemon *d, struct exchange *x)
{
    struct problem problem = {0};
    struct selection chosen = {.model = NULL};
    struct samples_patience patience;
    const char *body;
    size_t size;
    int rc;

    body = exchange_body(x, &size);
    digest_of(body, size, patience.body);
    rc = selection_read(d->models, REQUEST_SAMPLES, admission_limits(d->admission), body, size,
                        &chosen, &problem);
    if (rc == 0) {
        patience.wait_s = samples_find_patience(d, x, &chosen.request, patience.body);
        rc = samples_check_webhook(d, x, &chosen.request, patience.wait_s >= 0, &problem);
    }
    if (rc == 0)
        rc = samples_answer(d, x, &chosen, &patience, &problem);
    if (rc < 0)
        exchange_respond_problem(x, &problem);
}
