#include "server/webhook_sender.h"

#include "engine/base/error.h"
#include "server/waker.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_MS = 1000, STACK_BYTES = 1 << 20 };

/* A try on its way. */
struct transfer {
    struct webhook_post *post; /* owned */
    CURL *easy;
    struct curl_slist *headers;
    size_t n_received;
    char error[CURL_ERROR_SIZE];
    struct transfer *next;
};

struct webhook_sender {
    CURLM *multi;
    pthread_t thread;
    bool runs;
    struct transfer *transfers; /* the thread's */
    struct waker *waker;        /* of the loop */

    pthread_mutex_t mutex; /* of all below */
    bool stop;
    struct webhook_post *waiting, **waiting_end; /* for the thread */
    struct webhook_post *done, **done_end;       /* for the loop */
};

static void destroy_post(struct webhook_post *p)
{
    free(p->body);
    free(p);
}

static void destroy_posts(struct webhook_post *list)
{
    struct webhook_post *next;

    for (; list; list = next) {
        next = list->next;
        destroy_post(list);
    }
}

/* The thread */

static void give_back(struct webhook_sender *s, struct webhook_post *p)
{
    p->next = NULL;
    pthread_mutex_lock(&s->mutex);
    *s->done_end = p;
    s->done_end = &p->next;
    pthread_mutex_unlock(&s->mutex);
    waker_wake(s->waker);
}

/* What comes back is of no use beyond its status. */
static size_t on_bytes(char *bytes, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;

    t->n_received += size * n;
    return t->n_received <= WEBHOOK_ANSWER_BYTES ? size * n : 0;
}

static bool add_header(struct transfer *t, const char *name, const char *value)
{
    char text[WEBHOOK_SIGNATURE_BYTES + 64];
    struct curl_slist *more;

    snprintf(text, sizeof(text), "%s: %s", name, value);
    more = curl_slist_append(t->headers, text);
    if (more)
        t->headers = more;
    return more != NULL;
}

static bool add_headers(struct transfer *t)
{
    const struct webhook_post *p = t->post;
    struct curl_slist *more;
    char text[32];

    snprintf(text, sizeof(text), "%" PRId64, p->timestamp_s);
    if (!add_header(t, "Content-Type", "application/json") || !add_header(t, "webhook-id", p->id) ||
        !add_header(t, "webhook-timestamp", text) ||
        !add_header(t, "webhook-signature", p->signature))
        return false;
    more = curl_slist_append(t->headers, "Expect:"); /* none: the body is short */
    if (more)
        t->headers = more;
    return more != NULL;
}

static bool set_up(struct transfer *t)
{
    CURL *e = t->easy;
    bool ok = true;

#define SET(option, value) ok &= curl_easy_setopt(e, CURLOPT_##option, value) == CURLE_OK
    SET(URL, t->post->url);
    SET(PATH_AS_IS, 1L);
    SET(PROTOCOLS_STR, "http,https");
    SET(FOLLOWLOCATION, 0L);
    SET(PROXY, "");
    SET(DISALLOW_USERNAME_IN_URL, 1L);
    SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(FORBID_REUSE, 1L); /* tries are seldom, and names may have got other addresses */
    SET(NOSIGNAL, 1L);
    SET(CONNECTTIMEOUT_MS, (long)WEBHOOK_CONNECT_MS);
    SET(TIMEOUT_MS, (long)WEBHOOK_TRY_MS);
    SET(USERAGENT, "softdiffd/" SOFTDIFF_VERSION);
    SET(HTTPHEADER, t->headers);
    SET(POSTFIELDSIZE, (long)strlen(t->post->body));
    SET(POSTFIELDS, t->post->body);
    SET(WRITEFUNCTION, on_bytes);
    SET(WRITEDATA, t);
    SET(ERRORBUFFER, t->error);
    SET(PRIVATE, t);
#undef SET
    return ok;
}

static void destroy_transfer(struct transfer *t)
{
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    free(t);
}

static void begin(struct webhook_sender *s, struct webhook_post *p)
{
    struct transfer *t = calloc(1, sizeof(*t));

    if (t) {
        t->post = p;
        t->easy = curl_easy_init();
    }
    if (t && t->easy && add_headers(t) && set_up(t) &&
        curl_multi_add_handle(s->multi, t->easy) == CURLM_OK) {
        t->next = s->transfers;
        s->transfers = t;
        return;
    }
    if (t)
        destroy_transfer(t);
    snprintf(p->error, sizeof(p->error), "out of memory");
    give_back(s, p);
}

static void leave_list(struct webhook_sender *s, const struct transfer *t)
{
    struct transfer **link = &s->transfers;

    while (*link != t)
        link = &(*link)->next;
    *link = t->next;
}

