/* Webhooks of batches: who began a job with an address of its own is told there when it has ended, once at least.
 *
 * That one has to be told is written with the end of the job, and so is not lost with the daemon. Whoever finds it
 * due takes the next try, for a lease; what comes of it is written: delivered, or when to try again. So any daemon
 * that shares the store goes on with it. Jobs are known as long as they have to be told, but not longer than
 * --webhook-give-up.
 */
#include "server/batch_parts.h"

#include "api/webhook.h"
#include "config/settings.h"
#include "config/webhook_url.h"
#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/base/whole_file.h"
#include "server/daemon.h"
#include "server/keys.h"
#include "server/webhook_sender.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    FILE_BYTES_MAX = 1 << 20,
    AT_A_TIME = 16,
    LEASE_MS = 3 * WEBHOOK_TRY_MS,
    POLL_LOOKS = 4, /* what others have left, or is due again */
    AGAIN_MS = 1000,
    AGAIN_MS_MAX = 3600000, /* SQL_IS_DUE takes more than twice this for a clock that was set */
    GONE = 410,             /* of a receiver that wants no more */
};

struct webhooks {
    struct batches *all;
    struct webhook_secrets *secrets;
    struct webhook_sender *sender;
    bool due;    /* some may be */
    bool claims; /* is under way */
    bool begun;
    int n_sent; /* under way */
    int looks;
    struct webhooks_stats stats;
};

/* A try; the sender frees it. */
struct delivery {
    struct webhook_post post; /* first */
    struct webhooks *hooks;
    char job[JOB_ID_BYTES];
    int tries; /* with this one */
    uint64_t begun_ns;
};

/* 1, 3, 9 s .. an hour, and a fifth more or less, so that those that failed together do not come back so. */
static int64_t wait_ms(int tries)
{
    double ms = AGAIN_MS;

    while (--tries > 0 && ms < AGAIN_MS_MAX)
        ms *= 3;
    ms = ms < AGAIN_MS_MAX ? ms : AGAIN_MS_MAX;
    return (int64_t)(ms * (0.8 + 0.4 * (double)(uv_hrtime() / 1000 % 1000) / 1000));
}

static void on_noted(struct job_op *op)
{
}

/* What came of a try: how long to wait for the next, or WEBHOOK_DELIVERED or WEBHOOK_GIVEN_UP. */
static void note(struct webhooks *w, const char *job, int tries, int status, int64_t then)
{
    struct job_op *op = job_op_create(JOB_WEBHOOK_DONE, on_noted, NULL);

    if (then == WEBHOOK_DELIVERED)
        w->stats.delivered++;
    else
        w->stats.failed++;
    w->stats.given_up += then == WEBHOOK_GIVEN_UP;
    if (!op)
        return; /* its lease ends, and it is tried again */
    memcpy(op->record.id, job, sizeof(op->record.id));
    op->record.webhook_tries = tries;
    op->record.webhook_status = status;
    op->record.webhook_ms = then;
    job_store_submit(w->all->store, op);
}

static void on_posted(struct webhook_post *p)
{
    struct delivery *d = (struct delivery *)p;
    struct webhooks *w = d->hooks;
    bool delivered = p->status >= 200 && p->status < 300;

    w->n_sent--;
    log_write(delivered ? LOG_INFO : LOG_WARN, "event=webhook id=%s try=%d status=%d ms=%.0f%s%s",
              d->job, d->tries, p->status, (double)(uv_hrtime() - d->begun_ns) / 1e6,
              p->status ? "" : " error=", p->status ? "" : LOG_TEXT(p->error));
    note(w, d->job, d->tries, p->status,
         delivered           ? WEBHOOK_DELIVERED
         : p->status == GONE ? WEBHOOK_GIVEN_UP
                             : wait_ms(d->tries));
}

/* Of the job as it is in the store, but for how it goes with its webhook: the same in every try. */
static char *body_of(const struct webhooks *w, const struct job_record *r)
{
    struct problem problem;
    struct job_status status;

    batch_describe_stored(w->all, r, &problem, &status);
    status.webhook.url = NULL;
    return webhook_body(&status, r->ended_s);
}

static void try_one(struct webhooks *w, const struct job_record *r)
{
    struct delivery *d;

    if (!webhook_url_is_allowed(r->webhook, w->all->daemon->settings->webhook_allow) ||
        !webhook_secrets_have(w->secrets, r->owner)) {
        log_write(LOG_WARN, "event=webhook id=%s try=%d error=%s", r->id, r->webhook_tries,
                  LOG_TEXT("its address is not allowed any more, or has no secret"));
        note(w, r->id, r->webhook_tries, 0, WEBHOOK_GIVEN_UP);
        return;
    }
    d = calloc(1, sizeof(*d));
    if (d)
        d->post.body = body_of(w, r);
    if (!d || !d->post.body) {
        free(d);
        note(w, r->id, r->webhook_tries, 0, wait_ms(r->webhook_tries));
        return;
    }
    snprintf(d->post.url, sizeof(d->post.url), "%s", r->webhook);
    webhook_id(r->id, d->post.id);
    d->post.timestamp_s = (int64_t)time(NULL);
    webhook_sign(w->secrets, r->owner, d->post.id, d->post.timestamp_s, d->post.body,
                 d->post.signature);
    d->post.done = on_posted;
    d->hooks = w;
    memcpy(d->job, r->id, sizeof(d->job));
    d->tries = r->webhook_tries;
    d->begun_ns = uv_hrtime();
    w->n_sent++;
    webhook_sender_submit(w->sender, &d->post);
}

