#include "server/cross_origin.h"

#include "api/problem.h"
#include "config/settings.h"
#include "server/exchange.h"

#include <string.h>

/* Whether a comma-separated list has this origin. */
static bool is_listed(const char *list, const char *origin)
{
    size_t n, size = strlen(origin);

    for (; *list; list += n + (list[n] != '\0')) {
        n = strcspn(list, ",");
        if (n == size && memcmp(list, origin, n) == 0)
            return true;
    }
    return false;
}

/* What is told the browser about this page; NULL: nothing. */
static const char *allowed(const struct settings *s, const struct exchange *x)
{
    const char *origin = exchange_header(x, "Origin");

    if (!origin)
        return NULL;
    if (strcmp(s->cors_origin, "*") == 0)
        return "*";
    return is_listed(s->cors_origin, origin) ? origin : NULL;
}

bool cross_origin_begin(const struct settings *s, struct exchange *x)
{
    if (!*s->cors_origin)
        return false;
    exchange_set_origin(x, allowed(s, x));
    return strcmp(exchange_method(x), "OPTIONS") == 0 && exchange_header(x, "Origin") &&
           exchange_header(x, "Access-Control-Request-Method");
}

void cross_origin_preflight(const struct settings *s, struct exchange *x, const char *methods)
{
    struct problem problem = {0};

    exchange_set_route(x, "preflight");
    if (!methods)
        problem_set(&problem, 404, "there is nothing at this address; see /openapi.json");
    else if (!allowed(s, x))
        problem_set(&problem, 403, "pages of this origin may not read answers of this daemon");
    if (problem.status) {
        exchange_respond_problem(x, &problem);
        return;
    }
    exchange_add_header(x, "Access-Control-Allow-Methods", methods);
    exchange_add_header(x, "Access-Control-Allow-Headers",
                        "Accept, Authorization, Content-Type, Idempotency-Key, If-None-Match, "
                        "Last-Event-ID, Prefer, X-Request-ID");
    exchange_add_header(x, "Access-Control-Max-Age", "600");
    exchange_respond_empty(x, 204);
}