/* An answer that was cut because it is too long has a status as any other. */
static void finish(struct webhook_sender *s, struct transfer *t, CURLcode code)
{
    struct webhook_post *p = t->post;
    long status = 0;

    if (code == CURLE_OK || t->n_received > WEBHOOK_ANSWER_BYTES)
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    p->status = (int)status;
    if (p->status == 0)
        snprintf(p->error, sizeof(p->error), "%s", *t->error ? t->error : curl_easy_strerror(code));
    curl_multi_remove_handle(s->multi, t->easy);
    leave_list(s, t);
    destroy_transfer(t);
    give_back(s, p);
}

static void finish_all(struct webhook_sender *s)
{
    struct transfer *t;
    const CURLMsg *m;
    CURLcode code;
    int n;

    while ((m = curl_multi_info_read(s->multi, &n))) {
        if (m->msg != CURLMSG_DONE)
            continue;
        code = m->data.result; /* the message goes with its handle */
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
        finish(s, t, code);
    }
}

/* False: it is to end. */
static bool take(struct webhook_sender *s)
{
    struct webhook_post *list, *next;
    bool stop;

    pthread_mutex_lock(&s->mutex);
    list = s->waiting;
    s->waiting = NULL;
    s->waiting_end = &s->waiting;
    stop = s->stop;
    pthread_mutex_unlock(&s->mutex);
    for (; list; list = next) {
        next = list->next;
        begin(s, list);
    }
    return !stop;
}

static void *run(void *arg)
{
    struct webhook_sender *s = arg;
    struct transfer *t;
    int n;

    while (take(s)) {
        curl_multi_perform(s->multi, &n);
        finish_all(s);
        curl_multi_poll(s->multi, NULL, 0, POLL_MS, NULL);
    }
    while ((t = s->transfers)) {
        s->transfers = t->next;
        curl_multi_remove_handle(s->multi, t->easy);
        destroy_post(t->post);
        destroy_transfer(t);
    }
    return NULL;
}

/* The loop */

void webhook_sender_submit(struct webhook_sender *s, struct webhook_post *p)
{
    p->next = NULL;
    pthread_mutex_lock(&s->mutex);
    *s->waiting_end = p;
    s->waiting_end = &p->next;
    pthread_mutex_unlock(&s->mutex);
    curl_multi_wakeup(s->multi);
}

static void on_wake(void *arg)
{
    struct webhook_sender *s = arg;
    struct webhook_post *list, *next;

    pthread_mutex_lock(&s->mutex);
    list = s->done;
    s->done = NULL;
    s->done_end = &s->done;
    pthread_mutex_unlock(&s->mutex);
    for (; list; list = next) {
        next = list->next;
        list->done(list);
        destroy_post(list);
    }
}

void webhook_sender_destroy(struct webhook_sender *s)
{
    if (!s)
        return;
    if (s->runs) {
        pthread_mutex_lock(&s->mutex);
        s->stop = true;
        pthread_mutex_unlock(&s->mutex);
        curl_multi_wakeup(s->multi);
        pthread_join(s->thread, NULL);
    }
    destroy_posts(s->waiting);
    destroy_posts(s->done);
    if (s->multi)
        curl_multi_cleanup(s->multi);
    waker_destroy(s->waker);
    pthread_mutex_destroy(&s->mutex);
    curl_global_cleanup();
    free(s);
}

static int start_thread(struct webhook_sender *s, struct error *err)
{
    pthread_attr_t attributes;
    int rc;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    rc = pthread_create(&s->thread, &attributes, run, s);
    pthread_attr_destroy(&attributes);
    s->runs = rc == 0;
    return rc == 0
               ? 0
               : error_set(err, -rc, "could not start the thread of webhooks: %s", strerror(rc));
}

int webhook_sender_create(uv_loop_t *loop, struct webhook_sender **out, struct error *err)
{
    struct webhook_sender *s;
    int rc;

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return error_set(err, -EIO, "libcurl does not start");
    s = calloc(1, sizeof(*s));
    if (!s) {
        curl_global_cleanup();
        return error_set(err, -ENOMEM, "out of memory");
    }
    pthread_mutex_init(&s->mutex, NULL);
    s->waiting_end = &s->waiting;
    s->done_end = &s->done;
    s->multi = curl_multi_init();
    rc = s->multi ? waker_create(loop, on_wake, s, &s->waker, err)
                  : error_set(err, -ENOMEM, "out of memory");
    if (rc == 0)
        rc = start_thread(s, err);
    if (rc < 0) {
        webhook_sender_destroy(s);
        return rc;
    }
    *out = s;
    return 0;
}
