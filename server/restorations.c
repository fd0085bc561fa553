#include "server/restorations.h"

#include "api/pictures/picture.h"
#include "api/pictures/resize.h"
#include "api/problem.h"
#include "api/response.h"
#include "api/upload.h"
#include "engine/base/error.h"
#include "model/restoration.h"
#include "server/admission.h"
#include "server/daemon.h"
#include "server/engine_model.h"
#include "server/exchange.h"
#include "server/models.h"
#include "server/samples.h"
#include "server/selection.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { TYPE_BYTES = 256, WHITE_FROM = 128 };

/* From its body to its drawing. */
struct restoring {
    struct daemon *daemon;
    struct exchange *exchange; /* NULL: gone */
    uv_work_t work;
    char content_type[TYPE_BYTES];
    uint8_t *body; /* owned */
    size_t body_bytes;
    struct upload upload;
    enum degradation degradation;
    struct selection chosen;
    bool holds; /* the model */
    struct response_restoration restored;
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
    free(r->body);
    free(r);
}

/* On the pool: pictures */

static int decode(const struct upload_file *file, const char *name, uint8_t **rgb, int *w, int *h,
                  struct problem *problem)
{
    struct error error;
    int rc = picture_decode(file->bytes, file->size, LIMITS_UPLOAD_PIXELS, w, h, rgb, &error);

    if (rc == -ENOMEM)
        return problem_set(problem, 503, "out of memory");
    if (rc < 0)
        problem_add_field(problem, name, "%s", error.text);
    return rc;
}

/* To [side,side,3] of 8 bits; NULL with a problem. */
static uint8_t *read_square(const struct upload_file *file, const char *name, int side,
                            struct problem *problem)
{
    uint8_t *rgb, *square;
    int w, h, rc;

    if (decode(file, name, &rgb, &w, &h, problem) < 0)
        return NULL;
    square = malloc((size_t)side * (size_t)side * 3);
    rc = square ? resize_square(rgb, w, h, 3, 0, side, square, NULL) : -ENOMEM;
    free(rgb);
    if (rc == 0)
        return square;
    problem_set(problem, 503, "out of memory");
    free(square);
    return NULL;
}

/* Colours, or their luma (Rec. 601) where the model has one channel. */
static void to_floats(const uint8_t *rgb, size_t pixels, int channels, float *out)
{
    for (size_t i = 0; i < pixels; i++, rgb += 3) {
        if (channels == 1)
            out[i] = (0.299f * rgb[0] + 0.587f * rgb[1] + 0.114f * rgb[2]) / 255;
        for (int c = 0; c < channels && channels > 1; c++)
            out[i * (size_t)channels + (size_t)c] = (float)rgb[c] / 255;
    }
}

static int read_pictures(const struct restoring *r, float *picture, float *mask,
                         struct problem *problem)
{
    const struct engine_model *m = r->chosen.model;
    size_t pixels = (size_t)m->side_px * (size_t)m->side_px;
    uint8_t *square = read_square(&r->upload.image, "image", m->side_px, problem);

    if (square)
        to_floats(square, pixels, m->channels, picture);
    free(square);
    if (r->degradation == DEGRADATION_MASK && problem->status != 503) {
        square = read_square(&r->upload.mask, "mask", m->side_px, problem);
        for (size_t i = 0; square && i < pixels; i++)
            mask[i] = square[3 * i] < WHITE_FROM;
        free(square);
    }
    return problem->status ? -EINVAL : 0;
}

static void describe(struct restoring *r, double std)
{
    struct response_restoration *out = &r->restored;
    struct restoration_choice choice;

    restoration_chosen(r->chosen.restoration, &choice);
    r->chosen.sampling.nfe = choice.nfe;
    out->degradation = degradation_name(r->degradation);
    out->std = r->degradation == DEGRADATION_MASK ? 0 : std;
    out->estimated = r->upload.std < 0;
    out->strength = choice.time;
    out->consistency = choice.consistency;
    upload_digest(&r->upload.image, out->image_sha256);
    if (r->degradation == DEGRADATION_MASK)
        upload_digest(&r->upload.mask, out->mask_sha256);
}

static int prepare(struct restoring *r, const float *picture, const float *mask)
{
    const struct engine_model *m = r->chosen.model;
    struct restoration_options options = {.degradation = r->degradation,
                                          .std = r->upload.std,
                                          .picture = picture,
                                          .mask = mask,
                                          .time = r->upload.strength,
                                          .consistency = r->upload.consistency,
                                          .sampler = r->chosen.sampling.sampler,
                                          .nfe = r->chosen.sampling.nfe};
    struct error error;
    int rc = 0;

    if (options.std < 0 && r->degradation != DEGRADATION_MASK)
        rc = restoration_estimate(r->degradation, m->side_px, m->channels, picture, &options.std,
                                  &error);
    if (rc == 0)
        rc = restoration_create(m->formulation, &options, &r->chosen.restoration, &error);
    if (rc == -EDOM)
        problem_add_field(&r->problem, "std", "%s", error.text);
    else if (rc == -EINVAL)
        problem_add_field(&r->problem, "sampler", "%s", error.text);
    else if (rc < 0)
        problem_set(&r->problem, 503, "%s", error.text);
    if (rc == 0)
        describe(r, options.std);
    return rc;
}

static void look(uv_work_t *work)
{
    struct restoring *r = work->data;
    const struct engine_model *m = r->chosen.model;
    size_t pixels = (size_t)m->side_px * (size_t)m->side_px, channels = (size_t)m->channels;
    float *picture = malloc(pixels * (channels + 1) * sizeof(*picture));

    if (!picture)
        problem_set(&r->problem, 503, "out of memory");
    else if (read_pictures(r, picture, picture + pixels * channels, &r->problem) == 0)
        prepare(r, picture, picture + pixels * channels);
    free(picture);
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
        r->problem.retry_after_s = 1;
        problem_set(&r->problem, 503, "the daemon is not ready: %s", daemon_state(d));
        end(r);
        return;
    }
    if (!r->chosen.request.finish)
        exchange_watch(r->exchange);
    r->chosen.restored = &r->restored;
    if (samples_answer(d, r->exchange, &r->chosen, &r->problem) == 0)
        r->chosen.restoration = NULL; /* the drawing's */
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

    upload_read(r->content_type, (const char *)r->body, r->body_bytes, &r->upload, &r->problem);
    free(r->body);
    r->body = NULL;
}

static void on_unpacked(uv_work_t *work, int status)
{
    struct restoring *r = work->data;
    struct daemon *d = r->daemon;

    if (r->exchange && (r->problem.status == 0 || r->problem.status == 422) && r->upload.others) {
        check_fields(r);
        selection_read(d->models, REQUEST_RESTORATION, admission_limits(d->admission),
                       r->upload.others, strlen(r->upload.others), &r->chosen, &r->problem);
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
    struct problem problem = {.retry_after_s = 0};

    if ((n != strlen("application/json") || strncasecmp(type, "application/json", n) != 0) &&
        (n != strlen("multipart/form-data") || strncasecmp(type, "multipart/form-data", n) != 0)) {
        problem_set(&problem, 415,
                    "the body must be application/json or multipart/form-data and say so in "
                    "Content-Type");
    } else if (samples_check_accept(x, &problem) == 0 &&
               !exchange_expect_upload(x, LIMITS_UPLOAD_BYTES, &d->n_uploads, LIMITS_UPLOADS)) {
        problem.retry_after_s = 1;
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
