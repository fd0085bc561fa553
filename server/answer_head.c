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

bool answer_head_apply(const struct answer_head *h, const char *request_id,
                       const char *content_type, struct MHD_Response *response)
{
    bool ok = true;

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
