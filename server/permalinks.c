#include "server/permalinks.h"

#include "api/permalink.h"
#include "api/problem.h"
#include "api/response.h"
#include "config/settings.h"
#include "engine/base/error.h"
#include "server/admission.h"
#include "server/daemon.h"
#include "server/drawing.h"
#include "server/exchange.h"
#include "server/picture_cache.h"
#include "server/selection.h"
#include "server/shared_bytes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct permalinks {
    struct daemon *daemon;
    struct flight *flights; /* that can be joined */
    struct permalinks_stats stats;
};

/* A drawing, and all who wait for it. */
struct flight {
    struct permalinks *all;
    struct flight *next;
    uint8_t key[PERMALINK_KEY_BYTES];
    struct drawing *drawing;
    struct waiter *waiters;
    uint8_t *png; /* owned until it is shared */
    size_t png_bytes;
};

struct waiter {
    struct flight *flight;
    struct waiter *next;
    struct exchange *exchange;
};

static void leave_list(struct flight *f)
{
    struct flight **link = &f->all->flights;

    while (*link && *link != f)
        link = &(*link)->next;
    if (*link)
        *link = f->next;
}

static int encode(void *owner, const struct samples_response *images, struct error *err)
{
    struct flight *f = owner;

    return samples_response_png(images, 0, &f->png, &f->png_bytes, err);
}

static void answer(struct waiter *w, const struct problem *problem, struct shared_bytes *png)
{
    static const struct problem no_memory = {.status = 503, .detail = "out of memory"};
    struct exchange *x = w->exchange;

    free(w);
    if (png) {
        exchange_respond_shared(x, 200, "image/png", png);
        return;
    }
    exchange_drop_headers(x);
    exchange_respond_problem(x, problem ? problem : &no_memory);
}

static void done(void *owner, const struct problem *problem)
{
    struct flight *f = owner;
    struct shared_bytes *png = NULL;
    struct waiter *w, *next;

    leave_list(f);
    if (!problem) {
        png = shared_bytes_create(f->png, f->png_bytes);
        f->png = NULL;
    }
    if (png)
        picture_cache_put(f->all->daemon->cache, f->key, png);
    for (w = f->waiters; w; w = next) {
        next = w->next;
        answer(w, problem, png);
    }
    f->waiters = NULL;
    shared_bytes_release(png);
}

static void release(void *owner)
{
    struct flight *f = owner;

    free(f->png);
    free(f);
}

static const struct drawing_client client = {.encode = encode, .done = done, .release = release};

static void on_gone(void *arg)
{
    struct waiter *w = arg;
    struct flight *f = w->flight;
    struct waiter **link = &f->waiters;

    while (*link != w)
        link = &(*link)->next;
    *link = w->next;
    free(w);
    if (f->waiters)
        return;
    leave_list(f);
    drawing_cancel(f->drawing);
}

static int join(struct flight *f, struct exchange *x, struct problem *problem)
{
    struct waiter *w = calloc(1, sizeof(*w));

    if (!w)
        return problem_set(problem, 503, "out of memory");
    w->flight = f;
    w->exchange = x;
    w->next = f->waiters;
    f->waiters = w;
    exchange_on_gone(x, on_gone, w);
    return 0;
}

static int take_off(struct permalinks *p, const uint8_t *key, struct drawing_order *order,
                    struct flight **out, struct problem *problem)
{
    struct flight *f = calloc(1, sizeof(*f));

    if (!f)
        return problem_set(problem, 503, "out of memory");
    f->all = p;
    memcpy(f->key, key, sizeof(f->key));
    order->client = &client;
    order->owner = f;
    if (drawings_begin(p->daemon->drawings, order, &f->drawing, problem) < 0) {
        free(f);
        return -EINVAL;
    }
    f->next = p->flights;
    p->flights = f;
    *out = f;
    return 0;
}

static void get(struct permalinks *p, struct exchange *x, const uint8_t *key,
                struct drawing_order *order)
{
    struct shared_bytes *png = picture_cache_find(p->daemon->cache, key);
    struct problem problem = {0};
    struct flight *f = p->flights;

