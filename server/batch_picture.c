/* One image of a batch for who asks: from the store where it is kept there; else by its address, where it is drawn
 * again. Those of restorations have no address, and are drawn again here, as work for which somebody waits, and nobody pays: that was done when the batch was taken
 * on. */
#include "server/batch_parts.h"

#include "api/permalink.h"
#include "config/settings.h"
#include "model/restoration.h"
#include "server/admission.h"
#include "server/daemon.h"
#include "server/drawing.h"
#include "server/engine_model.h"
#include "server/exchange.h"
#include "server/models.h"
#include "server/picture_cache.h"
#include "server/shared_bytes.h"

#include <stdlib.h>
#include <string.h>

struct picture {
    struct batches *all;
    struct exchange *exchange;     /* NULL: answered, or gone */
    struct job_record record;      /* as it was */
    struct samples_response order; /* its strings are the record's */
    struct sampling_choice sampling;
    struct engine_model *model; /* held; NULL: none draws it */
    int i;
    uint8_t key[PERMALINK_KEY_BYTES];
    struct restoring *restoring;
    struct drawing *drawing;
    uint8_t *png; /* owned until it is shared */
    size_t size;
    bool with_store, with_drawing; /* who still holds it */
};

static const struct problem no_memory = {.status = 503, .detail = "out of memory"};

static void settle(struct picture *p)
{
    if (p->with_store || p->with_drawing || p->restoring || p->exchange)
        return;
    if (p->model)
        models_release(p->all->daemon->models, p->model);
    free(p->png);
    free(p);
}

static struct exchange *leave(struct picture *p)
{
    struct exchange *x = p->exchange;

    p->exchange = NULL;
    return x;
}

static void on_gone(void *arg)
{
    struct picture *p = arg;

    leave(p);
    restoring_drop(p->restoring);
    p->restoring = NULL;
    if (p->drawing)
        drawing_cancel(p->drawing);
    p->drawing = NULL;
    settle(p);
}

static void refuse(struct picture *p, const struct problem *problem)
{
    exchange_respond_problem(leave(p), problem);
    settle(p);
}

static void send_bytes(struct picture *p, uint8_t *png, size_t size)
{
    exchange_respond(leave(p), 200, "image/png", png, size, png);
    settle(p);
}

/* Drawing it again */

static int encode(void *owner, const struct samples_response *images, struct error *err)
{
    struct picture *p = owner;

    return samples_response_png(images, 0, &p->png, &p->size, err);
}

static void done(void *owner, const struct problem *problem)
{
    struct picture *p = owner;
    struct shared_bytes *png;

    p->drawing = NULL;
    if (problem) {
        refuse(p, problem);
        return;
    }
    png = shared_bytes_create(p->png, p->size);
    p->png = NULL;
    if (!png) {
        refuse(p, &no_memory);
        return;
    }
    picture_cache_put(p->all->daemon->cache, p->key, png);
    exchange_respond_shared(leave(p), 200, "image/png", png);
    shared_bytes_release(png);
    settle(p);
}

static void release(void *owner)
{
    struct picture *p = owner;

    p->with_drawing = false;
    settle(p);
}

static const struct drawing_client client = {.encode = encode, .done = done, .release = release};

static void on_restoration(void *arg, struct restoration *r, const struct problem *problem)
{
    struct picture *p = arg;
    struct daemon *d = p->all->daemon;
    struct problem why = {0};
    struct drawing_order order = {
        .request_id = exchange_id(p->exchange),
        .model = p->model,
        .sampling = p->sampling,
        .label = p->record.label,
        .guidance = p->record.guidance,
        .seed = p->record.seed + (uint64_t)p->i,
        .n = 1,
        .timeout_ms = admission_limits(d->admission)->timeout_max_ms,
        .restoration = r,
        .restored = &p->record.restored,
        .client = &client,
        .owner = p,
    };

    p->restoring = NULL;
    if (problem) {
        refuse(p, problem);
        return;
    }
    if (drawings_begin(d->drawings, &order, &p->drawing, &why) < 0) {
        restoration_destroy(r);
        refuse(p, &why);
        return;
    }
    p->with_drawing = true;
}

static void draw_again(struct picture *p)
{
    static const struct problem nobody =
        {.status = 404,
         .detail = "the job's model is not served any more, or not with its determinism id"};
    struct problem problem = {0};

    if (!p->model) {
        refuse(p, &nobody);
        return;
    }
    if (strcmp(exchange_method(p->exchange), "HEAD") == 0) {
        exchange_respond_head(leave(p), 200, "image/png");
        settle(p);
        return;
    }
    p->restoring = restoring_begin(p->all, &p->record, p->model, on_restoration, p);
    if (!p->restoring) {
        problem_set(&problem, 503, "out of memory");
        refuse(p, &problem);
    }
}

/* Where it is */

static void find_elsewhere(struct picture *p)
{
    char address[PERMALINK_BYTES];
    struct shared_bytes *kept = NULL;

    if (!p->order.restoration) {
        permalink_write(&p->order, p->i, address);
        exchange_add_header(p->exchange, "Location", address);
        exchange_respond_empty(leave(p), 303);
        settle(p);
        return;
    }
    if (p->model)
        kept = picture_cache_find(p->all->daemon->cache, p->key);
    if (!kept) {
        draw_again(p);
        return;
    }
    exchange_respond_shared(leave(p), 200, "image/png", kept);
    settle(p);
}

static void on_looked_up(struct job_op *op)
{
    struct picture *p = op->arg;

    p->with_store = false;
    if (!p->exchange) {
        settle(p);
    } else if (op->rc == 0) {
        send_bytes(p, op->bytes, op->size);
        op->bytes = NULL;
    } else { /* it may be drawn again */
        find_elsewhere(p);
    }
}

/* The model that draws the same bytes, where it has to. */
static void find_model(struct picture *p)
{
    const char *id = models_determinism(p->all->daemon->models);

    if (!p->order.restoration || strcmp(p->record.determinism, id) != 0)
        return;
    p->model = batch_find_model(p->all, &p->record, &p->sampling);
    if (!p->model)
        return;
    models_hold(p->model);
    p->order.precision = p->model->precision;
    permalink_key(&p->order, p->i, p->key);
}

void batch_picture(struct batch *b, int i, struct exchange *x)
{
    bool kept = b->all->daemon->settings->keep_results_bytes > 0;
    struct picture *p = calloc(1, sizeof(*p));
    struct job_op *op = kept ? job_op_create(JOB_PICTURE, on_looked_up, p) : NULL;

    if (!p || (kept && !op)) {
        free(p);
        job_op_destroy(op);
        exchange_respond_problem(x, &no_memory);
        return;
    }
    p->all = b->all;
    p->exchange = x;
    p->record = b->record;
    p->i = i;
    batch_describe_record(&p->record, &p->order);
    find_model(p);
    exchange_on_gone(x, on_gone, p);
    if (!op) {
        find_elsewhere(p);
        return;
    }
    memcpy(op->record.id, p->record.id, sizeof(op->record.id));
    op->first = i;
    p->with_store = true;
    job_store_submit(b->all->store, op);
}
