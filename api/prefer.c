#include "api/prefer.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* What follows a preference: its value and parameters, in which quotes hide commas. */
static const char *after(const char *p)
{
    while (*p && *p != ',') {
        if (*p++ != '"')
            continue;
        for (; *p && *p != '"'; p++)
            if (*p == '\\' && p[1])
                p++;
        if (*p)
            p++;
    }
    return p;
}

/* What stands behind the name of a preference and blanks: '=', ';', ',' or the end. NULL: it is not there. */
static const char *find(const char *prefer, const char *name)
{
    size_t size = strlen(name), n;
    const char *rest;

    while (prefer && *prefer) {
        prefer += strspn(prefer, " \t,");
        n = strcspn(prefer, " \t,;=\"");
        rest = prefer + n + strspn(prefer + n, " \t");
        if (n == size && strncasecmp(prefer, name, n) == 0 && strchr(",;=", *rest))
            return rest;
        prefer = after(prefer + n);
    }
    return NULL;
}

bool prefer_has(const char *prefer, const char *name)
{
    return find(prefer, name) != NULL;
}

int prefer_number(const char *prefer, const char *name)
{
    const char *p = find(prefer, name);
    int number = 0;
    bool quoted;

    if (!p || *p++ != '=')
        return -1;
    p += strspn(p, " \t");
    quoted = *p == '"';
    p += quoted;
    if (!isdigit((unsigned char)*p))
        return -1;
    for (; isdigit((unsigned char)*p); p++)
        number = number > PREFER_NUMBER_MAX / 10 ? PREFER_NUMBER_MAX : 10 * number + (*p - '0');
    if (quoted && *p++ != '"')
        return -1;
    p += strspn(p, " \t");
    if (!strchr(",;", *p))
        return -1;
    return number < PREFER_NUMBER_MAX ? number : PREFER_NUMBER_MAX;
}