    if (png) {
        p->stats.hits++;
        exchange_add_header(x, "Server-Timing", "cache;desc=hit");
        exchange_respond_shared(x, 200, "image/png", png);
        return;
    }
    while (f && memcmp(f->key, key, sizeof(f->key)) != 0)
        f = f->next;
    *(f ? &p->stats.merged : &p->stats.misses) += 1;
    exchange_add_header(x, "Server-Timing", f ? "cache;desc=merged" : "cache;desc=miss");
    if ((!f && take_off(p, key, order, &f, &problem) < 0) || join(f, x, &problem) < 0) {
        exchange_drop_headers(x);
        exchange_respond_problem(x, &problem);
        if (f && !f->waiters) {
            leave_list(f);
            drawing_cancel(f->drawing);
        }
    }
}

static void head(struct permalinks *p, struct exchange *x, const uint8_t *key)
{
    struct shared_bytes *png = picture_cache_find(p->daemon->cache, key);

    if (png)
        exchange_respond_shared(x, 200, "image/png", png);
    else
        exchange_respond_head(x, 200, "image/png");
}

/* Whether the address names all that the bytes depend on. */
static bool is_pinned(const struct permalink *link, const struct samples_request *wanted)
{
    return *link->checkpoint && *wanted->determinism && *wanted->sampler && wanted->nfe > 0;
}

/* Where keys are needed, what is kept for all would be for those without one, too. */
static const char *cache_control(const struct permalinks *p, bool pinned)
{
    if (!pinned)
        return "no-cache";
    return *p->daemon->settings->api_key_file ? "private, max-age=31536000, immutable"
                                              : "public, max-age=31536000, immutable";
}

static void serve(struct permalinks *p, struct exchange *x, bool pinned,
                  struct drawing_order *order)
{
    uint8_t key[PERMALINK_KEY_BYTES];
    char etag[PERMALINK_ETAG_BYTES], address[PERMALINK_BYTES], seed[24];
    struct samples_response image;

    drawings_describe(p->daemon->drawings, order, &image);
    permalink_key(&image, 0, key);
    permalink_etag(key, etag);
    exchange_add_header(x, "ETag", etag);
    if (!pinned) {
        permalink_write(&image, 0, address);
        exchange_add_header(x, "Content-Location", address);
    }
    exchange_set_cache_control(x, cache_control(p, pinned));
    snprintf(seed, sizeof(seed), "%" PRIu64, order->seed);
    exchange_add_header(x, "X-Seed", seed);
    if (permalink_matches(exchange_header(x, "If-None-Match"), etag))
        exchange_respond_empty(x, 304);
    else if (strcmp(exchange_method(x), "HEAD") == 0)
        head(p, x, key);
    else
        get(p, x, key, order);
}

void permalinks_handle(struct daemon *d, struct exchange *x)
{
    const struct samples_limits *limits = admission_limits(d->admission);
    struct problem problem = {0};
    struct selection chosen = {.model = NULL};
    struct permalink link;
    struct drawing_order order;

    if (permalink_parse(exchange_path(x), &link) < 0)
        problem_set(&problem, 404,
                    "an image's address is /v1/models/MODEL/samples/SEED.png, where MODEL may end "
                    "with @ and 12 or more digits of the checkpoint's SHA-256");
    if (problem.status || selection_read_permalink(d->models, limits, &link, exchange_query(x),
                                                   &chosen, &problem) < 0) {
        exchange_respond_problem(x, &problem);
        return;
    }
    order = (struct drawing_order){
        .request_id = exchange_id(x),
        .payer = exchange_key(x),
        .model = chosen.model,
        .sampling = chosen.sampling,
        .label = chosen.label,
        .guidance = chosen.guidance,
        .n = 1,
        .timeout_ms = chosen.request.timeout_ms,
    };
    drawing_order_seeds(&order, link.seed, chosen.request.seed_b, chosen.request.mix);
    serve(d->permalinks, x, is_pinned(&link, &chosen.request), &order);
}

void permalinks_stats(const struct permalinks *p, struct permalinks_stats *out)
{
    *out = p->stats;
}

int permalinks_create(struct daemon *d, struct permalinks **out, struct error *err)
{
    struct permalinks *p = calloc(1, sizeof(*p));

    if (!p)
        return error_set(err, -ENOMEM, "out of memory");
    p->daemon = d;
    *out = p;
    return 0;
}

void permalinks_destroy(struct permalinks *p)
{
    free(p);
}
