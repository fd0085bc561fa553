#include "server/batches.h"

#include "api/events.h"
#include "api/permalink.h"
#include "api/problem.h"
#include "config/settings.h"
#include "engine/base/error.h"
#include "engine/base/log.h"
#include "model/digest.h"
#include "server/admission.h"
#include "server/daemon.h"
#include "server/drawing.h"
#include "server/engine_model.h"
#include "server/exchange.h"
#include "server/exchange_stream.h"
#include "server/models.h"
#include "server/picture_cache.h"
#include "server/progress.h"
#include "server/selection.h"
#include "server/shared_bytes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
    PIECE_IMAGES = 16,
    LOOK_MS = 250,          /* between two looks at what waits, is old or needs a ping */
    PING_LOOKS = 60,        /* every 15 s */
    PIECE_MS = 86400 * 1000 /* that a piece may take */
};

struct watcher {
    struct batch *batch;
    struct watcher *next;
    struct exchange *exchange;
};

struct batch {
    struct batches *all;
    struct batch *next; /* oldest first */
    enum job_state state;
    char id[JOB_ID_BYTES];
    char key[BATCHES_KEY_BYTES]; /* "": none */
    char body[DIGEST_TEXT];      /* of the request */
    int64_t created_s;
    uint64_t ended_ns;
    struct samples_response order; /* its strings are the model's while it is held, then: */
    char names[3][LIMITS_MODEL_BYTES + 1];
    struct sampling_choice sampling;
    struct engine_model *model; /* held until it ends; NULL: it has */
    struct problem problem;
    int n_done;
    uint64_t begun_ns;
    struct piece *piece; /* that is drawn; NULL: none */
    struct watcher *watchers;
};

/* Some images of a batch, which may end before the piece does. */
struct piece {
    struct batch *batch; /* NULL: it has ended */
    struct batches *all;
    struct drawing *drawing;
    int n;
    struct {
        uint8_t key[PERMALINK_KEY_BYTES];
        uint8_t *png; /* owned until it is shared */
        size_t size;
    } images[PIECE_IMAGES];
};

struct batches {
    struct daemon *daemon;
    struct batch *first;
    int n_waiting, n_ended; /* not ended, and ended */
    char gone[BATCHES_KEPT_MAX][JOB_ID_BYTES];
    int n_gone;
    int looks;
    bool stopped;
    uv_timer_t *timer; /* closes by itself */
};

static void go_on(struct batch *b);

void batch_describe(const struct batch *b, struct job_status *out)
{
    int step = b->n_done * b->order.nfe, steps = b->order.n * b->order.nfe;

    if (b->piece)
        step += progress_evaluations(drawing_progress(b->piece->drawing));
    *out = (struct job_status){
        .state = b->state,
        .created_s = b->created_s,
        .order = b->order,
        .images_done = b->n_done,
        .step = step,
        .eta_ms = -1,
        .problem = b->problem.status ? &b->problem : NULL,
    };
    memcpy(out->id, b->id, sizeof(out->id));
    if (b->state == JOB_IN_PROGRESS && step > 0)
        out->eta_ms = (double)(uv_hrtime() - b->begun_ns) / 1e6 / step * (steps - step);
}

/* Watching */

static void write_event(struct watcher *w, const char *event, const struct job_status *status)
{
    char *json = job_status_to_json(status);
    char *text = json ? events_of_text(event, status->step, json) : NULL;

    if (text)
        exchange_stream_write(w->exchange, text, strlen(text));
    free(text);
    free(json);
}

static void tell_progress(struct batch *b)
{
    struct job_status status;

    if (!b->watchers)
        return;
    batch_describe(b, &status);
    for (struct watcher *w = b->watchers; w; w = w->next)
        if (exchange_stream_pending(w->exchange) == 0)
            write_event(w, "progress", &status);
}

static void tell_end(struct batch *b)
{
    struct job_status status;
    struct watcher *w, *next;

    batch_describe(b, &status);
    for (w = b->watchers; w; w = next) {
        next = w->next;
        write_event(w, job_state_name(b->state), &status);
        exchange_stream_end(w->exchange);
        free(w);
    }
    b->watchers = NULL;
}

static void on_watcher_gone(void *arg)
{
    struct watcher *w = arg, **link = &w->batch->watchers;

    while (*link != w)
        link = &(*link)->next;
    *link = w->next;
    free(w);
}

void batch_watch(struct batch *b, struct exchange *x, const char *last_event_id)
{
    static const struct problem no_memory = {.status = 503, .detail = "out of memory"};
    struct watcher *w = calloc(1, sizeof(*w));
    struct job_status status;

    if (!w) {
        exchange_respond_problem(x, &no_memory);
        return;
    }
    exchange_add_header(x, "X-Accel-Buffering", "no");
    if (!exchange_stream_begin(x, "text/event-stream", on_watcher_gone, w)) {
        free(w);
        return;
    }
    w->batch = b;
    w->exchange = x;
    w->next = b->watchers;
    b->watchers = w;
    batch_describe(b, &status);
    if (b->state >= JOB_COMPLETED)
        tell_end(b);
    else if (!last_event_id || strtol(last_event_id, NULL, 10) < status.step)
        write_event(w, "progress", &status);
}

