#include "api/query.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int query_unescape(const char *text, size_t n, int plus_is_space, char *out, size_t size)
{
    size_t used = 0;
    char digits[3] = "";
    char c;

    for (size_t i = 0; i < n; i++) {
        c = text[i];
        if (c == '+' && plus_is_space) {
            c = ' ';
        } else if (c == '%') {
            if (n - i < 3 || !isxdigit((unsigned char)text[i + 1]) ||
                !isxdigit((unsigned char)text[i + 2]))
                return -EINVAL;
            memcpy(digits, text + i + 1, 2);
            c = (char)strtol(digits, NULL, 16);
            i += 2;
        }
        if (c < ' ' || c > '~' || used + 1 >= size)
            return -EINVAL;
        out[used++] = c;
    }
    out[used] = '\0';
    return 0;
}

int query_next(const char **query, struct query_pair *out)
{
    const char *text = *query, *equals;
    size_t n, name_size;

    if (text)
        text += strspn(text, "&");
    if (!text || !*text)
        return 0;
    n = strcspn(text, "&");
    equals = memchr(text, '=', n);
    name_size = equals ? (size_t)(equals - text) : n;
    *query = text + n;
    out->value[0] = '\0';
    if (query_unescape(text, name_size, 1, out->name, sizeof(out->name)) < 0 ||
        (equals &&
         query_unescape(equals + 1, n - name_size - 1, 1, out->value, sizeof(out->value)) < 0))
        return -EINVAL;
    return 1;
}
