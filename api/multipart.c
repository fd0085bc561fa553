#include "api/multipart.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char type[] = "multipart/form-data";

/* Finds text in [from, end); NULL: it is not there. */
static const char *find(const char *from, const char *end, const char *text)
{
    size_t n = strlen(text);

    while ((size_t)(end - from) >= n) {
        from = memchr(from, *text, (size_t)(end - from) - n + 1);
        if (!from || memcmp(from, text, n) == 0)
            return from;
        from++;
    }
    return NULL;
}

/* The value of a parameter of a header, in quotes or a word. 0 or -EINVAL. */
static int read_parameter(const char *header, const char *end, const char *name, char *out,
                          size_t out_size)
{
    size_t n = strlen(name), used = 0;
    const char *p = header;
    bool quoted;

    while ((p = memchr(p, ';', (size_t)(end - p)))) {
        for (p++; p < end && (*p == ' ' || *p == '\t'); p++)
            ;
        if ((size_t)(end - p) <= n || strncasecmp(p, name, n) != 0 || p[n] != '=')
            continue;
        p += n + 1;
        quoted = p < end && *p == '"';
        for (p += quoted; p < end && (quoted ? *p != '"' : !strchr("; \t", *p)); p++) {
            if (used + 1 >= out_size || *p == '\0')
                return -EINVAL;
            out[used++] = *p;
        }
        out[used] = '\0';
        return used > 0 && (!quoted || p < end) ? 0 : -EINVAL;
    }
    return -EINVAL;
}

int multipart_begin(const char *content_type, const char *body, size_t size, struct multipart *out)
{
    const char *end = content_type + strlen(content_type);
    char boundary[MULTIPART_BOUNDARY_MAX + 1];
    size_t n = strcspn(content_type, "; \t");

    if (n != strlen(type) || strncasecmp(content_type, type, n) != 0 ||
        read_parameter(content_type, end, "boundary", boundary, sizeof(boundary)) < 0)
        return -EINVAL;
    snprintf(out->boundary, sizeof(out->boundary), "\r\n--%s", boundary);
    out->at = body;
    out->end = body + size;
    /* The first one may have no line before it. */
    if (size >= strlen(out->boundary) - 2 &&
        memcmp(body, out->boundary + 2, strlen(out->boundary) - 2) == 0)
        out->at = body + strlen(out->boundary) - 2;
    else if ((out->at = find(body, out->end, out->boundary)))
        out->at += strlen(out->boundary);
    return out->at ? 0 : -EINVAL;
}

/* The lines before a part's bytes. */
static int read_head(const char *from, const char *end, struct multipart_part *out)
{
    static const char disposition[] = "content-disposition:";
    const char *line = from, *next;

    for (; line < end; line = next + 2) {
        next = find(line, end, "\r\n");
        if (!next)
            next = end;
        if ((size_t)(next - line) > strlen(disposition) &&
            strncasecmp(line, disposition, strlen(disposition)) == 0)
            return read_parameter(line, next, "name", out->name, sizeof(out->name));
        if (next == end)
            break;
    }
    return -EINVAL;
}

int multipart_next(struct multipart *m, struct multipart_part *out)
{
    const char *head, *bytes, *end;

    if (m->end - m->at >= 2 && memcmp(m->at, "--", 2) == 0)
        return 0;
    head = find(m->at, m->end, "\r\n"); /* spaces may follow a boundary */
    bytes = head ? find(head, m->end, "\r\n\r\n") : NULL;
    end = bytes ? find(bytes + 2, m->end, m->boundary) : NULL;
    if (!end || read_head(head + 2, bytes, out) < 0)
        return -EINVAL;
    bytes += 4;
    out->bytes = bytes;
    out->size = end > bytes ? (size_t)(end - bytes) : 0;
    m->at = end + strlen(m->boundary);
    return 1;
}
