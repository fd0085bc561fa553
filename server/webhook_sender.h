/* Posts webhooks, by libcurl on a thread of its own: nobody waits for who does not answer, or for a name that is
 * not resolved.
 *
 * A try is bounded: WEBHOOK_TRY_MS in all, and WEBHOOK_ANSWER_BYTES of an answer, which is not kept. Redirects are
 * not followed, proxies and other settings of the environment not used, and nothing is spoken but HTTP(S), whose
 * certificates are looked at. Where to is the caller's to decide (config/webhook_url.h).
 *
 * Thread: loop.
 */
#ifndef SERVER_WEBHOOK_SENDER_H
#define SERVER_WEBHOOK_SENDER_H

#include "api/webhook.h"
#include "config/webhook_url.h"

#include <stdint.h>
#include <uv.h>

struct error;
struct webhook_sender;

enum {
    WEBHOOK_CONNECT_MS = 5000,
    WEBHOOK_TRY_MS = 10000,
    WEBHOOK_ANSWER_BYTES = 65536,
    WEBHOOK_ERROR_BYTES = 256,
};

/* One try. The sender frees it, with its body, after done(). */
struct webhook_post {
    char url[WEBHOOK_URL_BYTES];
    char id[WEBHOOK_ID_BYTES];
    int64_t timestamp_s;
    char signature[WEBHOOK_SIGNATURE_BYTES];
    char *body; /* owned */
    void (*done)(struct webhook_post *p);
    void *arg;

    int status;                      /* of the answer; 0: there was none */
    char error[WEBHOOK_ERROR_BYTES]; /* why there was none */
    struct webhook_post *next;
};

/* 0, -ENOMEM, -EIO: libcurl is none, or -errno of the system. */
int webhook_sender_create(uv_loop_t *loop, struct webhook_sender **out, struct error *err);

/* What has not been sent is not sent any more, and nobody told. NULL is fine. */
void webhook_sender_destroy(struct webhook_sender *s);

/* Takes p. */
void webhook_sender_submit(struct webhook_sender *s, struct webhook_post *p);

#endif
