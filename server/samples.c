/* A request lives as long as its job is with the engine's thread or its answer with the pool,
 * also when its client has long been answered: request_settle() frees it when all have let go.
 */
#include "server/samples.h"

#include "api/accept.h"
#include "api/problem.h"
#include "api/request.h"
#include "api/response.h"
#include "config/settings.h"
#include "engine/base/error.h"
#include "engine/base/log.h"
#include "server/engine_thread.h"
#include "server/http.h"
#include "server/job.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

enum { RETRY_AFTER_MAX_S = 60 };

static const double RETRY_JITTER = 0.2;

struct samples {
    uv_loop_t *loop;
    const struct settings *settings;
    struct engine_thread *engine;
    struct samples_limits limits;
    uint64_t last_id;
    struct request *requests;
    int n_requests;
    int n_images[SETTINGS_MODELS_MAX]; /* admitted and not yet taken back, per model */
    double n_evaluations;              /* that these still need, at most */
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
    s->n_images[job->model] -= job->n;
    s->n_evaluations -= (double)job->n * job->nfe;
    if (job->status == 0 && r->exchange) {
        r->encoding.data = r;
        r->with_pool = true;
        uv_queue_work(s->loop, &r->encoding, encode, on_encoded);
        return;
    }
    if (job->status < 0 && job->status != -ECANCELED) {
        log_write(LOG_ERROR, "event=job_failed id=%s error=\"%s\"", r->id, job->error.text);
        fail(r, 500, 0, "the device failed; the request may be sent again");
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
    struct request *r;

    for (r = s->requests; r; r = r->next)
        fail(r, 503, 1, "the daemon is shutting down; try another one");
}

/* Admission */

void samples_begin(struct samples *s, struct exchange *x)
{
    const char *type = exchange_header(x, "Content-Type");
    const char *accept = exchange_header(x, "Accept");
    struct problem problem = {0};
    size_t n = type ? strcspn(type, "; \t") : 0;

    if (exchange_announces_body(x) &&
        (n != strlen("application/json") || strncasecmp(type, "application/json", n)))
        problem_set(&problem, 415,
                    "the body must be JSON and be sent with Content-Type: application/json");
    else if (!accept_weight(accept, "application/json") && !accept_weight(accept, "image/png"))
        problem_set(&problem, 406, "the answer can be application/json or image/png");
    if (problem.status)
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

/* The names of models or of their corruptions, for texts: "a", "b". */
static void list_models(const struct samples *s, bool corruptions, char *out, size_t size)
{
    const struct engine_model *m;
    size_t used = 0;
    int i;

    out[0] = '\0';
    for (i = 0; i < s->settings->n_models && used < size; i++) {
        m = engine_thread_model(s->engine, i);
        used += (size_t)snprintf(out + used, size - used, "%s\"%s\"", i ? ", " : "",
                                 corruptions ? m->corruption : m->name);
    }
}

static int find_model(const struct samples *s, const struct samples_request *wanted, int *out,
                      struct problem *problem)
{
    const struct engine_model *m;
    bool known = false;
    char names[256];
    int i;

    for (i = 0; i < s->settings->n_models; i++) {
        m = engine_thread_model(s->engine, i);
        if (*wanted->model && strcmp(wanted->model, m->name))
            continue;
        known = true;
        if (*wanted->corruption && strcmp(wanted->corruption, m->corruption))
            continue;
        *out = i;
        return 0;
    }
    list_models(s, known, names, sizeof(names));
    if (!known && problem->status == 0)
        return problem_set(problem, 404, "there is no model \"%s\"; there are: %s", wanted->model,
                           names);
    if (!known)
        problem_add_field(problem, "model", "there is no such model; there are: %s", names);
    else if (*wanted->model)
        problem_add_field(problem, "corruption", "model \"%s\" was not trained on \"%s\"",
                          wanted->model, wanted->corruption);
    else
        problem_add_field(problem, "corruption",
                          "no model here was trained on \"%s\"; there are: %s", wanted->corruption,
                          names);
    return -EINVAL;
}

static void find_sampler(const char *name, enum sampler *out, struct problem *problem)
{
    char names[256] = "";
    size_t used = 0;
    int i;

    if (sampler_parse(name, out, NULL) == 0)
        return;
    for (i = 0; i < SAMPLERS && used < sizeof(names); i++)
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s\"%s\"", i ? ", " : "",
                                 sampler_name((enum sampler)i));
    problem_add_field(problem, "sampler", "there is no such sampler; there are: %s", names);
}

/* Everything that a request can get wrong, in one problem. */
static int read_request(struct samples *s, struct exchange *x, struct samples_request *wanted,
                        struct request *r, struct problem *problem)
{
    const char *body;
    size_t size;