/* Ending */

/* The names stay when the model goes. */
static void keep_names(struct batch *b)
{
    const char **names[] = {&b->order.model, &b->order.checkpoint, &b->order.corruption};

    for (int i = 0; i < 3; i++) {
        snprintf(b->names[i], sizeof(b->names[i]), "%s", *names[i]);
        *names[i] = b->names[i];
    }
}

static void end(struct batch *b, enum job_state state, const struct problem *problem)
{
    struct engine_model *model = b->model;

    b->state = state;
    if (problem)
        b->problem = *problem;
    b->ended_ns = uv_hrtime();
    if (b->piece) {
        b->piece->batch = NULL;
        b->piece = NULL;
    }
    b->all->n_waiting--;
    b->all->n_ended++;
    log_write(LOG_INFO, "event=job id=%s status=%s model=%s n=%d images=%d ms=%.0f", b->id,
              job_state_name(state), b->order.model, b->order.n, b->n_done,
              b->begun_ns ? (double)(b->ended_ns - b->begun_ns) / 1e6 : 0.0);
    b->model = NULL;
    models_release(b->all->daemon->models, model);
    tell_end(b);
}

int batch_cancel(struct batch *b, struct problem *problem)
{
    struct drawing *drawing = b->piece ? b->piece->drawing : NULL;

    if (b->state == JOB_CANCELLED)
        return 0;
    if (b->state >= JOB_COMPLETED)
        return problem_set(problem, 409, "the job has ended: it is %s", job_state_name(b->state));
    end(b, JOB_CANCELLED, NULL);
    if (drawing)
        drawing_cancel(drawing);
    return 0;
}

/* Drawing */

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

static void on_progress(void *owner)
{
    struct piece *p = owner;

    if (p->batch)
        tell_progress(p->batch);
}

