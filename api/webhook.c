#include "api/webhook.h"

#include "api/job_status.h"
#include "engine/base/error.h"

#include <errno.h>
#include <inttypes.h>
#include <nettle/base64.h>
#include <nettle/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    OWNER_BYTES = 65,
    SECRET_MIN = 24, /* bytes */
    SECRET_MAX = 64,
    LINES_MAX = 1024,
    TEXT_MAX = BASE64_ENCODE_RAW_LENGTH(SECRET_MAX),
};

static const char prefix[] = "whsec_", blanks[] = " \t\r";

struct secret {
    char owner[OWNER_BYTES]; /* "": of all that have none of their own */
    uint8_t bytes[SECRET_MAX];
    size_t size;
};

struct webhook_secrets {
    int n;
    struct secret secrets[LINES_MAX];
};

static int read_secret(const char *word, struct secret *out, struct error *err)
{
    struct base64_decode_ctx decoder;
    uint8_t bytes[BASE64_DECODE_LENGTH(TEXT_MAX)];
    const char *text = word + sizeof(prefix) - 1;

    if (strncmp(word, prefix, sizeof(prefix) - 1) != 0)
        return error_set(err, -EINVAL, "a secret begins with %s", prefix);
    base64_decode_init(&decoder);
    out->size = 0;
    if (strlen(text) > TEXT_MAX ||
        !base64_decode_update(&decoder, &out->size, bytes, strlen(text), text) ||
        !base64_decode_final(&decoder) || out->size < SECRET_MIN || out->size > SECRET_MAX)
        return error_set(err, -EINVAL, "a secret is %s and %d to %d bytes in base64", prefix,
                         SECRET_MIN, SECRET_MAX);
    memcpy(out->bytes, bytes, out->size);
    return 0;
}

static int count_of(const struct webhook_secrets *s, const char *owner)
{
    int n = 0;

    for (int i = 0; i < s->n; i++)
        n += strcmp(s->secrets[i].owner, owner) == 0;
    return n;
}

static int read_line(char *line, struct webhook_secrets *s, struct error *err)
{
    char *rest = NULL, *word, *second;
    struct secret secret = {.owner = ""};
    int rc;

    line[strcspn(line, "#")] = '\0';
    word = strtok_r(line, blanks, &rest);
    if (!word)
        return 0;
    second = strtok_r(NULL, blanks, &rest);
    if (second && strlen(word) >= sizeof(secret.owner))
        return error_set(err, -EINVAL, "a name has at most %d bytes", OWNER_BYTES - 1);
    if (second)
        memcpy(secret.owner, word, strlen(word) + 1);
    if (second && strtok_r(NULL, blanks, &rest))
        return error_set(err, -EINVAL, "there are more than two words");
    rc = read_secret(second ? second : word, &secret, err);
    if (rc < 0)
        return rc;
    if (s->n == LINES_MAX)
        return error_set(err, -EINVAL, "there are more than %d secrets", LINES_MAX);
    if (count_of(s, secret.owner) == WEBHOOK_SECRETS_MAX)
        return error_set(err, -EINVAL, "there are more than %d secrets for the same jobs",
                         WEBHOOK_SECRETS_MAX);
    s->secrets[s->n++] = secret;
    return 0;
}

int webhook_secrets_parse(char *text, size_t size, struct webhook_secrets **out, struct error *err)
{
    struct webhook_secrets *s = calloc(1, sizeof(*s));
    char *line = text, *end;
    int rc = 0;

    if (!s)
        return error_set(err, -ENOMEM, "out of memory");
    if (memchr(text, '\0', size))
        rc = error_set(err, -EINVAL, "it is no text");
    for (int number = 1; rc == 0 && line < text + size; line = end + 1, number++) {
        end = line + strcspn(line, "\n");
        *end = '\0';
        rc = read_line(line, s, err);
        if (rc < 0)
            error_prefix(err, "line %d: ", number);
    }
    if (rc == 0 && s->n == 0)
        rc = error_set(err, -EINVAL, "it has no secret");
    if (rc < 0) {
        webhook_secrets_destroy(s);
        return rc;
    }
    *out = s;
    return 0;
}

void webhook_secrets_destroy(struct webhook_secrets *s)
{
    if (s)
        explicit_bzero(s, sizeof(*s));
    free(s);
}

bool webhook_secrets_have(const struct webhook_secrets *s, const char *owner)
{
    return count_of(s, owner) > 0 || count_of(s, "") > 0;
}

static void add_signature(const struct secret *secret, const char *id, int64_t timestamp_s,
                          const char *body, char out[WEBHOOK_SIGNATURE_BYTES])
{
    char head[WEBHOOK_ID_BYTES + 32], text[BASE64_ENCODE_RAW_LENGTH(SHA256_DIGEST_SIZE) + 1];
    uint8_t digest[SHA256_DIGEST_SIZE];
    struct hmac_sha256_ctx hmac;
    size_t used = strlen(out);
    int n = snprintf(head, sizeof(head), "%s.%" PRId64 ".", id, timestamp_s);

    hmac_sha256_set_key(&hmac, secret->size, secret->bytes);
    hmac_sha256_update(&hmac, (size_t)n, (const uint8_t *)head);
    hmac_sha256_update(&hmac, strlen(body), (const uint8_t *)body);
    hmac_sha256_digest(&hmac, sizeof(digest), digest);
    base64_encode_raw(text, sizeof(digest), digest);
    text[sizeof(text) - 1] = '\0';
    snprintf(out + used, WEBHOOK_SIGNATURE_BYTES - used, "%sv1,%s", used ? " " : "", text);
}

void webhook_sign(const struct webhook_secrets *s, const char *owner, const char *id,
                  int64_t timestamp_s, const char *body, char out[WEBHOOK_SIGNATURE_BYTES])
{
    const char *whose = count_of(s, owner) > 0 ? owner : "";

    out[0] = '\0';
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->secrets[i].owner, whose) == 0)
            add_signature(&s->secrets[i], id, timestamp_s, body, out);
}

void webhook_id(const char *job, char out[WEBHOOK_ID_BYTES])
{
    snprintf(out, WEBHOOK_ID_BYTES, "msg_%s", job);
}

char *webhook_body(const struct job_status *status, int64_t ended_s)
{
    time_t ended = (time_t)ended_s;
    char timestamp[32] = "", type[32], *job = job_status_to_json(status), *text = NULL;
    struct tm when;
    size_t n = job ? strlen(job) + 128 : 0;

    if (gmtime_r(&ended, &when))
        strftime(timestamp, sizeof(timestamp), "%Y-%m-%dT%H:%M:%SZ", &when);
    snprintf(type, sizeof(type), "job.%s", job_state_name(status->state));
    if (job)
        text = malloc(n);
    if (text)
        snprintf(text, n, "{\"type\":\"%s\",\"timestamp\":\"%s\",\"data\":%s}", type, timestamp,
                 job);
    free(job);
    return text;
}
