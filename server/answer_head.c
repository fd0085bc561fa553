#include "server/answer_head.h"

#include <stdio.h>

void answer_head_add(struct answer_head *h, const char *name, const char *value)
{
    struct answer_header *header = &h->headers[h->n_headers];

    if (h->n_headers == ANSWER_HEADERS_MAX)
        return;
    header->name = name;
    snprintf(header->value, sizeof(header->value), "%s", value);
    h->n_headers++;
}

/* What scripts of another origin may read beside what they always may. */
static bool apply_origin(const struct answer_head *h, struct MHD_Response *response)
{
    bool ok = true;

    if (!h->has_origin)
        return true;
    ok &= MHD_add_response_header(response, "Vary", "Origin");
    if (!*h->origin)
        return ok;
    ok &= MHD_add_response_header(response, "Access-Control-Allow-Origin", h->origin);
    ok &= MHD_add_response_header(response, "Access-Control-Expose-Headers",
                                  "Content-Location, ETag, Location, Preference-Applied, "
                                  "Retry-After, Server-Timing, X-NFE-Done, X-Request-ID, X-Seed");
    return ok;
}

bool answer_head_apply(const struct answer_head *h, const char *request_id,
                       const char *content_type, struct MHD_Response *response)
{
    bool ok = apply_origin(h, response);
    char age[32];

    if (h->hsts_max_age_s > 0) {
        snprintf(age, sizeof(age), "max-age=%d", h->hsts_max_age_s);
        ok &= MHD_add_response_header(response, "Strict-Transport-Security", age);
    }
    for (int i = 0; i < h->n_headers; i++)
        ok &= MHD_add_response_header(response, h->headers[i].name, h->headers[i].value);
    if (content_type)
        ok &= MHD_add_response_header(response, "Content-Type", content_type);
    ok &= MHD_add_response_header(response, "X-Request-ID", request_id);
    ok &= MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    ok &= MHD_add_response_header(response, "Cache-Control",
                                  h->cache_control ? h->cache_control : "no-store");
    if (h->close)
        ok &= MHD_add_response_header(response, "Connection", "close");
    return ok;
}
