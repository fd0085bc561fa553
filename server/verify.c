#include "server/verify.h"

#include "api/pictures/picture.h"
#include "api/problem.h"
#include "api/provenance.h"
#include "api/request.h"
#include "api/response.h"
#include "api/seed.h"
#include "engine/base/error.h"
#include "engine/base/json_memory.h"
#include "server/admission.h"
#include "server/daemon.h"
#include "server/drawing.h"
#include "model/formulation.h"
#include "server/engine_model.h"
#include "server/exchange.h"
#include "server/models.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* More pixels than any model draws, and little enough memory. */
static const size_t pixels_max = (size_t)4096 * 4096;

struct verification {
    struct daemon *daemon;
    struct exchange *exchange;
    struct drawing *drawing;
    struct provenance claimed;
    uint8_t *png; /* owned: what came */
    size_t png_bytes;
    char *verdict; /* a document; owned until it is sent */
};

/* How the pixels of a file differ from those that were drawn, three values each. */
struct difference {
    bool readable, same_size;
    int n_pixels, largest;
};

static void compare(const struct samples_response *drawn, const uint8_t *rgb, int w, int h,
                    struct difference *out)
{
    int step;
    bool same;

    out->same_size = w == drawn->side_px && h == drawn->side_px;
    for (int i = 0; out->same_size && i < w * h; i++) {
        same = true;
        for (int c = 0; c < 3; c++) {
            step = abs(rgb[3 * i + c] -
                       (drawn->channels == 3 ? drawn->pixels[3 * i + c] : drawn->pixels[i]));
            same &= step == 0;
            if (step > out->largest)
                out->largest = step;
        }
        out->n_pixels += !same;
    }
}

/* malloc'ed; NULL without memory. */
static char *verdict_of(const struct verification *v, const struct samples_response *drawn,
                        const struct difference *diff, bool same_file)
{
    const struct provenance *p = &v->claimed;
    bool exact = diff->readable && diff->same_size && diff->n_pixels == 0;
    json_t *json =
        json_pack("{s:s, s:b, s:s, s:s, s:s, s:i, s:i, s:o, s:s, s:b}", "match",
                  exact ? "exact" : "differs", "same_file", same_file, "model", drawn->model,
                  "checkpoint", p->checkpoint, "sampler", p->sampler, "nfe", p->nfe, "nfe_done",
                  p->nfe_done, "seed", seed_to_json(p->seed), "determinism", p->determinism,
                  "same_determinism", strcmp(p->determinism, drawn->determinism) == 0);

    if (p->mix > 0) {
        json_object_set_new(json, "seed_b", seed_to_json(p->seed_b));
        json_object_set_new(json, "mix", json_real((double)p->mix / REQUEST_MIX_WHOLE));
    }
    samples_response_add_label(drawn, json);
    if (!exact && diff->same_size)
        json_object_set_new(json, "difference",
                            json_pack("{s:i, s:i}", "pixels", diff->n_pixels, "largest",
                                      diff->largest));
    return json_memory_dump(json, JSON_COMPACT | JSON_REAL_PRECISION(6));
}

static int encode(void *owner, const struct samples_response *drawn, struct error *err)
{
    struct verification *v = owner;
    struct difference diff = {.readable = false};
    uint8_t *rgb, *again = NULL;
    size_t again_bytes = 0;
    int w, h, rc;

    rc = samples_response_png(drawn, 0, &again, &again_bytes, err);
    if (rc < 0)
        return rc;
    rc = picture_decode(v->png, v->png_bytes, pixels_max, &w, &h, &rgb, err);
    if (rc == -ENOMEM)
        goto out;
    if (rc == 0) {
        diff.readable = true;
        compare(drawn, rgb, w, h, &diff);
        free(rgb);
    }
    v->verdict = verdict_of(v, drawn, &diff,
                            again_bytes == v->png_bytes && memcmp(again, v->png, again_bytes) == 0);
    rc = v->verdict ? 0 : error_set(err, -ENOMEM, "out of memory writing an answer");
out:
    free(again);
    return rc;
}

static void done(void *owner, const struct problem *problem)
{
    struct verification *v = owner;

    if (problem)
        exchange_respond_problem(v->exchange, problem);
    else
        exchange_respond_json(v->exchange, 200, v->verdict);
    if (!problem)
        v->verdict = NULL;
}

static void release(void *owner)
{
    struct verification *v = owner;

    free(v->verdict);
    free(v->png);
    free(v);
}

static const struct drawing_client client = {.encode = encode, .done = done, .release = release};