    body = exchange_body(x, &size);
    samples_request_parse(body, size, &s->limits, wanted, problem);
    if (problem->status == 400)
        return -EINVAL;
    if (*wanted->sampler)
        find_sampler(wanted->sampler, &r->job.sampler, problem);
    find_model(s, wanted, &r->job.model, problem);
    if (!problem->status)
        choose_type(exchange_header(x, "Accept"), wanted->n, &r->bare_png, problem);
    return problem->status ? -EINVAL : 0;
}

static uint64_t draw_seed(void)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
        seed = uv_hrtime();
    return seed >> 11; /* below 2^53: a number in every client's JSON */
}

/* Within 20 % of the estimate, so that those who were refused together do not come back together.
 * Where the estimate is more than may be told they all had the same: hence the limit before. */
static int retry_after_s(const struct samples *s)
{
    double most_s = RETRY_AFTER_MAX_S / (1 + RETRY_JITTER), seconds = samples_retry_after_s(s);
    double jitter = 1 + RETRY_JITTER * (2 * (double)draw_seed() / 0x1p53 - 1);

    return (int)ceil((seconds < most_s ? seconds : most_s) * jitter);
}

static int admit(struct samples *s, int model, int n, struct problem *problem)
{
    int room = s->settings->slots + s->settings->max_queue - s->n_images[model];

    if (n <= room)
        return 0;
    problem->retry_after_s = retry_after_s(s);
    return problem_set(problem, 503,
                       "the queue is full: %d images were asked for, there is room "
                       "for %d",
                       n, room);
}

static void start(struct samples *s, struct request *r, const struct samples_request *wanted,
                  struct exchange *x)
{
    struct job *job = &r->job;

    job->id = ++s->last_id;
    job->nfe = wanted->nfe;
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
    s->n_images[job->model] += job->n;
    s->n_evaluations += (double)job->n * job->nfe;
    uv_timer_init(s->loop, &r->deadline);
    r->deadline.data = r;
    r->with_timer = true;
    uv_timer_start(&r->deadline, on_deadline, (uint64_t)r->timeout_ms, 0);
    r->with_engine = true;
    exchange_on_gone(x, on_gone, r);
    engine_thread_submit(s->engine, job);
}

void samples_handle(struct samples *s, struct exchange *x)
{
    struct problem problem = {0};
    struct samples_request wanted;
    struct request *r = calloc(1, sizeof(*r));

    if (!r) {
        problem_set(&problem, 503, "out of memory");
        goto fail;
    }
    if (read_request(s, x, &wanted, r, &problem) < 0 ||
        admit(s, r->job.model, wanted.n, &problem) < 0)
        goto fail;
    r->model = engine_thread_model(s->engine, r->job.model);
    r->job.pixels = malloc((size_t)wanted.n * (size_t)r->model->side_px *
                           (size_t)r->model->side_px * (size_t)r->model->channels);
    if (!r->job.pixels) {
        problem_set(&problem, 503, "out of memory");
        goto fail;
    }
    start(s, r, &wanted, x);
    return;

fail:
    free(r);
    exchange_respond_problem(x, &problem);
}

int samples_create(uv_loop_t *loop, const struct settings *settings, struct engine_thread *engine,
                   struct samples **out, struct error *err)
{
    int room = settings->slots + settings->max_queue;
    struct samples *s = calloc(1, sizeof(*s));

    if (!s)
        return error_set(err, -ENOMEM, "out of memory");
    s->loop = loop;
    s->settings = settings;
    s->engine = engine;
    s->limits.n_max = settings->max_images < room ? settings->max_images : room;
    s->limits.nfe_max = settings->max_nfe;
    s->limits.timeout_max_ms = settings->request_timeout_ms;
    *out = s;
    return 0;
}

void samples_destroy(struct samples *s)
{
    free(s);
}

const struct samples_limits *samples_limits(const struct samples *s)
{
    return &s->limits;
}

int samples_in_progress(const struct samples *s)
{
    return s->n_requests;
}

int samples_retry_after_s(const struct samples *s)
{
    struct engine_stats stats;
    double seconds = 1;

    engine_thread_stats(s->engine, &stats);
    if (stats.evaluations_per_s > 0)
        seconds = ceil(s->n_evaluations / stats.evaluations_per_s);
    return seconds < 1 ? 1 : seconds > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : (int)seconds;
}

struct json_t *samples_to_json(const struct samples *s)
{
    json_t *list = json_array();
    uint64_t now_ns = uv_hrtime();
    const struct request *r;

    for (r = s->requests; r; r = r->next)
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:b}", "id", r->id, "model",
                                        r->model->name, "sampler", sampler_name(r->job.sampler),
                                        "nfe", r->job.nfe, "n", r->job.n, "age_ms",
                                        (int)ms_between(r->admitted_ns, now_ns), "cancelled",
                                        r->exchange == NULL));
    return list;
}
