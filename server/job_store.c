#include "server/job_store.h"

#include "engine/base/error.h"
#include "engine/base/log.h"
#include "server/job_work.h"
#include "server/shared_bytes.h"
#include "server/waker.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    AGAIN_MS = 500, /* after which what could not be done is tried again */
    NEWS_MAX = 256, /* that the loop has not heard; beyond that it looks at all */
    STACK_BYTES = 1 << 20,
};

struct job_store {
    struct job_work work; /* the thread's */
    bool shared;
    int wake; /* of the thread */
    pthread_t thread;
    bool runs;           /* the thread */
    struct waker *waker; /* of the loop */
    void (*news)(void *arg, const char *id);
    void *arg;
    int n_handed_over; /* the loop's: things that have not come back */

    pthread_mutex_t mutex; /* of all below */
    bool stop;
    struct job_op *waiting, **waiting_end; /* for the thread */
    struct job_op *done, **done_end;       /* for the loop */
    char told[NEWS_MAX][JOB_ID_BYTES];
    int n_told; /* more than NEWS_MAX: some are lost */
    struct job_store_stats stats;
};

struct job_op *job_op_create(enum job_op_kind kind, void (*done)(struct job_op *op), void *arg)
{
    struct job_op *op = calloc(1, sizeof(*op));

    if (!op)
        return NULL;
    op->kind = kind;
    op->done = done;
    op->arg = arg;
    return op;
}

void job_op_destroy(struct job_op *op)
{
    if (!op)
        return;
    for (int i = 0; i < op->n_pictures; i++)
        shared_bytes_release(op->pictures[i]);
    free((char *)op->checkpoints);
    free(op->found);
    free(op->bytes);
    free(op);
}

static void destroy_list(struct job_op *list)
{
    struct job_op *next;

    for (; list; list = next) {
        next = list->next;
        job_op_destroy(list);
    }
}

/* The thread */

static void give_back(struct job_store *s, struct job_op *op)
{
    op->next = NULL;
    pthread_mutex_lock(&s->mutex);
    *s->done_end = op;
    s->done_end = &op->next;
    if (op->kind == JOB_SWEEP && op->rc == 0) {
        s->stats.waiting = op->waiting;
        s->stats.ended = op->ended;
        s->stats.webhooks = op->webhooks;
        s->stats.picture_bytes = op->picture_bytes;
        s->stats.source_bytes = op->source_bytes;
    }
    pthread_mutex_unlock(&s->mutex);
}

static void note(struct job_store *s, int rc)
{
    pthread_mutex_lock(&s->mutex);
    s->stats.up = rc == 0;
    s->stats.errors += rc < 0;
    pthread_mutex_unlock(&s->mutex);
}

/* Gives back what is done or has failed, and returns what is to be tried again. */
static struct job_op *settle(struct job_store *s, struct job_op *list, int rc)
{
    struct job_op *kept = NULL, **end = &kept, *next;

    for (; list; list = next) {
        next = list->next;
        list->next = NULL;
        if (rc < 0 && list->kind == JOB_CHANGE) {
            *end = list;
            end = &list->next;
            continue;
        }
        if (rc < 0)
            list->rc = rc;
        give_back(s, list);
    }
    return kept;
}

/* Where all together fail, each alone: one of them may be to blame, or a lock. */
static struct job_op *do_alone(struct job_store *s, struct job_op *list)
{
    struct job_op *kept = NULL, **end = &kept, *next;
    int rc;

    for (; list; list = next) {
        next = list->next;
        list->next = NULL;
        rc = job_work_run(&s->work, list);
        note(s, rc);
        *end = settle(s, list, rc);
        if (*end)
            end = &(*end)->next;
    }
    return kept;
}

static struct job_op *do_all(struct job_store *s, struct job_op *list)
{
    int rc = job_work_run(&s->work, list);

    note(s, rc);
    if (rc < 0 && list->next && s->work.up_ns > 0)
        return do_alone(s, list);
    return settle(s, list, rc);
}

static void on_told(void *arg, const char *text)
{
    struct job_store *s = arg;

    pthread_mutex_lock(&s->mutex);
    if (s->n_told < NEWS_MAX)
        snprintf(s->told[s->n_told], JOB_ID_BYTES, "%s", text);
    s->n_told += s->n_told <= NEWS_MAX;
    pthread_mutex_unlock(&s->mutex);
    waker_wake(s->waker);
}

/* Waits for something to do. False: for nothing any more. */
static bool take(struct job_store *s, struct job_op **list)
{
    const struct job_database_ops *ops = s->work.db->ops;
    struct pollfd fds[2] = {{.fd = s->wake, .events = POLLIN}, {.events = POLLIN}};
    struct job_op **end = list;
    uint64_t n;
    bool stop;

    fds[1].fd = ops->socket ? ops->socket(s->work.db) : -1;
    poll(fds, 2, *list ? AGAIN_MS : -1);
    if (fds[0].revents & POLLIN && read(s->wake, &n, sizeof(n)) < 0)
        return false; /* it cannot be */
    if (ops->news)
        ops->news(s->work.db, on_told, s);
    while (*end)
        end = &(*end)->next;
    pthread_mutex_lock(&s->mutex);
    *end = s->waiting;
    s->waiting = NULL;
    s->waiting_end = &s->waiting;
    stop = s->stop;
    pthread_mutex_unlock(&s->mutex);
    return !stop;
}

