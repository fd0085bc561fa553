/* All images of a batch as one ZIP file, written as its client takes it.
 *
 * At most one image waits to be sent. What the cache has no more is drawn again, a piece at a time, as
 * work for which nobody waits; between two pieces there may be no room, and another try is made a moment
 * later. Nobody pays for it: that was done when the batch was taken on. The batch may be forgotten
 * meanwhile.
 */
#include "server/batch_parts.h"

#include "api/permalink.h"
#include "api/zip.h"
#include "engine/base/error.h"
#include "model/restoration.h"
#include "server/admission.h"
#include "server/daemon.h"
#include "server/drawing.h"
#include "server/engine_model.h"
#include "server/exchange.h"
#include "server/exchange_stream.h"
#include "server/models.h"
#include "server/picture_cache.h"
#include "server/shared_bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIECE_IMAGES = 16,
    PIECE_MS = 86400 * 1000, /* that a piece may take */
    AGAIN_MS = 250,
    TEXT_BYTES = 65536, /* more than a PNG has beside its pixels */
};

struct archive {
    struct daemon *daemon;
    struct batches *batches;
    struct exchange *exchange;     /* NULL: ended or gone */
    struct job_record record;      /* of which the strings of */
    struct samples_response order; /* are */
    struct sampling_choice sampling;
    struct engine_model *model; /* held until it ended or went; NULL: none draws the same bytes */
    struct zip_entry *entries;  /* owned, of the images that are written */
    int n, i;                   /* images, and the next one */
    uint32_t offset;
    struct restoring *restoring;     /* makes ... */
    struct restoration *restoration; /* ... what leads the next piece */
    struct drawing *drawing;         /* of a piece; NULL: none */
    int piece_first, piece_n;
    struct {
        uint8_t *png; /* owned */
        size_t size;
    } piece[PIECE_IMAGES];
    uv_timer_t again;
    bool with_drawing, with_timer, with_store; /* who still holds it */
};

static void drop_piece(struct archive *a)
{
    for (int i = 0; i < a->piece_n; i++) {
        free(a->piece[i].png);
        a->piece[i].png = NULL;
    }
    a->piece_n = 0;
}

static void settle(struct archive *a)
{
    if (a->with_drawing || a->with_timer || a->with_store)
        return;
    drop_piece(a);
    restoration_destroy(a->restoration);
    free(a->entries);
    free(a);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct archive *a = handle->data;

    a->with_timer = false;
    settle(a);
}

/* The models may be gone before the timer is; a drawing holds its own. */
static void detach(struct archive *a)
{
    a->exchange = NULL;
    restoring_drop(a->restoring);
    a->restoring = NULL;
    if (a->model)
        models_release(a->daemon->models, a->model);
    uv_close((uv_handle_t *)&a->again, on_timer_closed);
}

static void on_gone(void *arg)
{
    struct archive *a = arg;
    struct drawing *drawing = a->drawing;

    a->drawing = NULL;
    detach(a);
    if (drawing)
        drawing_cancel(drawing);
}

/* What is there is no ZIP file, and the client sees that it was cut. */
static void give_up(struct archive *a)
{
    struct exchange *x = a->exchange;

    detach(a);
    exchange_stream_break(x);
}

/* Drawing */

static int encode(void *owner, const struct samples_response *images, struct error *err)
{
    struct archive *a = owner;
    int rc = 0;

    for (int i = 0; i < images->n && rc == 0; i++)
        rc = samples_response_png(images, i, &a->piece[i].png, &a->piece[i].size, err);
    return rc;
}

static void go_on(void *arg);

static void done(void *owner, const struct problem *problem)
{
    struct archive *a = owner;

    a->drawing = NULL;
    if (problem)
        give_up(a);
    else
        go_on(a);
}

static void release(void *owner)
{
    struct archive *a = owner;

    a->with_drawing = false;
    settle(a);
}

static const struct drawing_client client = {.encode = encode, .done = done, .release = release};

static void on_again(uv_timer_t *timer)
{
    go_on(timer->data);
}

static void begin_piece(struct archive *a);

