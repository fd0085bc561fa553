/* Webhooks: what is told to a client's own server when a job has ended, as Standard Webhooks
 * (standardwebhooks.com, version 1) have it.
 *
 *     webhook-id: msg_9f..              one for each job, the same in every try
 *     webhook-timestamp: 1764330000     of the try, seconds since 1970
 *     webhook-signature: v1,K5oZ..      HMAC-SHA256 over id.timestamp.body, in base64; one for each secret
 *
 *     {"type": "job.completed", "timestamp": "2025-11-28T11:40:00Z", "data": {the job, api/job_status.h}}
 *
 * Secrets are lines of a file: "whsec_" and 24 to 64 bytes in base64, with the name of a key before it where it is
 * for that key's jobs alone; then no other is for these. Several lines for the same sign with each, while receivers
 * change from one to the next. What follows a # means nothing.
 *
 * Thread: any.
 */
#ifndef API_WEBHOOK_H
#define API_WEBHOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct job_status;
struct webhook_secrets;

enum {
    WEBHOOK_ID_BYTES = 64,
    WEBHOOK_SECRETS_MAX = 4, /* that sign one message */
    WEBHOOK_SIGNATURE_BYTES = WEBHOOK_SECRETS_MAX * 48 + 1,
};

/* Of size bytes of text and a NUL, which are overwritten. 0; -EINVAL: the text names the line, not what is in it;
 * -ENOMEM. */
int webhook_secrets_parse(char *text, size_t size, struct webhook_secrets **out, struct error *err);
void webhook_secrets_destroy(struct webhook_secrets *s); /* NULL is fine; the memory is wiped */

/* Whether there is one for jobs of this key; "": of none. */
bool webhook_secrets_have(const struct webhook_secrets *s, const char *owner);

/* The header's value; "" where there is no secret. */
void webhook_sign(const struct webhook_secrets *s, const char *owner, const char *id,
                  int64_t timestamp_s, const char *body, char out[WEBHOOK_SIGNATURE_BYTES]);

/* Of a job. */
void webhook_id(const char *job, char out[WEBHOOK_ID_BYTES]);

/* The body for a job that has ended, malloc'ed; the same in every try. NULL without memory. */
char *webhook_body(const struct job_status *status, int64_t ended_s);

#endif