static void done(void *owner, const struct problem *problem)
{
    struct piece *p = owner;
    struct batch *b = p->batch;
    struct shared_bytes *png;

    if (problem) {
        end(b, JOB_FAILED, problem);
        return;
    }
    for (int i = 0; i < p->n; i++) {
        png = shared_bytes_create(p->images[i].png, p->images[i].size);
        p->images[i].png = NULL;
        if (png)
            picture_cache_put(p->all->daemon->cache, p->images[i].key, png);
        shared_bytes_release(png);
    }
    b->n_done += p->n;
    b->piece = NULL;
    go_on(b);
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

/* Half of the places stay for those who wait; where nobody has one there is room for a piece. */
static bool has_room(const struct batch *b, int n)
{
    const struct settings *settings = b->all->daemon->settings;
    int n_images = b->model->n_images;

    return n_images == 0 || n_images + n <= (settings->slots + settings->max_queue) / 2;
}

/* The next piece; where there is no room for it now, it is tried again with the next look. */
static void begin_piece(struct batch *b)
{
    int left = b->order.n - b->n_done, most = admission_limits(b->all->daemon->admission)->n_max;
    struct piece *p = calloc(1, sizeof(*p));
    struct problem problem = {0};
    struct drawing_order order = {
        .request_id = b->id,
        .model = b->model,
        .sampling = b->sampling,
        .seed = b->order.seed + (uint64_t)b->n_done,
        .timeout_ms = PIECE_MS,
        .client = &client,
        .owner = p,
    };

    if (!p)
        return;
    most = most < PIECE_IMAGES ? most : PIECE_IMAGES;
    p->n = order.n = left < most ? left : most;
    p->all = b->all;
    p->batch = b;
    if (!has_room(b, p->n) ||
        drawings_begin(b->all->daemon->drawings, &order, &p->drawing, &problem) < 0) {
        free(p);
        return;
    }
    b->piece = p;
    if (b->state == JOB_QUEUED) {
        b->state = JOB_IN_PROGRESS;
        b->begun_ns = uv_hrtime();
    }
}

static void go_on(struct batch *b)
{
    static const struct problem ending = {.status = 503,
                                          .detail = "the daemon is shutting down; ask another one"};

    if (b->n_done == b->order.n)
        end(b, JOB_COMPLETED, NULL);
    else if (b->all->stopped)
        end(b, JOB_FAILED, &ending);
    else
        begin_piece(b);
}

/* Looking */

static void forget(struct batches *all, struct batch **link)
{
    struct batch *b = *link;

    memcpy(all->gone[all->n_gone++ % BATCHES_KEPT_MAX], b->id, JOB_ID_BYTES);
    *link = b->next;
    all->n_ended--;
    free(b);
}

static void forget_old(struct batches *all)
{
    uint64_t now_ns = uv_hrtime(), kept_ns = (uint64_t)BATCHES_KEPT_MS * 1000000;
    struct batch **link = &all->first;

    while (*link) {
        if ((*link)->state >= JOB_COMPLETED &&
            (all->n_ended > BATCHES_KEPT_MAX || now_ns - (*link)->ended_ns > kept_ns))
            forget(all, link);
        else
            link = &(*link)->next;
    }
}

static void on_look(uv_timer_t *timer)
{
    struct batches *all = timer->data;
    bool ping = ++all->looks % PING_LOOKS == 0;
    struct batch *b, *next;

    for (b = all->first; b; b = next) {
        next = b->next;
        for (struct watcher *w = b->watchers; ping && w; w = w->next)
            if (exchange_stream_pending(w->exchange) == 0)
                exchange_stream_write(w->exchange, ": ping\n\n", strlen(": ping\n\n"));
        if (b->state < JOB_COMPLETED && !b->piece)
            go_on(b);
    }
    forget_old(all);
    if (!all->first)
        uv_timer_stop(timer);
}

void batches_stop(struct batches *all)
{
    struct batch *b, *next;

    all->stopped = true;
    for (b = all->first; b; b = next) {
        next = b->next;
        if (b->state < JOB_COMPLETED && !b->piece)
            go_on(b);
    }
}

/* Coming and being found */

static void make_id(char id[JOB_ID_BYTES])
{
    uint8_t bytes[(JOB_ID_BYTES - 1) / 2];

    if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
        snprintf((char *)bytes, sizeof(bytes), "%" PRIx64, uv_hrtime());
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(id + 2 * i, 3, "%02x", bytes[i]);
}

static struct batch *find_key(const struct batches *all, const char *key)
{
    for (struct batch *b = all->first; b && key; b = b->next)
        if (strcmp(b->key, key) == 0)
            return b;
    return NULL;
}

static struct batch *create(struct batches *all, const struct selection *chosen)
{
    const struct samples_request *wanted = &chosen->request;
    struct batch *b = calloc(1, sizeof(*b));
    struct drawing_order order = {
        .model = chosen->model,
        .sampling = chosen->sampling,
        .seed = wanted->has_seed ? wanted->seed : drawing_random_seed(),
        .n = wanted->n,
    };

    if (!b)
        return NULL;
    b->all = all;
    make_id(b->id);
    b->created_s = (int64_t)time(NULL);
    b->sampling = chosen->sampling;
    b->model = chosen->model;
    models_hold(b->model);
    drawings_describe(all->daemon->drawings, &order, &b->order);
    keep_names(b);
    return b;
}

int batches_add(struct batches *all, const struct selection *chosen, const char *key,
                const char *body, size_t body_size, struct batch **out, struct problem *problem)
{
    struct batch *b = find_key(all, key), **link = &all->first;
    char digest[DIGEST_TEXT];

    digest_of(body, body_size, digest);
    if (key && strlen(key) >= BATCHES_KEY_BYTES)
        return problem_set(problem, 422, "an Idempotency-Key has at most %d bytes",
                           BATCHES_KEY_BYTES - 1);
    if (b && strcmp(b->body, digest) != 0)
        return problem_set(problem, 422, "this Idempotency-Key was used with another body");
    if (b) {
        *out = b;
        return 0;
    }
    problem->retry_after_s = 1;
    if (all->n_waiting == BATCHES_MAX)
        return problem_set(problem, 503, "%d jobs wait, which is the most", BATCHES_MAX);
    b = create(all, chosen);
    if (!b)
        return problem_set(problem, 503, "out of memory");
    problem->retry_after_s = 0;
    snprintf(b->key, sizeof(b->key), "%s", key ? key : "");
    memcpy(b->body, digest, sizeof(digest));
    while (*link)
        link = &(*link)->next;
    *link = b;
    all->n_waiting++;
    uv_timer_start(all->timer, on_look, LOOK_MS, LOOK_MS);
    go_on(b);
    *out = b;
    return 0;
}

struct batch *batches_find(struct batches *all, const char *id, struct problem *problem)
{
    struct batch *b = all->first;

    while (b && strcmp(b->id, id) != 0)
        b = b->next;
    if (b)
        return b;
    for (int i = 0; i < BATCHES_KEPT_MAX && i < all->n_gone; i++)
        if (strcmp(all->gone[i], id) == 0) {
            problem_set(problem, 410, "this job has ended long ago");
            return NULL;
        }
    problem_set(problem, 404, "there is no such job");
    return NULL;
}

void batches_count(const struct batches *all, int *waiting, int *ended)
{
    *waiting = all->n_waiting;
    *ended = all->n_ended;
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle);
}

int batches_create(struct daemon *d, struct batches **out, struct error *err)
{
    struct batches *all = calloc(1, sizeof(*all));

    if (all)
        all->timer = malloc(sizeof(*all->timer));
    if (!all || !all->timer) {
        free(all);
        return error_set(err, -ENOMEM, "out of memory");
    }
    all->daemon = d;
    uv_timer_init(&d->loop, all->timer);
    all->timer->data = all;
    *out = all;
    return 0;
}

void batches_destroy(struct batches *all)
{
    struct batch *next;

    if (!all)
        return;
    for (struct batch *b = all->first; b; b = next) {
        next = b->next;
        free(b);
    }
    uv_close((uv_handle_t *)all->timer, on_timer_closed);
    free(all);
}
