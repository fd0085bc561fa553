/* An inference lives as long as one of its drawings does. */
#include "server/kserve_infer.h"

#include "api/kserve_request.h"
#include "api/kserve_response.h"
#include "api/problem.h"
#include "api/response.h"
#include "server/admission.h"
#include "server/daemon.h"
#include "server/drawing.h"
#include "server/exchange.h"
#include "server/kserve.h"
#include "server/models.h"
#include "server/selection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct part {
    struct inference *inference;
    struct drawing *drawing; /* NULL: done, or cancelled */
    int number;
};

struct inference {
    struct daemon *daemon;
    struct exchange *exchange; /* NULL: answered or gone */
    struct kserve_request request;
    struct selection chosen;        /* whose model is held */
    struct samples_response images; /* of any part */
    int n, n_waiting, n_held;       /* parts: all, not done, and whose drawings there are */
    struct part parts[LIMITS_IMAGES_MAX];
    struct kserve_piece pieces[LIMITS_IMAGES_MAX][KSERVE_OUTPUTS];
};

static void destroy(struct inference *in)
{
    models_release(in->daemon->models, in->chosen.model);
    for (int i = 0; i < in->n; i++)
        kserve_pieces_free(in->pieces[i]);
    free(in);
}

static void cancel_all(struct inference *in)
{
    struct drawing *drawing;

    for (int i = 0; i < in->n; i++) {
        drawing = in->parts[i].drawing;
        in->parts[i].drawing = NULL;
        if (drawing)
            drawing_cancel(drawing);
    }
}

static void on_gone(void *arg)
{
    struct inference *in = arg;

    in->exchange = NULL;
    cancel_all(in);
}

/* The drawings' client */

static int encode(void *owner, const struct samples_response *images, struct error *err)
{
    struct part *p = owner;

    return kserve_pieces_encode(&p->inference->request, images, p->inference->pieces[p->number],
                                err);
}

static void answer(struct inference *in)
{
    struct problem problem = {0};
    size_t size, json_size;
    char *body, text[24];

    if (kserve_response_join(&in->request, &in->images, in->pieces, in->n, &body, &size,
                             &json_size) < 0) {
        problem_set(&problem, 503, "out of memory");
        exchange_respond_problem(in->exchange, &problem);
        return;
    }
    if (json_size > 0) {
        snprintf(text, sizeof(text), "%zu", json_size);
        exchange_add_header(in->exchange, "Inference-Header-Content-Length", text);
    }
    exchange_respond(in->exchange, 200,
                     json_size > 0 ? "application/octet-stream" : "application/json", body, size,
                     body);
}

static void done(void *owner, const struct problem *problem)
{
    struct part *p = owner;
    struct inference *in = p->inference;

    p->drawing = NULL;
    in->n_waiting--;
    if (!in->exchange)
        return;
    if (problem)
        exchange_respond_problem(in->exchange, problem);
    else if (in->n_waiting == 0)
        answer(in);
    else
        return;
    in->exchange = NULL;
    cancel_all(in);
}

static void release(void *owner)
{
    const struct part *p = owner;
    struct inference *in = p->inference;

    if (--in->n_held == 0)
        destroy(in);
}

static const struct drawing_client client = {.encode = encode, .done = done, .release = release};

/* Beginning */

/* How many seeds from the first on follow each other. */
static int run_length(const uint64_t *seeds, int n)
{
    int i = 1;

    while (i < n && seeds[i] == seeds[0] + (uint64_t)i)
        i++;
    return i;
}

/* All parts, or none: then with the problem. */
static int begin_parts(struct inference *in, struct problem *problem)
{
    const struct kserve_request *r = &in->request;
    struct drawing_order order = {
        .request_id = exchange_id(in->exchange),
        .payer = exchange_key(in->exchange),
        .model = in->chosen.model,
        .sampling = in->chosen.sampling,
        .label = in->chosen.label,
        .guidance = in->chosen.guidance,
        .timeout_ms = r->timeout_ms,
        .priority = r->background ? PRIORITY_BACKGROUND : PRIORITY_INTERACTIVE,
        .client = &client,
    };
    int rc = 0;

    in->n_held = 1; /* until all have begun */
    for (int first = 0; first < r->n && rc == 0; first += order.n) {
        struct part *p = &in->parts[in->n];

        *p = (struct part){.inference = in, .number = in->n};
        order.owner = p;
        order.seed = r->seeds[first];
        order.n = run_length(r->seeds + first, r->n - first);
        rc = drawings_begin(in->daemon->drawings, &order, &p->drawing, problem);
        if (rc < 0)
            break;
        in->n++;
        in->n_waiting++;
        in->n_held++;
    }
    if (rc < 0)
        cancel_all(in);
    else
        drawings_describe(in->daemon->drawings, &order, &in->images);
    return rc;
}

static int start(struct daemon *d, struct exchange *x, const struct kserve_request *request,
                 const struct selection *chosen, struct problem *problem)
{
    struct inference *in = calloc(1, sizeof(*in));
    int rc;

    if (!in)
        return problem_set(problem, 503, "out of memory");
    in->daemon = d;
    in->exchange = x;
    in->request = *request;
    in->chosen = *chosen;
    models_hold(in->chosen.model);
    rc = begin_parts(in, problem);
    if (rc < 0)
        in->exchange = NULL;
    else
        exchange_on_gone(x, on_gone, in);
    if (--in->n_held == 0)
        destroy(in);
    return rc;
}

void kserve_infer(struct daemon *d, struct exchange *x)
{
    const struct samples_limits *limits = admission_limits(d->admission);
    struct selection chosen = {.model = NULL};
    struct kserve_request request;
    struct problem problem = {0};
    char name[KSERVE_MODEL_BYTES];
    const char *body;
    size_t size;

    kserve_name_model(x, name);
    body = exchange_body(x, &size);
    if (!*name || selection_find_model(d->models, name, &chosen.model, &problem) < 0) {
        problem_set(&problem, 404, "%s", *name ? problem.detail : "there is no such model");
    } else if (kserve_request_parse(exchange_header(x, "Inference-Header-Content-Length"), body,
                                    size, limits, &request, &problem) == 0) {
        snprintf(chosen.request.model, sizeof(chosen.request.model), "%s", name);
        memcpy(chosen.request.sampler, request.sampler, sizeof(request.sampler));
        chosen.request.nfe = request.nfe;
        chosen.request.label = request.label;
        memcpy(chosen.request.label_name, request.label_name, sizeof(request.label_name));
        chosen.request.guidance = request.guidance;
        chosen.request.n = request.n;
        if (selection_choose(d->models, REQUEST_SAMPLES, &chosen, &problem) == 0)
            start(d, x, &request, &chosen, &problem);
    }
    if (problem.status)
        exchange_respond_problem(x, &problem);
}
