#include "server/job_routes.h"

#include "api/job_status.h"
#include "api/problem.h"
#include "api/query.h"
#include "api/seed.h"
#include "model/digest.h"
#include "model/sampler.h"
#include "server/admission.h"
#include "server/batches.h"
#include "server/daemon.h"
#include "server/exchange.h"
#include "server/selection.h"

#include <stdio.h>
#include <string.h>

#define BEFORE_ID "/v1/jobs/"

static void find(struct daemon *d, struct exchange *x,
                 void (*then)(struct batch *b, struct exchange *x))
{
    const char *id = exchange_path(x) + strlen(BEFORE_ID);
    char text[64];

    snprintf(text, sizeof(text), "%.*s", (int)strcspn(id, "/"), id);
    batches_find(d->batches, text, x, then);
}

void job_routes_add(struct daemon *d, struct exchange *x)
{
    struct problem problem = {0};
    struct selection chosen = {.model = NULL};
    char digest[DIGEST_TEXT];
    const char *body;
    size_t size;

    body = exchange_body(x, &size);
    digest_of(body, size, digest);
    if (selection_read(d->models, REQUEST_JOB, admission_limits(d->admission), body, size, &chosen,
                       &problem) < 0 ||
        batches_check_webhook(d->batches, chosen.request.webhook, exchange_key(x), &problem) < 0)
        exchange_respond_problem(x, &problem);
    else
        batches_add(d->batches, &chosen, exchange_header(x, "Idempotency-Key"), digest, x);
}

void job_routes_list(struct daemon *d, struct exchange *x)
{
    struct problem problem = {0};
    struct job_page page;

    if (job_page_parse(exchange_query(x), &page, &problem) == 0)
        batches_list(d->batches, page.after, page.limit, x);
    else
        exchange_respond_problem(x, &problem);
}

static void describe(struct batch *b, struct exchange *x)
{
    struct job_status status;

    batch_describe(b, &status);
    exchange_respond_json(x, 200, job_status_to_json(&status));
}

void job_routes_get(struct daemon *d, struct exchange *x)
{
    find(d, x, describe);
}

void job_routes_cancel(struct daemon *d, struct exchange *x)
{
    find(d, x, batch_cancel);
}

/* What the query of a stream asks for. 0, or -EINVAL: 400 or 422. */
static int read_watching(const char *query, int *preview_every, struct problem *problem)
{
    struct query_pair pair;
    uint64_t number;
    int rc;

    *preview_every = 0;
    while ((rc = query_next(&query, &pair)) > 0) {
        if (strcmp(pair.name, "preview_every") != 0)
            problem_add_field(problem, pair.name, "is not known");
        else if (seed_from_text(pair.value, strlen(pair.value), &number) < 0 || number < 1 ||
                 number > SAMPLER_NFE_MAX)
            problem_add_field(problem, "preview_every", "is 1 to %d", SAMPLER_NFE_MAX);
        else
            *preview_every = (int)number;
    }
    if (rc < 0)
        return problem_set(problem, 400, "the query is not URL-encoded text");
    return problem->status ? -EINVAL : 0;
}

/* The query was found good before. */
static void watch(struct batch *b, struct exchange *x)
{
    struct problem problem = {0};
    int preview_every;

    read_watching(exchange_query(x), &preview_every, &problem);
    exchange_add_header(x, "X-Accel-Buffering", "no"); /* of proxies */
    if (strcmp(exchange_method(x), "HEAD") == 0)
        exchange_respond_head(x, 200, "text/event-stream");
    else
        batch_watch(b, x, exchange_header(x, "Last-Event-ID"), preview_every);
}

void job_routes_watch(struct daemon *d, struct exchange *x)
{
    struct problem problem = {0};
    int preview_every;

    if (read_watching(exchange_query(x), &preview_every, &problem) < 0)
        exchange_respond_problem(x, &problem);
    else
        find(d, x, watch);
}

void job_routes_archive(struct daemon *d, struct exchange *x)
{
    find(d, x, batch_archive);
}

/* Images have one address, whoever asked for them first. */
static void send_image(struct batch *b, struct exchange *x)
{
    const char *text = strrchr(exchange_path(x), '/') + 1;
    struct problem problem = {0};
    struct job_status status;
    uint64_t i;

    batch_describe(b, &status);
    if (seed_from_text(text, strcspn(text, "."), &i) < 0 || i >= (uint64_t)status.order.n) {
        problem_set(&problem, 404, "the job has the images 0 to %d", status.order.n - 1);
    } else if (i >= (uint64_t)status.images_done) {
        problem_set(&problem, status.state < JOB_COMPLETED ? 503 : 404,
                    status.state < JOB_COMPLETED ? "the image is not drawn yet"
                                                 : "the image was not drawn before the job ended");
        if (status.state < JOB_COMPLETED) /* as far as its images come in their order */
            problem.retry_after_s = admission_retry_in_s(
                1e-3 * status.eta_ms * (double)(i + 1 - (uint64_t)status.images_done) /
                (status.order.n - status.images_done));
    }
    if (problem.status)
        exchange_respond_problem(x, &problem);
    else
        batch_picture(b, (int)i, x);
}

void job_routes_image(struct daemon *d, struct exchange *x)
{
    find(d, x, send_image);
}
