/* A request lives as long as its job is with the engine's thread or its answer with the pool,
 * also when its client has long been answered: request_settle() frees it when all have let go.
 */
#include "server/samples.h"

#include "api/accept.h"
#include "api/problem.h"
#include "api/response.h"
#include "engine/base/error.h"
#include "engine/base/log.h"
#include "server/admission.h"
#include "server/engine_model.h"
#include "server/engine_thread.h"
#include "server/exchange.h"
#include "server/job.h"
#include "server/selection.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

struct samples {
    uv_loop_t *loop;
    struct admission *admission;
    struct engine_thread *engine;
    uint64_t last_id;
    struct request *requests;
    int n_requests;
};

struct request {
    struct samples *samples;
    struct request *next, *previous;
    struct job job;
    char id[LIMITS_REQUEST_ID_BYTES + 1];
    const struct engine_model *model;
    bool bare_png;
    struct exchange *exchange; /* NULL: answered or gone */
    int status;                /* answered with; 499: gone */
    uint64_t admitted_ns, encoded_ns;
    uv_timer_t deadline;
    int timeout_ms;
    uv_work_t encoding;
    bool with_engine, with_pool, with_timer; /* who still holds it */
    uint8_t *answer;                         /* owned until it is sent */
    size_t answer_bytes;
    int answer_status; /* of the encoding, 0 or -errno */
    struct error error;
};

static double ms_between(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (double)(to_ns - from_ns) / 1e6 : 0;
}

/* Ending */

static void log_request(const struct request *r)
{
    const struct job *job = &r->job;

    log_write(LOG_INFO,
              "event=samples id=%s model=%s seed=%" PRIu64 " n=%d sampler=%s nfe=%d status=%d "
              "images=%d queue_ms=%.1f engine_ms=%.1f encode_ms=%.1f",
              r->id, r->model->name, job->seed, job->n, sampler_name(job->sampler), job->nfe,
              r->status, job->n_finished,
              ms_between(r->admitted_ns, job->started_ns ? job->started_ns : job->finished_ns),
              job->started_ns ? ms_between(job->started_ns, job->finished_ns) : 0.0,
              ms_between(job->finished_ns, r->encoded_ns));
}

static void request_settle(struct request *r)
{
    struct samples *s = r->samples;

    if (r->with_engine || r->with_pool || r->with_timer)
        return;
    log_request(r);
    if (r->next)
        r->next->previous = r->previous;
    if (r->previous)
        r->previous->next = r->next;
    else
        s->requests = r->next;
    s->n_requests--;
    free(r->answer);
    free(r->job.pixels);
    free(r);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct request *r = handle->data;

    r->with_timer = false;
    request_settle(r);
}

/* Nobody waits for the answer any more. */
static void detach(struct request *r, int status)
{
    r->exchange = NULL;
    r->status = status;
    uv_close((uv_handle_t *)&r->deadline, on_timer_closed);
    if (r->with_engine)
        engine_thread_cancel(&r->job);
}

static void fail(struct request *r, int status, int retry_after_s, const char *detail)
{
    struct problem problem = {.retry_after_s = retry_after_s};
    struct exchange *x = r->exchange;

    if (!x)
        return;
    detach(r, status);
    problem_set(&problem, status, "%s", detail);
    exchange_respond_problem(x, &problem);
}

static void on_gone(void *arg)
{
    detach(arg, 499);
}

static void on_deadline(uv_timer_t *handle)
{
    struct request *r = handle->data;
    char detail[160];

    snprintf(detail, sizeof(detail),
             "the deadline of %d ms passed before the images were there; ask for fewer, for a "
             "smaller nfe or with a longer timeout_ms",
             r->timeout_ms);
    fail(r, 504, 0, detail);
}

/* Encoding */

static void encode(uv_work_t *work)
{
    struct request *r = work->data;
    const struct samples_response response = {
        .model = r->model->name,
        .checkpoint = r->model->digest,
        .precision = r->model->precision,
        .corruption = r->model->corruption,
        .sampler = sampler_name(r->job.sampler),
        .nfe = r->job.nfe,
        .seed = r->job.seed,
        .n = r->job.n,
        .side_px = r->model->side_px,
        .channels = r->model->channels,
        .pixels = r->job.pixels,
    };

    r->answer_status =
        samples_response_encode(&response, r->bare_png, &r->answer, &r->answer_bytes, &r->error);
}

static void answer(struct request *r)
{
    struct exchange *x = r->exchange;
    uint8_t *body = r->answer;
    char text[128];

    snprintf(text, sizeof(text), "%" PRIu64, r->job.seed);
    exchange_add_header(x, "X-Seed", text);
    snprintf(text, sizeof(text), "queue;dur=%.1f, engine;dur=%.1f, encode;dur=%.1f",
             ms_between(r->admitted_ns, r->job.started_ns),
             ms_between(r->job.started_ns, r->job.finished_ns),
             ms_between(r->job.finished_ns, r->encoded_ns));
    exchange_add_header(x, "Server-Timing", text);
    exchange_add_header(x, "Vary", "Accept");
    detach(r, 200);
    r->answer = NULL;
    exchange_respond(x, 200, r->bare_png ? "image/png" : "application/json", body, r->answer_bytes,
                     body);
}

static void on_encoded(uv_work_t *work, int status)
{
    struct request *r = work->data;

    r->with_pool = false;
    r->encoded_ns = uv_hrtime();
    if (r->exchange && r->answer_status == 0)
        answer(r);
    else if (r->exchange)
        fail(r, 500, 0, r->error.text);
    request_settle(r);
}