static void on_restoration(void *arg, struct restoration *r, const struct problem *problem)
{
    struct archive *a = arg;

    a->restoring = NULL;
    a->restoration = r;
    if (problem)
        give_up(a);
    else
        begin_piece(a);
}

/* Whether there is what leads the next piece, if something has to; else it is made. */
static bool is_led(struct archive *a)
{
    if (!a->order.restoration || a->restoration)
        return true;
    a->restoring = restoring_begin(a->batches, &a->record, a->model, on_restoration, a);
    if (!a->restoring)
        give_up(a);
    return false;
}

static void begin_piece(struct archive *a)
{
    int left = a->n - a->i, most;
    struct problem problem = {0};
    struct drawing_order order = {
        .request_id = a->record.id,
        .model = a->model,
        .sampling = a->sampling,
        .label = a->record.label,
        .guidance = a->record.guidance,
        .seed = a->record.seed + (uint64_t)a->i,
        .seed_b = a->record.mix > 0 ? a->record.seed_b + (uint64_t)a->i : 0,
        .mix = a->record.mix,
        .restored = a->order.restoration,
        .timeout_ms = PIECE_MS,
        .priority = PRIORITY_BACKGROUND,
        .client = &client,
        .owner = a,
    };

    if (a->daemon->cancelled || !a->model) {
        give_up(a);
        return;
    }
    if (!is_led(a))
        return;
    order.restoration = a->restoration;
    most = a->model->n_max < PIECE_IMAGES ? a->model->n_max : PIECE_IMAGES;
    order.n = left < most ? left : most;
    /* The piece before may still be with whoever encoded it. */
    if (a->with_drawing || drawings_begin(a->daemon->drawings, &order, &a->drawing, &problem) < 0) {
        uv_timer_start(&a->again, on_again, AGAIN_MS, 0);
        return;
    }
    drop_piece(a);
    a->restoration = NULL; /* the drawing's */
    a->with_drawing = true;
    a->piece_first = a->i;
    a->piece_n = order.n;
}

/* Writing */

static bool write_bytes(struct archive *a, const uint8_t *bytes, size_t size)
{
    a->offset += (uint32_t)size;
    return exchange_stream_write(a->exchange, (const char *)bytes, size);
}

static bool write_image(struct archive *a, const uint8_t *png, size_t size)
{
    struct zip_entry *e = &a->entries[a->i];
    uint8_t head[ZIP_HEAD_BYTES];

    *e = (struct zip_entry){zip_crc(png, size), (uint32_t)size, a->offset};
    zip_write_head(e, a->i, head);
    a->i++;
    return write_bytes(a, head, sizeof(head)) && write_bytes(a, png, size);
}

static bool write_directory(struct archive *a)
{
    uint8_t entry[ZIP_DIRECTORY_BYTES], end[ZIP_END_BYTES];
    uint32_t directory_offset = a->offset;
    bool ok = true;

    for (int i = 0; i < a->n && ok; i++) {
        zip_write_directory(&a->entries[i], i, entry);
        ok = write_bytes(a, entry, sizeof(entry));
    }
    zip_write_end(a->n, directory_offset, end);
    return ok && write_bytes(a, end, sizeof(end));
}

static void finish(struct archive *a)
{
    struct exchange *x = a->exchange;

    if (!write_directory(a)) {
        give_up(a);
        return;
    }
    detach(a);
    exchange_stream_end(x);
}

/* It is in the store, or has to be drawn again. */
static void on_kept(struct job_op *op)
{
    struct archive *a = op->arg;

    a->with_store = false;
    if (!a->exchange) {
        settle(a);
        return;
    }
    if (op->rc < 0)
        begin_piece(a);
    else if (write_image(a, op->bytes, op->size))
        go_on(a);
    else
        give_up(a);
}

static bool look_in_store(struct archive *a)
{
    struct job_op *op = a->record.picture_bytes > 0 ? job_op_create(JOB_PICTURE, on_kept, a) : NULL;

    if (!op)
        return false;
    memcpy(op->record.id, a->record.id, sizeof(op->record.id));
    op->first = a->i;
    a->with_store = true;
    job_store_submit(a->batches->store, op);
    return true;
}

