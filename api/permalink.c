#include "api/permalink.h"

#include "api/query.h"
#include "api/request.h"
#include "api/response.h"
#include "api/seed.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>

/* Raised with every change of how a PNG, or an answer, is written or what its texts say. */
static const char writer[] = "softdiff png 1", answer_writer[] = "softdiff answer 1";

static const char before[] = "/v1/models/", between[] = "/samples/", after[] = ".png";

int permalink_parse_model(const char *text, struct permalink *out)
{
    size_t n = strcspn(text, "@"), digits;

    if (n == 0 || n > LIMITS_NAME_BYTES)
        return -EINVAL;
    memcpy(out->model, text, n);
    out->model[n] = '\0';
    out->checkpoint[0] = '\0';
    if (!text[n])
        return 0;
    text += n + 1;
    digits = strlen(text);
    if (digits < PERMALINK_DIGEST_MIN || digits >= PERMALINK_DIGEST_BYTES ||
        strspn(text, "0123456789abcdef") != digits)
        return -EINVAL;
    memcpy(out->checkpoint, text, digits + 1);
    return 0;
}

/* One address for one image: no sign, no zeros in front. */
static int parse_seed(const char *text, size_t n, uint64_t *out)
{
    if (n > 1 && *text == '0')
        return -EINVAL;
    return seed_from_text(text, n, out);
}

int permalink_parse(const char *path, struct permalink *out)
{
    char model[LIMITS_NAME_BYTES + PERMALINK_DIGEST_BYTES + 1];
    const char *p, *end;
    size_t n;

    if (strncmp(path, before, sizeof(before) - 1) != 0)
        return -EINVAL;
    p = path + sizeof(before) - 1;
    end = strchr(p, '/');
    if (!end || query_unescape(p, (size_t)(end - p), 0, model, sizeof(model)) < 0 ||
        permalink_parse_model(model, out) < 0)
        return -EINVAL;
    if (strncmp(end, between, sizeof(between) - 1) != 0)
        return -EINVAL;
    p = end + sizeof(between) - 1;
    n = strlen(p);
    if (n < sizeof(after) || strcmp(p + n - (sizeof(after) - 1), after) != 0)
        return -EINVAL;
    return parse_seed(p, n - (sizeof(after) - 1), &out->seed);
}

static void drop_zeros(char out[PERMALINK_BYTES])
{
    size_t n = strlen(out);

    while (out[n - 1] == '0')
        out[--n] = '\0';
    if (out[n - 1] == '.')
        out[n - 1] = '\0';
}

static void add_mix(const struct samples_response *r, int i, char out[PERMALINK_BYTES])
{
    size_t n = strlen(out);

    snprintf(out + n, PERMALINK_BYTES - n, "&seed_b=%" PRIu64 "&mix=0.%06d",
             r->seed_b + (uint64_t)i, r->mix);
    drop_zeros(out);
}

static void add_label(const struct samples_response *r, char out[PERMALINK_BYTES])
{
    size_t n = strlen(out);

    n += (size_t)snprintf(out + n, PERMALINK_BYTES - n, "&label=%d", r->label);
    if (r->guidance == 0 || n >= PERMALINK_BYTES)
        return;
    snprintf(out + n, PERMALINK_BYTES - n, "&guidance=%d.%03d", r->guidance / REQUEST_GUIDANCE_ONE,
             r->guidance % REQUEST_GUIDANCE_ONE);
    drop_zeros(out);
}

void permalink_write(const struct samples_response *r, int i, char out[PERMALINK_BYTES])
{
    snprintf(out, PERMALINK_BYTES, "%s%s@%.*s%s%" PRIu64 "%s?sampler=%s&nfe=%d&determinism=%s",
             before, r->model, PERMALINK_DIGEST_MIN, r->checkpoint, between, r->seed + (uint64_t)i,
             after, r->sampler, r->nfe, r->determinism);
    if (r->mix > 0)
        add_mix(r, i, out);
    if (r->label > 0)
        add_label(r, out);
}

void permalink_key(const struct samples_response *r, int i, uint8_t key[PERMALINK_KEY_BYTES])
{
    struct sha256_ctx sha;
    char text[1024];
    int n = snprintf(text, sizeof(text), "%s\n%s\n%s\n%s\n%s\n%s\n%s\n%d\n%" PRIu64 "\n", writer,
                     r->model, r->checkpoint, r->determinism, r->precision, r->corruption,
                     r->sampler, r->nfe, r->seed + (uint64_t)i);

    if (r->mix > 0 && n > 0 && (size_t)n < sizeof(text))
        n += snprintf(text + n, sizeof(text) - (size_t)n, "%" PRIu64 "\n%d\n",
                      r->seed_b + (uint64_t)i, r->mix);
    if (r->label > 0 && n > 0 && (size_t)n < sizeof(text))
        n += snprintf(text + n, sizeof(text) - (size_t)n, "label %d %d\n", r->label, r->guidance);
    if (r->restoration && n > 0 && (size_t)n < sizeof(text))
        n += snprintf(text + n, sizeof(text) - (size_t)n, "%s\n%.17g\n%d\n%.17g\n%.17g\n%s\n%s\n",
                      r->restoration->degradation, r->restoration->std, r->restoration->estimated,
                      r->restoration->strength, r->restoration->consistency,
                      r->restoration->image_sha256, r->restoration->mask_sha256);
    sha256_init(&sha);
    sha256_update(&sha, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text), (uint8_t *)text);
    sha256_digest(&sha, PERMALINK_KEY_BYTES, key);
}

void permalink_answer_key(const struct samples_response *r, uint8_t key[PERMALINK_KEY_BYTES])
{
    struct sha256_ctx sha;
    char text[sizeof(answer_writer) + 16];

    permalink_key(r, 0, key);
    snprintf(text, sizeof(text), "%s\n%d\n", answer_writer, r->n);
    sha256_init(&sha);
    sha256_update(&sha, strlen(text), (uint8_t *)text);
    sha256_update(&sha, PERMALINK_KEY_BYTES, key);
    sha256_digest(&sha, PERMALINK_KEY_BYTES, key);
}

void permalink_etag(const uint8_t key[PERMALINK_KEY_BYTES], char out[PERMALINK_ETAG_BYTES])
{
    char *p = out;

    *p++ = '"';
    for (int i = 0; i < PERMALINK_KEY_BYTES; i++)
        p += sprintf(p, "%02x", key[i]);
    *p++ = '"';
    *p = '\0';
}

int permalink_matches(const char *header, const char *etag)
{
    size_t n = strlen(etag);

    while (header && *header) {
        header += strspn(header, " \t,");
        if (*header == '*')
            return 1;
        if (strncmp(header, "W/", 2) == 0)
            header += 2;
        if (strncmp(header, etag, n) == 0)
            return 1;
        if (*header == '"') { /* a comma inside a tag is part of it */
            header = strchr(header + 1, '"');
            header = header ? header + 1 : NULL;
        } else {
            header += strcspn(header, ",");
        }
    }
    return 0;
}