static void on_gone(void *arg)
{
    struct verification *v = arg;

    drawing_cancel(v->drawing);
}

/* By its digest: names may differ from daemon to daemon. NULL: not here. */
static struct engine_model *find_model(const struct daemon *d, const struct provenance *p)
{
    struct engine_model *m, *found = NULL;

    for (int i = 0; i < models_count(d->models); i++) {
        m = models_at(d->models, i);
        if (strlen(p->checkpoint) < RESPONSE_DIGEST_CHARS ||
            strncmp(m->digest, p->checkpoint, strlen(p->checkpoint)) != 0)
            continue;
        if (!found || strcmp(m->name, p->model) == 0)
            found = m;
    }
    return found;
}

static int choose_sampling(const struct engine_model *m, const struct provenance *p,
                           struct sampling_choice *out, struct problem *problem)
{
    struct error error;
    enum sampler sampler;

    if (sampler_parse(p->sampler, &sampler, &error) < 0 ||
        sampling_choose(m->sampling, &sampler, p->nfe, m->nfe_max, out, &error) < 0)
        return problem_set(problem, 422, "the PNG says what cannot be drawn here: %s", error.text);
    if (p->nfe > m->nfe_max)
        return problem_set(problem, 422, "the PNG says an nfe of %d, the most here is %d", p->nfe,
                           m->nfe_max);
    return 0;
}

/* As the model of this checkpoint has it; what was written by somebody else may not be. */
static int check_label(const struct drawing_order *order, struct problem *problem)
{
    if (order->label > order->model->formulation->architecture.n_labels)
        return problem_set(problem, 422, "the model has no label %d", order->label);
    if (drawing_order_evaluations(order) > order->model->nfe_max)
        return problem_set(problem, 422, "so many evaluations are not allowed here: at most %d",
                           order->model->nfe_max);
    return 0;
}

static int start(struct verification *v, struct engine_model *model, struct problem *problem)
{
    const struct samples_limits *limits = admission_limits(v->daemon->admission);
    struct drawing_order order = {
        .request_id = exchange_id(v->exchange),
        .payer = exchange_key(v->exchange),
        .model = model,
        .label = v->claimed.label,
        .guidance = v->claimed.guidance,
        .n = 1,
        .timeout_ms = limits->timeout_max_ms,
        .stop_after = v->claimed.nfe_done < v->claimed.nfe ? v->claimed.nfe_done : 0,
        .client = &client,
        .owner = v,
    };

    drawing_order_seeds(&order, v->claimed.seed, v->claimed.seed_b, v->claimed.mix);
    if (choose_sampling(model, &v->claimed, &order.sampling, problem) < 0 ||
        check_label(&order, problem) < 0 ||
        drawings_begin(v->daemon->drawings, &order, &v->drawing, problem) < 0)
        return -EINVAL;
    exchange_on_gone(v->exchange, on_gone, v);
    return 0;
}

static void answer_unknown(struct exchange *x, const struct provenance *p)
{
    json_t *root = json_pack("{s:s, s:s, s:s}", "match", "unknown model", "model", p->model,
                             "checkpoint", p->checkpoint);

    exchange_respond_json(x, 200, json_memory_dump(root, JSON_COMPACT));
}

void verify_begin(struct daemon *d, struct exchange *x)
{
    const char *type = exchange_header(x, "Content-Type");
    struct problem problem = {0};

    if (!type || strcasecmp(type, "image/png") != 0) {
        problem_set(&problem, 415,
                    "the body must be a PNG and be sent with Content-Type: image/png");
    } else if (!exchange_expect_upload(x, LIMITS_UPLOAD_BYTES, &d->n_uploads, LIMITS_UPLOADS)) {
        problem_set(&problem, 503, "too many files come in at the same time");
    }
    if (problem.status)
        exchange_respond_problem(x, &problem);
}

void verify_handle(struct daemon *d, struct exchange *x)
{
    struct verification *v = calloc(1, sizeof(*v));
    struct engine_model *model = NULL;
    struct problem problem = {0};

    if (!v) {
        problem_set(&problem, 503, "out of memory");
    } else {
        v->daemon = d;
        v->exchange = x;
        v->png = exchange_take_body(x, &v->png_bytes);
        if (provenance_read(v->png, v->png_bytes, &v->claimed, &problem) == 0)
            model = find_model(d, &v->claimed);
    }
    if (!problem.status && !model)
        answer_unknown(x, &v->claimed);
    else if (!problem.status && start(v, model, &problem) == 0)
        return;
    if (problem.status)
        exchange_respond_problem(x, &problem);
    if (v)
        release(v);
}
