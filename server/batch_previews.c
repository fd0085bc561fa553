#include "server/batch_previews.h"

#include "api/events.h"
#include "api/response.h"
#include "server/engine_model.h"
#include "server/exchange_stream.h"
#include "server/progress.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIECE_IMAGES_MAX = 64,
    NO_ID = -1, /* one encoded late would be behind those that came meanwhile */
};

/* Pictures on their way to the stream. */
struct work {
    uv_work_t work;
    struct batch_previews *owner; /* NULL: the stream has ended */
    int *n_on_pool;               /* of the daemon */
    struct samples_response images;
    int n;
    struct {
        int image, done;
    } due[PIECE_IMAGES_MAX];
    char *text;       /* owned */
    uint8_t pixels[]; /* [n, 2, bytes of an image]: x, predicted */
};

struct batch_previews {
    uv_loop_t *loop;
    int *n_on_pool;
    struct exchange *exchange;
    int every;
    struct work *work;           /* NULL: nothing is on the pool */
    int first;                   /* of the piece that was looked at last */
    int shown[PIECE_IMAGES_MAX]; /* evaluations of its images when they were shown */
};

struct batch_previews *batch_previews_create(uv_loop_t *loop, int *n_on_pool, struct exchange *x,
                                             int every)
{
    struct batch_previews *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->loop = loop;
    p->n_on_pool = n_on_pool;
    p->exchange = x;
    p->every = every;
    p->first = -1;
    return p;
}

void batch_previews_destroy(struct batch_previews *p)
{
    if (!p)
        return;
    if (p->work)
        p->work->owner = NULL;
    free(p);
}

static void encode(uv_work_t *work)
{
    struct work *w = work->data;
    size_t bytes =
        (size_t)w->images.side_px * (size_t)w->images.side_px * (size_t)w->images.channels;

    for (int i = 0; i < w->n; i++) {
        const uint8_t *x = w->pixels + (size_t)i * 2 * bytes;

        events_add_preview(&w->images, w->due[i].image, NO_ID, w->due[i].done, x, x + bytes,
                           &w->text);
    }
}

static void on_encoded(uv_work_t *work, int status)
{
    struct work *w = work->data;

    --*w->n_on_pool;
    if (w->owner) {
        w->owner->work = NULL;
        if (w->text)
            exchange_stream_write(w->owner->exchange, w->text, strlen(w->text));
    }
    free(w->text);
    free(w);
}

/* Which images are due; returns how many. */
static int find_due(const struct batch_previews *p, const struct batch_previews_piece *piece,
                    bool due[PIECE_IMAGES_MAX])
{
    int n_due = 0, done;

    for (int i = 0; i < piece->n; i++) {
        done = progress_read(piece->progress, i, NULL, NULL);
        due[i] = done < piece->nfe && done / p->every > p->shown[i] / p->every;
        n_due += due[i];
    }
    return n_due;
}

void batch_previews_look(struct batch_previews *p, const struct batch_previews_piece *piece)
{
    const struct engine_model *model = piece->model;
    size_t bytes = (size_t)model->side_px * (size_t)model->side_px * (size_t)model->channels;
    bool due[PIECE_IMAGES_MAX];
    struct work *w;
    int n_due;

    if (piece->n > PIECE_IMAGES_MAX || p->work)
        return;
    if (p->first != piece->first)
        memset(p->shown, 0, sizeof(p->shown));
    p->first = piece->first;
    n_due = find_due(p, piece, due);
    w = n_due > 0 ? malloc(sizeof(*w) + (size_t)n_due * 2 * bytes) : NULL;
    if (!w)
        return;
    *w = (struct work){.owner = p, .n_on_pool = p->n_on_pool};
    w->images.side_px = model->side_px;
    w->images.channels = model->channels;
    w->images.seed = piece->seed;
    for (int i = 0; i < piece->n; i++) {
        uint8_t *x = w->pixels + (size_t)w->n * 2 * bytes;

        if (!due[i])
            continue;
        p->shown[i] = progress_read(piece->progress, i, x, x + bytes);
        w->due[w->n].image = piece->first + i;
        w->due[w->n++].done = p->shown[i];
    }
    p->work = w;
    ++*p->n_on_pool;
    w->work.data = w;
    uv_queue_work(p->loop, &w->work, encode, on_encoded);
}
