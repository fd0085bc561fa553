#include "server/restorations.h"

#include "api/prefer.h"
#include "api/problem.h"
#include "api/response.h"
#include "api/upload.h"
#include "config/settings.h"
#include "engine/base/error.h"
#include "model/restoration.h"
#include "server/admission.h"
#include "server/batches.h"
#include "server/daemon.h"
#include "server/engine_model.h"
#include "server/exchange.h"
#include "server/models.h"
#include "server/restoration_source.h"
#include "server/samples.h"
#include "server/selection.h"
#include "server/shared_bytes.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { TYPE_BYTES = 256 };

/* From its body to its drawing. */
struct restoring {
    struct daemon *daemon;
    struct exchange *exchange; /* NULL: gone */
    uv_work_t work;
    char content_type[TYPE_BYTES];
    uint8_t *body; /* owned */
    size_t body_bytes;
    struct upload upload;
    struct samples_patience patience; /* with the digest of it */
    enum degradation degradation;
    struct selection chosen;
    bool holds; /* the model */
    struct response_restoration restored;
    uint8_t *source; /* owned */
    size_t source_bytes;
    struct problem problem;
};

static void on_gone(void *arg)
{
    struct restoring *r = arg;

    r->exchange = NULL;
}

static void end(struct restoring *r)
{
    if (r->exchange && r->problem.status)
        exchange_respond_problem(r->exchange, &r->problem);
    if (r->holds)
        models_release(r->daemon->models, r->chosen.model);
    r->daemon->n_preparing--;
    restoration_destroy(r->chosen.restoration);
    upload_fini(&r->upload);
    free(r->source);
    free(r->body);
    free(r);
}

/* On the pool: pictures */

static int make(struct restoring *r)
{
    struct error error;
    int rc =
        restoration_source_make(r->source, r->source_bytes, r->chosen.model, &r->chosen.sampling,
                                &r->restored, &r->chosen.restoration, &error);

    if (rc == -EDOM)
        problem_add_field(&r->problem, "std", "%s", error.text);
    else if (rc == -EINVAL)
        problem_add_field(&r->problem, "sampler", "%s", error.text);
    else if (rc < 0)
        problem_set(&r->problem, 503, "%s", error.text);
    return rc;
}

static void look(uv_work_t *work)
{
    struct restoring *r = work->data;
    const struct upload *u = &r->upload;
    bool masked = r->degradation == DEGRADATION_MASK;

    r->restored = (struct response_restoration){.degradation = degradation_name(r->degradation),
                                                .std = u->std,
                                                .strength = u->strength,
                                                .consistency = u->consistency};
    upload_digest(&u->image, r->restored.image_sha256);
    if (masked)
        upload_digest(&u->mask, r->restored.mask_sha256);
    r->source_bytes = restoration_source_bytes(r->chosen.model, masked);
    if (restoration_source_read(u, r->chosen.model, masked, &r->source, &r->problem) == 0)
        make(r);
}

/* How long its client waits for it: for ever, where there is no room for the picture of a job. */
static int find_patience(const struct restoring *r)
{
    if (r->source_bytes > (size_t)r->daemon->settings->keep_sources_bytes)
        return -1;
    return samples_find_patience(r->daemon, r->exchange, &r->chosen.request, r->patience.body);
}

static void answer(struct restoring *r)
{
    r->chosen.restored = &r->restored;
    if (r->patience.wait_s >= 0) {
        r->chosen.source = shared_bytes_create(r->source, r->source_bytes);
        r->source = NULL;
        if (!r->chosen.source) {
            problem_set(&r->problem, 503, "out of memory");
            return;
        }
    }
    if (samples_answer(r->daemon, r->exchange, &r->chosen, &r->patience, &r->problem) == 0)
        r->chosen.restoration = NULL;
    shared_bytes_release(r->chosen.source);
}