static void on_claimed(struct job_op *op)
{
    struct webhooks *w = op->arg;

    w->claims = false;
    if (op->rc < 0)
        return; /* they are not taken: what was found was undone */
    w->begun = true;
    w->due |= op->n_found == op->most; /* there may be more */
    for (int i = 0; i < op->n_found; i++)
        try_one(w, &op->found[i]);
}

static void claim(struct webhooks *w)
{
    struct job_op *op;

    if (w->claims || w->n_sent >= AT_A_TIME)
        return;
    op = job_op_create(JOB_WEBHOOK_CLAIM, on_claimed, w);
    if (!op)
        return;
    op->most = AT_A_TIME - w->n_sent;
    op->lease_ms = LEASE_MS;
    op->first = !w->begun;
    w->claims = true;
    w->due = false;
    job_store_submit(w->all->store, op);
}

/* A daemon that ends leaves those of a store that outlives it to others. */
void webhooks_look(struct webhooks *w)
{
    if (w && !(w->all->stopped && w->all->durable) && (w->due || ++w->looks % POLL_LOOKS == 0))
        claim(w);
}

void webhooks_soon(struct webhooks *w)
{
    if (w)
        w->due = true;
}

bool webhooks_idle(const struct webhooks *w)
{
    return !w || w->all->daemon->cancelled ||
           (w->n_sent == 0 && !w->claims && (w->all->durable || !w->due));
}

void webhooks_count_given_up(struct webhooks *w, int n)
{
    if (w && n > 0) {
        w->stats.given_up += (uint64_t)n;
        log_write(LOG_WARN, "event=webhooks_given_up n=%d", n);
    }
}

void webhooks_stats(const struct webhooks *w, struct webhooks_stats *out)
{
    *out = w ? w->stats : (struct webhooks_stats){.delivered = 0};
}

int batches_check_webhook(const struct batches *all, const char *url, const struct key *key,
                          struct problem *problem)
{
    const struct webhooks *w = all->webhooks;
    struct error error;

    if (!*url)
        return 0;
    if (webhook_url_check(url, &error) < 0)
        problem_add_field(problem, "webhook", "%s", error.text);
    else if (!w)
        problem_add_field(problem, "webhook", "this daemon sends none");
    else if (!webhook_url_is_allowed(url, all->daemon->settings->webhook_allow))
        problem_add_field(problem, "webhook", "is not one of the addresses that are allowed here");
    else if (!webhook_secrets_have(w->secrets, key ? key_name(key) : ""))
        problem_add_field(problem, "webhook", "there is no secret for this key to sign with");
    return problem->status ? -EINVAL : 0;
}

static int read_secrets(const char *path, struct webhook_secrets **out, struct error *err)
{
    unsigned char *bytes = NULL;
    size_t size = 0;
    int rc = whole_file_read(path, FILE_BYTES_MAX, &bytes, &size, err);

    if (rc == 0)
        rc = webhook_secrets_parse((char *)bytes, size, out, err);
    if (rc < 0)
        error_prefix(err, "secrets of webhooks \"%s\": ", path);
    if (bytes)
        explicit_bzero(bytes, size);
    free(bytes);
    return rc;
}

bool batches_send_webhooks(const struct batches *all)
{
    return all->webhooks != NULL;
}

int batches_check_webhooks(const struct settings *s, struct error *err)
{
    struct webhook_secrets *secrets = NULL;
    int rc = *s->webhook_allow ? read_secrets(s->webhook_secrets, &secrets, err) : 0;

    webhook_secrets_destroy(secrets);
    return rc;
}

int batches_reload_webhooks(struct batches *all, struct problem *problem)
{
    struct webhook_secrets *secrets;
    struct error error = {""};
    int rc;

    if (!all->webhooks)
        return 0;
    rc = read_secrets(all->daemon->settings->webhook_secrets, &secrets, &error);
    if (rc < 0) {
        log_write(LOG_ERROR, "event=webhook_change ok=0 error=%s", LOG_TEXT(error.text));
        return problem_set(problem, rc == -ENOMEM ? 503 : 422, "%s; the secrets stay as they were",
                           error.text);
    }
    webhook_secrets_destroy(all->webhooks->secrets);
    all->webhooks->secrets = secrets;
    return 0;
}

int webhooks_create(struct batches *all, struct webhooks **out, struct error *err)
{
    struct webhooks *w;
    int rc;

    *out = NULL;
    if (!*all->daemon->settings->webhook_allow)
        return 0;
    w = calloc(1, sizeof(*w));
    if (!w)
        return error_set(err, -ENOMEM, "out of memory");
    w->all = all;
    rc = read_secrets(all->daemon->settings->webhook_secrets, &w->secrets, err);
    if (rc == 0)
        rc = webhook_sender_create(&all->daemon->loop, &w->sender, err);
    if (rc < 0) {
        webhooks_destroy(w);
        return rc;
    }
    *out = w;
    return 0;
}

void webhooks_destroy(struct webhooks *w)
{
    if (!w)
        return;
    webhook_sender_destroy(w->sender);
    webhook_secrets_destroy(w->secrets);
    free(w);
}
