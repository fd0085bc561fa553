#include "server/model_routes.h"

#include "api/problem.h"
#include "config/settings.h"
#include "engine/base/json_memory.h"
#include "server/daemon.h"
#include "server/exchange.h"
#include "server/models.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An exchange that waits for a change; what was asked for is done also when its client has gone. */
struct waiting {
    struct exchange *exchange; /* NULL: gone */
};

static void on_gone(void *arg)
{
    struct waiting *w = arg;

    w->exchange = NULL;
}

static void on_done(void *arg, const struct problem *problem, const struct json_t *result)
{
    struct waiting *w = arg;
    struct exchange *x = w->exchange;

    free(w);
    if (!x)
        return;
    if (problem) {
        exchange_respond_problem(x, problem);
        return;
    }
    exchange_respond_json(x, 200,
                          json_memory_dump(json_pack("{s:O}", "models", result), JSON_COMPACT));
}

/* NULL without memory: answered. */
static struct waiting *wait(struct exchange *x)
{
    static const struct problem no_memory = {.status = 503, .detail = "out of memory"};
    struct waiting *w = calloc(1, sizeof(*w));

    if (!w) {
        exchange_respond_problem(x, &no_memory);
        return NULL;
    }
    w->exchange = x;
    exchange_on_gone(x, on_gone, w);
    return w;
}

/* The name of ../models/NAME/.., cut where it is longer than any. */
static void name_of(const struct exchange *x, char out[SETTINGS_NAME_BYTES + 2])
{
    static const char before[] = "/models/";
    const char *name = strstr(exchange_path(x), before) + sizeof(before) - 1;

    snprintf(out, SETTINGS_NAME_BYTES + 2, "%.*s", (int)strcspn(name, "/"), name);
}

void model_routes_list(struct daemon *d, struct exchange *x)
{
    exchange_respond_json(x, 200,
                          json_memory_dump(json_pack("{s:o}", "models", models_to_json(d->models)),
                                           JSON_COMPACT));
}

void model_routes_load(struct daemon *d, struct exchange *x)
{
    char name[SETTINGS_NAME_BYTES + 2];
    struct waiting *w = wait(x);

    name_of(x, name);
    if (w)
        models_load(d->models, name, on_done, w);
}

void model_routes_unload(struct daemon *d, struct exchange *x)
{
    char name[SETTINGS_NAME_BYTES + 2];
    struct waiting *w = wait(x);

    name_of(x, name);
    if (w)
        models_unload(d->models, name, on_done, w);
}

/* Keys come first: where they are bad, everything stays as it is. */
void model_routes_reload(struct daemon *d, struct exchange *x)
{
    struct problem problem = {0};
    struct waiting *w;

    if (daemon_reload_access(d, &problem) < 0) {
        exchange_respond_problem(x, &problem);
        return;
    }
    w = wait(x);
    if (w)
        models_reload(d->models, on_done, w);
}