static void *run(void *arg)
{
    struct job_store *s = arg;
    struct job_op *list = NULL;

    while (take(s, &list)) {
        if (!list)
            continue;
        list = do_all(s, list);
        waker_wake(s->waker);
    }
    destroy_list(list);
    return NULL;
}

/* The loop */

static void wake(struct job_store *s)
{
    uint64_t one = 1;

    if (write(s->wake, &one, sizeof(one)) < 0)
        log_write(LOG_ERROR, "event=job_store error=%s", LOG_TEXT(strerror(errno)));
}

void job_store_submit(struct job_store *s, struct job_op *op)
{
    op->next = NULL;
    s->n_handed_over++;
    pthread_mutex_lock(&s->mutex);
    *s->waiting_end = op;
    s->waiting_end = &op->next;
    pthread_mutex_unlock(&s->mutex);
    wake(s);
}

static void hear(struct job_store *s)
{
    char told[NEWS_MAX][JOB_ID_BYTES];
    int n;

    pthread_mutex_lock(&s->mutex);
    n = s->n_told;
    if (n > 0)
        memcpy(told, s->told, sizeof(told));
    s->n_told = 0;
    pthread_mutex_unlock(&s->mutex);
    for (int i = 0; i < n && i < NEWS_MAX; i++)
        s->news(s->arg, told[i]);
    if (n > NEWS_MAX)
        s->news(s->arg, "");
}

static void on_wake(void *arg)
{
    struct job_store *s = arg;
    struct job_op *list, *next;

    pthread_mutex_lock(&s->mutex);
    list = s->done;
    s->done = NULL;
    s->done_end = &s->done;
    pthread_mutex_unlock(&s->mutex);
    for (; list; list = next) {
        next = list->next;
        s->n_handed_over--;
        list->done(list);
        job_op_destroy(list);
    }
    hear(s);
}

bool job_store_is_shared(const struct job_store *s)
{
    return s->shared;
}

const char *job_store_holder(const struct job_store *s)
{
    return s->work.holder;
}

void job_store_stats(struct job_store *s, struct job_store_stats *out)
{
    pthread_mutex_lock(&s->mutex);
    *out = s->stats;
    pthread_mutex_unlock(&s->mutex);
}

bool job_store_idle(struct job_store *s)
{
    struct job_store_stats stats;

    job_store_stats(s, &stats);
    return s->n_handed_over == 0 || !stats.up;
}

/* Opening and closing */

void job_store_close(struct job_store *s)
{
    if (!s)
        return;
    if (s->runs) {
        pthread_mutex_lock(&s->mutex);
        s->stop = true;
        pthread_mutex_unlock(&s->mutex);
        wake(s);
        pthread_join(s->thread, NULL);
    }
    destroy_list(s->waiting);
    destroy_list(s->done);
    if (s->work.db)
        s->work.db->ops->close(s->work.db);
    if (s->wake >= 0)
        close(s->wake);
    waker_destroy(s->waker);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

static void make_holder(char holder[JOB_HOLDER_BYTES])
{
    uint8_t bytes[(JOB_HOLDER_BYTES - 1) / 2];

    if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
        snprintf((char *)bytes, sizeof(bytes), "%" PRIx64, uv_hrtime());
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(holder + 2 * i, 3, "%02x", bytes[i]);
}

static int start_thread(struct job_store *s, struct error *err)
{
    pthread_attr_t attributes;
    int rc;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    rc = pthread_create(&s->thread, &attributes, run, s);
    pthread_attr_destroy(&attributes);
    s->runs = rc == 0;
    return rc == 0 ? 0
                   : error_set(err, -rc, "could not start the store's thread: %s", strerror(rc));
}

static struct job_store *create(const struct job_store_options *o)
{
    struct job_store *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    pthread_mutex_init(&s->mutex, NULL);
    s->waiting_end = &s->waiting;
    s->done_end = &s->done;
    s->news = o->news;
    s->arg = o->arg;
    s->wake = -1;
    s->stats.up = true;
    s->work.lease_ms = o->lease_ms;
    s->work.kept_ms = o->kept_ms;
    s->work.waiting_max = o->waiting_max;
    s->work.webhook_ms = o->webhook_ms;
    s->work.picture_bytes_max = o->picture_bytes_max;
    s->work.source_bytes_max = o->source_bytes_max;
    make_holder(s->work.holder);
    return s;
}

int job_store_open(const struct job_store_options *options, struct job_store **out,
                   struct error *err)
{
    struct job_store *s = create(options);
    int rc;

    if (!s)
        return error_set(err, -ENOMEM, "out of memory for the jobs");
    rc = waker_create(options->loop, on_wake, s, &s->waker, err);
    if (rc == 0 && (s->wake = eventfd(0, EFD_CLOEXEC)) < 0)
        rc = error_set(err, -errno, "could not make an event for the jobs: %s", strerror(errno));
    if (rc == 0)
        rc = *options->url ? job_postgres_open(options->url, &s->work.db, err)
                           : job_sqlite_open(options->folder, &s->work.db, err);
    if (rc == 0) {
        s->shared = s->work.db->ops->shared;
        rc = start_thread(s, err);
    }
    if (rc < 0) {
        job_store_close(s);
        return rc;
    }
    *out = s;
    return 0;
}