static void on_looked(uv_work_t *work, int status)
{
    struct restoring *r = work->data;
    struct daemon *d = r->daemon;

    if (!r->exchange || r->problem.status) {
        end(r);
        return;
    }
    exchange_end_upload(r->exchange);
    if (!daemon_serves(d) || d->cancelled) {
        problem_set(&r->problem, 503, "the daemon is not ready: %s", daemon_state(d));
        end(r);
        return;
    }
    r->patience.wait_s = find_patience(r);
    if (samples_check_webhook(d, r->exchange, &r->chosen.request, r->patience.wait_s >= 0,
                              &r->problem) < 0) {
        end(r);
        return;
    }
    if (!r->chosen.request.finish)
        exchange_watch(r->exchange);
    answer(r);
    end(r);
}

/* What the fields say that are not of every request. */
static void check_fields(struct restoring *r)
{
    const struct upload *u = &r->upload;
    struct error error;

    if (!*u->degradation)
        problem_add_field(&r->problem, "degradation", "is missing: blur, noise or mask");
    else if (degradation_parse(u->degradation, &r->degradation, &error) < 0)
        problem_add_field(&r->problem, "degradation", "%s", error.text);
    else if (r->degradation == DEGRADATION_MASK && !u->mask.bytes)
        problem_add_field(&r->problem, "mask", "is missing: white where the picture is drawn anew");
    else if (r->degradation == DEGRADATION_MASK ? u->std >= 0 : u->mask.bytes != NULL)
        problem_add_field(&r->problem, r->degradation == DEGRADATION_MASK ? "std" : "mask",
                          "does not go with \"%s\"", u->degradation);
}

/* On the pool: the body */
static void unpack(uv_work_t *work)
{
    struct restoring *r = work->data;

    if (upload_read(r->content_type, (const char *)r->body, r->body_bytes, &r->upload,
                    &r->problem) == 0 &&
        upload_digest_all(&r->upload, r->patience.body) < 0)
        problem_set(&r->problem, 503, "out of memory");
    free(r->body);
    r->body = NULL;
}

static void on_unpacked(uv_work_t *work, int status)
{
    struct restoring *r = work->data;
    struct daemon *d = r->daemon;

    if (r->exchange && (r->problem.status == 0 || r->problem.status == 422) && r->upload.others) {
        check_fields(r);
        selection_read_fields(d->models, REQUEST_RESTORATION, admission_limits(d->admission),
                              r->upload.others, &r->chosen, &r->problem);
    }
    if (!r->exchange || r->problem.status) {
        end(r);
        return;
    }
    models_hold(r->chosen.model);
    r->holds = true;
    uv_queue_work(&d->loop, &r->work, look, on_looked);
}

void restorations_begin(struct daemon *d, struct exchange *x)
{
    const char *type = exchange_header(x, "Content-Type");
    size_t n = type ? strcspn(type, "; \t") : 0;
    struct problem problem = {0};

    if ((n != strlen("application/json") || strncasecmp(type, "application/json", n) != 0) &&
        (n != strlen("multipart/form-data") || strncasecmp(type, "multipart/form-data", n) != 0)) {
        problem_set(&problem, 415,
                    "the body must be application/json or multipart/form-data and say so in "
                    "Content-Type");
    } else if (samples_check_accept(x, &problem) == 0 &&
               !exchange_expect_upload(x, LIMITS_UPLOAD_BYTES, &d->n_uploads, LIMITS_UPLOADS)) {
        problem_set(&problem, 503, "too many files come in at the same time");
    }
    if (problem.status)
        exchange_respond_problem(x, &problem);
}

void restorations_handle(struct daemon *d, struct exchange *x)
{
    struct restoring *r = calloc(1, sizeof(*r));
    struct problem problem = {0};

    if (!r) {
        problem_set(&problem, 503, "out of memory");
        exchange_respond_problem(x, &problem);
        return;
    }
    r->daemon = d;
    r->exchange = x;
    r->work.data = r;
    snprintf(r->content_type, sizeof(r->content_type), "%s", exchange_header(x, "Content-Type"));
    r->body = exchange_take_body(x, &r->body_bytes);
    exchange_on_gone(x, on_gone, r);
    /* Whether one that closes its sending side has gone is in its body. */
    exchange_expect_half_close(x);
    d->n_preparing++;
    uv_queue_work(&d->loop, &r->work, unpack, on_unpacked);
}
