#include "api/accept.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* 2: the type itself, 1: its family ("image/ *"), 0: anything, -1: not covered. */
static int specificity(const char *range, size_t size, const char *type)
{
    size_t family = (size_t)(strchr(type, '/') - type) + 1;

    if (size == strlen(type) && strncasecmp(range, type, size) == 0)
        return 2;
    if (size == family + 1 && range[family] == '*' && strncasecmp(range, type, family) == 0)
        return 1;
    return size == 3 && memcmp(range, "*/*", 3) == 0 ? 0 : -1;
}

/* The weight among the parameters in [p, end), 1000 if there is none. */
static int weight(const char *p, const char *end)
{
    int digits, scale = 100, q;

    for (; p < end; p++) {
        if (*p != ';')
            continue;
        p++;
        while (p < end && (*p == ' ' || *p == '\t'))
            p++;
        if (end - p < 2 || tolower((unsigned char)p[0]) != 'q' || p[1] != '=') {
            p--;
            continue;
        }
        if (end - p > 2 && p[2] == '1')
            return 1000;
        q = 0;
        for (digits = 4; digits < 7 && p + digits < end; digits++) {
            if (!isdigit((unsigned char)p[digits]))
                break;
            q += (p[digits] - '0') * scale;
            scale /= 10;
        }
        return q;
    }
    return 1000;
}

int accept_weight(const char *accept, const char *type)
{
    int best = -1, result = 0, found;
    const char *end, *stop;

    if (!accept)
        return 1000;
    while (*accept) {
        accept += strspn(accept, " \t,");
        end = accept + strcspn(accept, ",");
        stop = accept + strcspn(accept, ",; \t");
        found = specificity(accept, (size_t)(stop - accept), type);
        if (found > best) {
            best = found;
            result = weight(stop, end);
        }
        accept = end;
    }
    return result;
}