/* All was sent, or a piece was drawn: writes the next image, or has it drawn. */
static void go_on(void *arg)
{
    struct archive *a = arg;
    uint8_t key[PERMALINK_KEY_BYTES];
    struct shared_bytes *kept;
    int at = a->i - a->piece_first;
    bool ok = true;

    if (a->drawing || a->with_store || a->restoring || exchange_stream_pending(a->exchange) > 0)
        return;
    if (a->i == a->n) {
        finish(a);
        return;
    }
    if (at >= 0 && at < a->piece_n) {
        ok = write_image(a, a->piece[at].png, a->piece[at].size);
    } else {
        permalink_key(&a->order, a->i, key);
        kept = picture_cache_find(a->daemon->cache, key);
        if (kept)
            ok = write_image(a, kept->data, kept->size);
        else if (!look_in_store(a))
            begin_piece(a);
    }
    if (!ok)
        give_up(a);
}

/* Beginning */

/* What keeps the images of a batch from being one file. 0, or -EINVAL with the problem. */
static int check(const struct batch *b, const struct engine_model *m, struct problem *problem)
{
    const struct job_record *r = &b->record;
    size_t side, image_bytes;
    struct job_status status;

    if (b->state < JOB_COMPLETED) {
        batch_describe(b, &status);
        problem->retry_after_s = admission_retry_in_s(1e-3 * status.eta_ms);
        return problem_set(problem, 503, "the job has not ended yet");
    }
    if (r->n_done == 0)
        return problem_set(problem, 404, "the job has no images");
    if (!m && r->picture_bytes <= 0)
        return problem_set(problem, 404,
                           "the job's model is not served any more, or not with its determinism "
                           "id");
    if (b->order.restoration && r->source_bytes < 0 && r->picture_bytes <= 0)
        return problem_set(problem, 404, "the picture that was restored is not kept any more");
    side = m ? (size_t)m->side_px : 0;
    image_bytes = m ? side * side * (size_t)m->channels * 9 / 8 + TEXT_BYTES : 0;
    if ((size_t)r->n_done * image_bytes > UINT32_MAX)
        return problem_set(problem, 422,
                           "the images are more than one ZIP file holds; ask for them one by one");
    return 0;
}

static struct archive *create(const struct batch *b, struct engine_model *m,
                              const struct sampling_choice *sampling)
{
    struct archive *a = calloc(1, sizeof(*a));

    if (a)
        a->entries = calloc((size_t)b->record.n_done, sizeof(*a->entries));
    if (!a || !a->entries) {
        free(a);
        return NULL;
    }
    a->daemon = b->all->daemon;
    a->batches = b->all;
    a->record = b->record;
    batch_describe_record(&a->record, &a->order);
    a->sampling = *sampling;
    a->n = b->record.n_done;
    a->model = m;
    if (m) {
        a->order.precision = m->precision;
        models_hold(m);
    }
    uv_timer_init(&a->daemon->loop, &a->again);
    a->again.data = a;
    a->with_timer = true;
    return a;
}

void batch_archive(struct batch *b, struct exchange *x)
{
    struct sampling_choice sampling = {.nfe = 0};
    struct engine_model *m = batch_find_model(b->all, &b->record, &sampling);
    struct problem problem = {0};
    struct archive *a = NULL;
    char text[96];

    if (m && strcmp(b->record.determinism, models_determinism(b->all->daemon->models)) != 0)
        m = NULL; /* it draws others */
    if (check(b, m, &problem) == 0 && strcmp(exchange_method(x), "HEAD") != 0) {
        a = create(b, m, &sampling);
        if (!a)
            problem_set(&problem, 503, "out of memory");
    }
    if (problem.status) {
        exchange_respond_problem(x, &problem);
        return;
    }
    snprintf(text, sizeof(text), "attachment; filename=\"softdiff-%s.zip\"", b->record.id);
    exchange_add_header(x, "Content-Disposition", text);
    if (!a) {
        exchange_respond_head(x, 200, "application/zip");
        return;
    }
    a->exchange = x;
    if (!exchange_stream_begin(x, "application/zip", on_gone, a))
        on_gone(a);
    else
        exchange_stream_on_sent(x, go_on);
}
