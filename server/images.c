#include "server/images.h"

#include "api/image_events.h"
#include "api/images.h"
#include "api/permalink.h"
#include "api/problem.h"
#include "api/response.h"
#include "server/admission.h"
#include "server/daemon.h"
#include "server/drawing.h"
#include "server/events.h"
#include "server/exchange.h"
#include "server/picture_cache.h"
#include "server/samples.h"
#include "server/selection.h"
#include "server/shared_bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* An exchange that waits for its images. */
struct generation {
    struct daemon *daemon;
    struct exchange *exchange;
    struct drawing *drawing;
    struct images_form form;
    int n;
    char *answer; /* owned until it is sent */
    struct {
        uint8_t key[PERMALINK_KEY_BYTES];
    } keys[LIMITS_IMAGES_MAX];
    struct images_png pngs[LIMITS_IMAGES_MAX]; /* owned until they are shared */
};

static int encode(void *owner, const struct samples_response *images, struct error *err)
{
    struct generation *g = owner;

    for (int i = 0; i < images->n; i++)
        permalink_key(images, i, g->keys[i].key);
    return images_response_encode(images, &g->form, g->pngs, &g->answer, err);
}

static void keep(struct generation *g)
{
    struct shared_bytes *png;

    for (int i = 0; i < g->n; i++) {
        png = shared_bytes_create(g->pngs[i].bytes, g->pngs[i].size);
        g->pngs[i].bytes = NULL;
        if (png)
            picture_cache_put(g->daemon->cache, g->keys[i].key, png);
        shared_bytes_release(png);
    }
}

static void done(void *owner, const struct problem *problem)
{
    struct generation *g = owner;
    char *answer = g->answer;

    if (problem) {
        exchange_respond_problem(g->exchange, problem);
        return;
    }
    keep(g);
    g->answer = NULL;
    exchange_respond_json(g->exchange, 200, answer);
}

static void release(void *owner)
{
    struct generation *g = owner;

    for (int i = 0; i < g->n; i++)
        free(g->pngs[i].bytes);
    free(g->answer);
    free(g);
}

static const struct drawing_client client = {.encode = encode, .done = done, .release = release};

static void on_gone(void *arg)
{
    struct generation *g = arg;

    drawing_cancel(g->drawing);
}

/* As the client sees this daemon. */
static void read_origin(const struct exchange *x, char out[IMAGES_ORIGIN_BYTES])
{
    const char *host = exchange_header(x, "Host");

    snprintf(out, IMAGES_ORIGIN_BYTES, "http%s://%.255s", exchange_is_secure(x) ? "s" : "",
             host ? host : "");
    if (!host) /* HTTP/1.0: relative addresses */
        *out = '\0';
}

static int start(struct daemon *d, struct exchange *x, const struct selection *chosen,
                 struct problem *problem)
{
    const struct samples_request *wanted = &chosen->request;
    struct generation *g = calloc(1, sizeof(*g));
    struct drawing_order order = samples_order(chosen, x);
    int rc;

    if (!g)
        return problem_set(problem, 503, "out of memory");
    order.client = &client;
    order.owner = g;
    g->daemon = d;
    g->exchange = x;
    g->n = wanted->n;
    g->form.format = (enum request_format)wanted->format;
    g->form.ignored = wanted->ignored;
    g->form.created_s = (int64_t)time(NULL);
    read_origin(x, g->form.origin);
    rc = drawings_begin(d->drawings, &order, &g->drawing, problem);
    if (rc < 0) {
        free(g);
        return rc;
    }
    exchange_on_gone(x, on_gone, g);
    if (wanted->finish)
        exchange_expect_half_close(x);
    return 0;
}

/* Evenly over the evaluations, with the image itself at their end. */
static int n_previews(const struct samples_request *wanted, int nfe, int done)
{
    int n = done * (wanted->partial_images + 1) / nfe;

    return n < wanted->partial_images ? n : wanted->partial_images;
}

static const struct events_form events = {.failed = image_events_of_problem,
                                          .add_preview = image_events_add_partial,
                                          .completed = image_events_of_images,
                                          .n_previews = n_previews};

void images_handle(struct daemon *d, struct exchange *x)
{
    struct problem problem = {0};
    struct selection chosen = {.model = NULL};
    const char *body;
    size_t size;

    body = exchange_body(x, &size);
    if (selection_read(d->models, REQUEST_IMAGES, admission_limits(d->admission), body, size,
                       &chosen, &problem) < 0 ||
        (chosen.request.stream ? events_start(d, x, &chosen, &events, &problem)
                               : start(d, x, &chosen, &problem)) < 0)
        exchange_respond_problem(x, &problem);
}
