/* How batches are drawn: piece by piece. */
#include "server/batch_parts.h"

#include "api/permalink.h"
#include "config/settings.h"
#include "engine/base/error.h"
#include "model/restoration.h"
#include "server/daemon.h"
#include "server/drawing.h"
#include "server/engine_model.h"
#include "server/picture_cache.h"
#include "server/shared_bytes.h"

#include <stdlib.h>
#include <string.h>

enum {
    PIECE_IMAGES = 16,
    PIECE_MS = 86400 * 1000, /* that a piece may take */
    WRITES_MAX = 2,          /* under way; a store that cannot be reached stops the drawing */
};

/* Some images of a batch, which may end before the piece does. */
struct piece {
    struct batch *batch; /* NULL: it has ended */
    struct batches *all;
    struct drawing *drawing;
    int n, steps; /* images, and evaluations of theirs that are told */
    struct {
        uint8_t key[PERMALINK_KEY_BYTES];
        uint8_t *png; /* owned until it is shared */
        size_t size;
    } images[PIECE_IMAGES];
};

static int encode(void *owner, const struct samples_response *images, struct error *err)
{
    struct piece *p = owner;
    int rc = 0;

    for (int i = 0; i < images->n && rc == 0; i++) {
        permalink_key(images, i, p->images[i].key);
        rc = samples_response_png(images, i, &p->images[i].png, &p->images[i].size, err);
    }
    return rc;
}

/* Of its place in the queue nobody is told. */
static void on_progress(void *owner, int evaluations, int place)
{
    struct piece *p = owner;

    p->steps = evaluations;
    if (p->batch && evaluations > 0)
        batch_tell_progress(p->batch);
}

/* Into the cache, and into the store where it keeps them. */
static void keep(struct piece *p)
{
    struct shared_bytes *pngs[PIECE_IMAGES];
    struct batch *b = p->batch;
    int n = 0;

    for (int i = 0; i < p->n; i++) {
        pngs[n] = shared_bytes_create(p->images[i].png, p->images[i].size);
        p->images[i].png = NULL;
        if (!pngs[n])
            continue;
        picture_cache_put(p->all->daemon->cache, p->images[i].key, pngs[n]);
        n++;
    }
    if (n < p->n || p->all->daemon->settings->keep_results_bytes == 0) {
        for (int i = 0; i < n; i++)
            shared_bytes_release(pngs[i]);
        n = 0;
    }
    if (b->record.n_done < b->record.n || n > 0)
        batch_write(b, pngs, n);
    for (int i = 0; i < n; i++)
        shared_bytes_release(pngs[i]);
}

static void done(void *owner, const struct problem *problem)
{
    struct piece *p = owner;
    struct batch *b = p->batch;

    b->piece = NULL;
    if (problem && b->all->stopped && b->all->durable)
        return; /* it goes on with the next start, or elsewhere */
    if (problem && problem->status == 503 && !b->all->stopped)
        return; /* no memory: it is drawn again with the next look */
    if (problem) {
        batch_end(b, JOB_FAILED, problem);
        return;
    }
    b->record.n_done += p->n;
    keep(p);
    batch_go_on(b);
}

static void release(void *owner)
{
    struct piece *p = owner;

    for (int i = 0; i < p->n; i++)
        free(p->images[i].png);
    free(p);
}

static const struct drawing_client client = {.encode = encode,
                                             .progress = on_progress,
                                             .done = done,
                                             .release = release};

static void on_restoration(void *arg, struct restoration *r, const struct problem *problem)
{
    struct batch *b = arg;

    b->restoring = NULL;
    b->restoration = r;
    if (problem && problem->status != 503)
        batch_end(b, JOB_FAILED, problem);
    else if (!problem)
        batch_go_on(b);
}

/* Whether there is what leads the next piece, if something has to; else it is made. */
static bool is_led(struct batch *b)
{
    if (!b->order.restoration || b->restoration)
        return true;
    if (!b->restoring)
        b->restoring = restoring_begin(b->all, &b->record, b->model, on_restoration, b);
    return false;
}

/* Where there is no room for it now, it is tried again with the next look. */
static void begin_piece(struct batch *b)
{
    int left = b->record.n - b->record.n_done;
    int most = b->model->n_max;
    struct piece *p = calloc(1, sizeof(*p));
    struct problem problem = {0};
    struct drawing_order order = {
        .request_id = b->record.id,
        .model = b->model,
        .sampling = b->sampling,
        .label = b->record.label,
        .guidance = b->record.guidance,
        .seed = b->record.seed + (uint64_t)b->record.n_done,
        .seed_b = b->record.mix > 0 ? b->record.seed_b + (uint64_t)b->record.n_done : 0,
        .mix = b->record.mix,
        .restoration = b->restoration,
        .restored = b->order.restoration,
        .timeout_ms = PIECE_MS,
        .priority = PRIORITY_BACKGROUND,
        .client = &client,
        .owner = p,
    };

    if (!p)
        return;
    most = most < PIECE_IMAGES ? most : PIECE_IMAGES;
    p->n = order.n = left < most ? left : most;
    p->all = b->all;
    p->batch = b;
    if (drawings_begin(b->all->daemon->drawings, &order, &p->drawing, &problem) < 0) {
        free(p);
        return;
    }
    b->restoration = NULL; /* the drawing's */
    b->piece = p;
    if (b->begun_ns == 0)
        b->begun_ns = uv_hrtime();
    if (b->state == JOB_QUEUED) {
        b->state = b->record.state = JOB_IN_PROGRESS;
        batch_write(b, NULL, 0);
    }
}

void batch_go_on(struct batch *b)
{
    static const struct problem ending = {.status = 503,
                                          .detail = "the daemon is shutting down; ask another one"};

    if (b->piece || b->ending || !b->stored || !b->held)
        return;
    if (b->record.n_done >= b->record.n)
        batch_end(b, JOB_COMPLETED, NULL);
    else if (b->all->stopped && !b->all->durable)
        batch_end(b, JOB_FAILED, &ending);
    else if (!b->all->stopped && b->n_writes < WRITES_MAX && is_led(b))
        begin_piece(b);
}

int batch_piece_steps(const struct batch *b)
{
    return b->piece ? b->piece->steps : 0;
}

void batch_piece_describe(const struct batch *b, struct batch_previews_piece *out)
{
    *out = (struct batch_previews_piece){.n = 0};
    if (!b->piece)
        return;
    *out = (struct batch_previews_piece){.model = b->model,
                                         .progress = drawing_progress(b->piece->drawing),
                                         .seed = b->record.seed,
                                         .first = b->record.n_done,
                                         .n = b->piece->n,
                                         .nfe = b->record.nfe};
}

void batch_drop_piece(struct batch *b)
{
    struct piece *p = b->piece;

    restoring_drop(b->restoring);
    restoration_destroy(b->restoration);
    b->restoring = NULL;
    b->restoration = NULL;
    if (!p)
        return;
    p->batch = NULL;
    b->piece = NULL;
    drawing_cancel(p->drawing);
}