static void take_back(struct request *r)
{
    struct samples *s = r->samples;
    struct job *job = &r->job;

    r->with_engine = false;
    admission_leave(s->admission, job);
    if (job->status == 0 && r->exchange) {
        r->encoding.data = r;
        r->with_pool = true;
        uv_queue_work(s->loop, &r->encoding, encode, on_encoded);
        return;
    }
    if (job->status < 0 && job->status != -ECANCELED) {
        log_write(LOG_ERROR, "event=job_failed id=%s error=%s", r->id, LOG_TEXT(job->error.text));
        fail(r, 500, 0,
             job->status == -EDOM ? job->error.text
                                  : "the device failed; the request may be sent again");
    }
    request_settle(r);
}

void samples_collect(struct samples *s)
{
    struct job *job;

    while ((job = engine_thread_take_done(s->engine)))
        take_back(job->owner);
}

void samples_cancel_all(struct samples *s)
{
    for (struct request *r = s->requests; r; r = r->next)
        fail(r, 503, 1, "the daemon is shutting down; try another one");
}

/* Beginning */

void samples_begin(struct samples *s, struct exchange *x)
{
    const char *type = exchange_header(x, "Content-Type");
    const char *accept = exchange_header(x, "Accept");
    struct problem problem = {0};
    size_t n = type ? strcspn(type, "; \t") : 0;

    if (exchange_announces_body(x) &&
        (n != strlen("application/json") || strncasecmp(type, "application/json", n) != 0))
        problem_set(&problem, 415,
                    "the body must be JSON and be sent with Content-Type: application/json");
    else if (!accept_weight(accept, "application/json") && !accept_weight(accept, "image/png"))
        problem_set(&problem, 406, "the answer can be application/json or image/png");
    if (problem.status)
        exchange_respond_problem(x, &problem);
}

static uint64_t draw_seed(void)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
        seed = uv_hrtime();
    return seed >> 11; /* below 2^53: a number in every client's JSON */
}

static void start(struct samples *s, struct request *r, const struct samples_request *wanted,
                  struct exchange *x)
{
    struct job *job = &r->job;

    job->id = ++s->last_id;
    job->seed = wanted->has_seed ? wanted->seed : draw_seed();
    job->n = wanted->n;
    job->owner = r;
    r->samples = s;
    r->exchange = x;
    r->admitted_ns = uv_hrtime();
    r->timeout_ms = wanted->timeout_ms;
    snprintf(r->id, sizeof(r->id), "%s", exchange_id(x));
    r->next = s->requests;
    if (r->next)
        r->next->previous = r;
    s->requests = r;
    s->n_requests++;
    admission_enter(s->admission, job);
    uv_timer_init(s->loop, &r->deadline);
    r->deadline.data = r;
    r->with_timer = true;
    uv_timer_start(&r->deadline, on_deadline, (uint64_t)r->timeout_ms, 0);
    r->with_engine = true;
    exchange_on_gone(x, on_gone, r);
    if (wanted->finish)
        exchange_expect_half_close(x);
    engine_thread_submit(s->engine, job);
}

/* The request with the memory for its images; NULL without. */
static struct request *request_create(const struct samples *s, const struct selection *chosen)
{
    const struct engine_model *model = engine_thread_model(s->engine, chosen->model);
    size_t side = (size_t)model->side_px;
    struct request *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->model = model;
    r->bare_png = chosen->bare_png;
    r->job.model = chosen->model;
    r->job.sampler = chosen->sampling.sampler;
    r->job.nfe = chosen->sampling.nfe;
    r->job.pixels = malloc((size_t)chosen->request.n * side * side * (size_t)model->channels);
    if (!r->job.pixels) {
        free(r);
        return NULL;
    }
    return r;
}

void samples_handle(struct samples *s, struct exchange *x)
{
    struct problem problem = {0};
    struct selection chosen = {.model = 0};
    struct request *r = NULL;
    const char *body;
    size_t size;

    body = exchange_body(x, &size);
    if (selection_read(s->engine, admission_limits(s->admission), body, size,
                       exchange_header(x, "Accept"), &chosen, &problem) == 0 &&
        admission_check(s->admission, chosen.model, chosen.request.n, &problem) == 0) {
        r = request_create(s, &chosen);
        if (!r)
            problem_set(&problem, 503, "out of memory");
    }
    if (r)
        start(s, r, &chosen.request, x);
    else
        exchange_respond_problem(x, &problem);
}

int samples_create(uv_loop_t *loop, struct admission *admission, struct engine_thread *engine,
                   struct samples **out, struct error *err)
{
    struct samples *s = calloc(1, sizeof(*s));

    if (!s)
        return error_set(err, -ENOMEM, "out of memory");
    s->loop = loop;
    s->admission = admission;
    s->engine = engine;
    *out = s;
    return 0;
}

void samples_destroy(struct samples *s)
{
    free(s);
}

int samples_in_progress(const struct samples *s)
{
    return s->n_requests;
}

struct json_t *samples_to_json(const struct samples *s)
{
    json_t *list = json_array();
    uint64_t now_ns = uv_hrtime();

    for (const struct request *r = s->requests; r; r = r->next)
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:b}", "id", r->id, "model",
                                        r->model->name, "sampler", sampler_name(r->job.sampler),
                                        "nfe", r->job.nfe, "n", r->job.n, "age_ms",
                                        (int)ms_between(r->admitted_ns, now_ns), "cancelled",
                                        r->exchange == NULL));
    return list;
}
