#include "api/prefer.h"

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

bool prefer_has(const char *prefer, const char *name)
{
    size_t size = strlen(name), n;

    while (prefer && *prefer) {
        prefer += strspn(prefer, " \t,");
        n = strcspn(prefer, " \t,;=\"");
        if (n == size && strncasecmp(prefer, name, n) == 0 &&
            strchr(",;=", prefer[n + strspn(prefer + n, " \t")]))
            return true;
        prefer = after(prefer + n);
    }
    return false;
}
