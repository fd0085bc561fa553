#include "server/routes.h"

#include "api/images.h"
#include "api/kserve_response.h"
#include "api/permalink.h"
#include "api/problem.h"
#include "server/admission.h"
#include "server/assets.h"
#include "server/cross_origin.h"
#include "server/daemon.h"
#include "server/describe.h"
#include "server/exchange.h"
#include "server/images.h"
#include "server/job_routes.h"
#include "server/keys.h"
#include "server/kserve.h"
#include "server/kserve_infer.h"
#include "server/metrics.h"
#include "server/model_routes.h"
#include "server/permalinks.h"
#include "server/restorations.h"
#include "server/samples.h"
#include "server/verify.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum route_kind {
    OPEN = 1,   /* to those without a key, too */
    ENGINE = 2, /* 503 unless ready */
    DRAWS = 4,  /* counts for the limits of a key */
};

struct route {
    const char *method; /* GET serves HEAD too */
    const char *path;   /* {name}: any text without a slash, of a byte or more */
    unsigned kind;      /* of enum route_kind; 0: whoever has a key, at any time */
    void (*begin)(struct daemon *d, struct exchange *x); /* optional */
    void (*complete)(struct daemon *d, struct exchange *x);
    const struct exchange_problem_form *problems; /* NULL: problem documents */
};

/* The dialect of the Images API, and both where others speak to the same address. */
static const struct exchange_problem_form images_problems = {"application/json",
                                                             images_problem_to_json,
                                                             images_problem_status,
                                                             IMAGES_NO_MEMORY};
static const struct exchange_problem_form both_problems = {PROBLEM_CONTENT_TYPE,
                                                           images_problem_to_both, NULL,
                                                           PROBLEM_NO_MEMORY};

static const struct exchange_problem_form kserve_problems = {"application/json",
                                                             kserve_problem_to_json,
                                                             kserve_problem_status,
                                                             "{\"error\":\"out of memory\"}"};

/* For routes that take JSON and nothing else. */
static void begin_json(struct daemon *d, struct exchange *x)
{
    struct problem problem = {0};

    if (exchange_has_json(x, &problem) < 0)
        exchange_respond_problem(x, &problem);
}

static void get_index(struct daemon *d, struct exchange *x)
{
    exchange_add_header(x, "Content-Security-Policy", asset_index_html_policy);
    exchange_add_header(x, "Referrer-Policy", "no-referrer");
    exchange_add_header(x, "ETag", asset_index_html_tag);
    exchange_set_cache_control(x, "no-cache");
    if (permalink_matches(exchange_header(x, "If-None-Match"), asset_index_html_tag))
        exchange_respond_empty(x, 304);
    else
        exchange_respond(x, 200, "text/html; charset=utf-8", asset_index_html,
                         asset_index_html_size, NULL);
}

static void get_openapi(struct daemon *d, struct exchange *x)
{
    exchange_respond(x, 200, "application/json", asset_openapi_json, asset_openapi_json_size, NULL);
}

static void get_admin_openapi(struct daemon *d, struct exchange *x)
{
    exchange_respond(x, 200, "application/json", asset_openapi_admin_json,
                     asset_openapi_admin_json_size, NULL);
}

static void get_version(struct daemon *d, struct exchange *x)
{
    exchange_respond_json(x, 200, describe_version(d));
}

static void get_models(struct daemon *d, struct exchange *x)
{
    exchange_respond_json(x, 200, describe_models(d));
}

static void get_model(struct daemon *d, struct exchange *x)
{
    struct problem problem = {0};
    char *text = describe_model(d, exchange_path(x) + strlen("/v1/models/"), &problem);

    if (problem.status)
        exchange_respond_problem(x, &problem);
    else
        exchange_respond_json(x, 200, text);
}

static void get_capabilities(struct daemon *d, struct exchange *x)
{
    exchange_respond_json(x, 200, describe_capabilities(d));
}

static void get_queue(struct daemon *d, struct exchange *x)
{
    exchange_respond_json(x, 200, describe_queue(d));
}

/* Alive: not in need of a restart. Loading and draining are healthy. */
static void get_livez(struct daemon *d, struct exchange *x)
{
    const char *state = daemon_state(d);
    bool alive = strcmp(state, "stalled") != 0 && strcmp(state, "failed") != 0;

    exchange_respond_json(x, alive ? 200 : 503, describe_state(d));
}

static void get_readyz(struct daemon *d, struct exchange *x)
{
    exchange_respond_json(x, strcmp(daemon_state(d), "ready") == 0 ? 200 : 503, describe_state(d));
}

static void get_metrics(struct daemon *d, struct exchange *x)
{
    exchange_respond_text(x, 200, METRICS_CONTENT_TYPE, metrics_text(d));
}

static const struct route public_routes[] = {
    {"GET", "/", OPEN, NULL, get_index, NULL},
    {"GET", "/openapi.json", OPEN, NULL, get_openapi, NULL},
    {"GET", "/version", OPEN, NULL, get_version, NULL},
    {"GET", "/livez", OPEN, NULL, get_livez, NULL},
    {"GET", "/readyz", OPEN, NULL, get_readyz, NULL},
    {"GET", "/v1/models", ENGINE, NULL, get_models, &both_problems},
    {"GET", "/v1/models/{model}", ENGINE, NULL, get_model, &both_problems},
    {"GET", "/v1/models/{model}/samples/{seed}.png", ENGINE | DRAWS, NULL, permalinks_handle, NULL},
    {"GET", "/v1/capabilities", ENGINE, NULL, get_capabilities, NULL},
    {"POST", "/v1/samples", ENGINE | DRAWS, samples_begin, samples_handle, NULL},
    {"POST", "/v1/restorations", ENGINE | DRAWS, restorations_begin, restorations_handle, NULL},
    {"GET", "/v1/jobs", ENGINE, NULL, job_routes_list, NULL},
    {"POST", "/v1/jobs", ENGINE | DRAWS, begin_json, job_routes_add, NULL},
    {"GET", "/v1/jobs/{job}", ENGINE, NULL, job_routes_get, NULL},
    {"DELETE", "/v1/jobs/{job}", ENGINE, NULL, job_routes_cancel, NULL},
    {"GET", "/v1/jobs/{job}/events", ENGINE, NULL, job_routes_watch, NULL},
    {"GET", "/v1/jobs/{job}/images/{index}.png", ENGINE, NULL, job_routes_image, NULL},
    {"GET", "/v1/jobs/{job}/images.zip", ENGINE | DRAWS, NULL, job_routes_archive, NULL},
    {"POST", "/v1/verify", ENGINE | DRAWS, verify_begin, verify_handle, NULL},
    {"POST", "/v1/images/generations", ENGINE | DRAWS, begin_json, images_handle, &images_problems},
    {"GET", "/v2", 0, NULL, kserve_server, &kserve_problems},
    {"GET", "/v2/health/live", OPEN, NULL, kserve_live, &kserve_problems},
    {"GET", "/v2/health/ready", OPEN, NULL, kserve_ready, &kserve_problems},
    {"GET", "/v2/models/stats", ENGINE, NULL, kserve_stats, &kserve_problems},
    {"GET", "/v2/models/{model}", ENGINE, NULL, kserve_model, &kserve_problems},
    {"GET", "/v2/models/{model}/ready", ENGINE, NULL, kserve_model_ready, &kserve_problems},
    {"GET", "/v2/models/{model}/stats", ENGINE, NULL, kserve_model_stats, &kserve_problems},
    {"POST", "/v2/models/{model}/infer", ENGINE | DRAWS, NULL, kserve_infer, &kserve_problems},
    {"GET", "/v2/models/{model}/versions/{version}", ENGINE, NULL, kserve_model, &kserve_problems},
    {"GET", "/v2/models/{model}/versions/{version}/ready", ENGINE, NULL, kserve_model_ready,
     &kserve_problems},
    {"GET", "/v2/models/{model}/versions/{version}/stats", ENGINE, NULL, kserve_model_stats,
     &kserve_problems},
    {"POST", "/v2/models/{model}/versions/{version}/infer", ENGINE | DRAWS, NULL, kserve_infer,
     &kserve_problems},
    {"POST", "/v2/repository/index", ENGINE, NULL, kserve_index, &kserve_problems},
    {NULL, NULL, 0, NULL, NULL, NULL},
};

static const struct route admin_routes[] = {
    {"GET", "/openapi.json", OPEN, NULL, get_admin_openapi, NULL},
    {"GET", "/livez", OPEN, NULL, get_livez, NULL},
    {"GET", "/readyz", OPEN, NULL, get_readyz, NULL},
    {"GET", "/version", OPEN, NULL, get_version, NULL},
    {"GET", "/v1/queue", ENGINE, NULL, get_queue, NULL},
    {"GET", "/metrics", 0, NULL, get_metrics, NULL},
    {"GET", "/v1/models", ENGINE, NULL, model_routes_list, NULL},
    {"POST", "/v1/models/{model}/load", ENGINE, NULL, model_routes_load, NULL},
    {"POST", "/v1/models/{model}/unload", ENGINE, NULL, model_routes_unload, NULL},
    {"POST", "/-/reload", ENGINE, NULL, model_routes_reload, NULL},
    {"POST", "/v2/repository/index", ENGINE, NULL, kserve_index, &kserve_problems},
    {"POST", "/v2/repository/models/{model}/load", ENGINE, NULL, model_routes_load,
     &kserve_problems},
    {"POST", "/v2/repository/models/{model}/unload", ENGINE, NULL, model_routes_unload,
     &kserve_problems},
    {NULL, NULL, 0, NULL, NULL, NULL},
};

static bool path_fits(const char *pattern, const char *path)
{
    const char *rest;
    size_t n, suffix;

    while (*pattern && (*pattern == '{' || *pattern == *path)) {
        if (*pattern++ != '{') {
            path++;
            continue;
        }
        rest = strchr(pattern, '}') + 1;
        suffix = strcspn(rest, "/");
        n = strcspn(path, "/");
        if (n <= suffix || memcmp(path + n - suffix, rest, suffix) != 0)
            return false;
        path += n;
        pattern = rest + suffix;
    }
    return !*pattern && !*path;
}

/* What an address answers, for Allow; NULL: nothing is there. */
static const char *allowed_methods(const struct route *routes, const struct exchange *x)
{
    bool get = false, post = false, delete = false;

    for (const struct route *r = routes; r->path; r++)
        if (path_fits(r->path, exchange_path(x))) {
            get |= strcmp(r->method, "GET") == 0;
            post |= strcmp(r->method, "POST") == 0;
            delete |= strcmp(r->method, "DELETE") == 0;
        }
    if (get && post)
        return "GET, HEAD, POST";
    if (get)
        return delete ? "GET, HEAD, DELETE" : "GET, HEAD";
    return post ? "POST" : NULL;
}

/* NULL: nothing fits. */
static const struct route *find_route(const struct route *routes, struct exchange *x)
{
    const char *method = exchange_method(x);

    for (const struct route *r = routes; r->path; r++) {
        if (!path_fits(r->path, exchange_path(x)))
            continue;
        exchange_set_route(x, r->path);
        exchange_set_problem_form(x, r->problems);
        if (strcmp(r->method, method) == 0 ||
            (strcmp(method, "HEAD") == 0 && strcmp(r->method, "GET") == 0))
            return r;
    }
    return NULL;
}

static void answer_nothing_there(const struct route *routes, struct exchange *x)
{
    const char *allow = allowed_methods(routes, x);
    struct problem problem = {0};

    if (allow) {
        exchange_add_header(x, "Allow", allow);
        problem_set(&problem, 405, "this address answers %s", allow);
    } else {
        problem_set(&problem, 404, "there is nothing at this address; see /openapi.json");
    }
    exchange_respond_problem(x, &problem);
}

int routes_retry_after_s(void *arg)
{
    const struct daemon *d = arg;

    return d->admission ? admission_retry_soon_s(d->admission) : 1;
}

/* Whoever has no key learns nothing, not even which addresses there are. r NULL: none of them. False:
 * answered. */
static bool let_in(struct daemon *d, struct exchange *x, const struct route *r)
{
    bool draws = r && r->kind & DRAWS;
    struct problem problem = {0};
    struct key *key;

    if (r && r->kind & OPEN)
        return true;
    if (keys_enter(d->keys, exchange_header(x, "Authorization"), draws, &key, &problem) == 0) {
        exchange_set_key(x, key, draws);
        return true;
    }
    if (problem.status == 401)
        exchange_add_header(x, "WWW-Authenticate", "Bearer");
    else if (problem.retry_after_s == 0)
        problem.retry_after_s = routes_retry_after_s(d);
    exchange_respond_problem(x, &problem);
    return false;
}

static bool refuse_unless_ready(struct daemon *d, struct exchange *x)
{
    struct problem problem = {0};

    if (daemon_serves(d))
        return false;
    if (d->phase >= DAEMON_LEAVING)
        problem.retry_after_s = 1; /* others are there */
    problem_set(&problem, 503, "the daemon is not ready: %s", daemon_state(d));
    exchange_respond_problem(x, &problem);
    return true;
}

/* guarded: needs keys where there are any. */
static void begin(const struct route *routes, bool guarded, struct daemon *d, struct exchange *x)
{
    const struct route *r;

    if (d->phase >= DAEMON_LEAVING)
        exchange_set_close(x);
    r = find_route(routes, x);
    if (guarded && !let_in(d, x, r))
        return;
    if (!r) {
        answer_nothing_there(routes, x);
        return;
    }
    if (r->kind & ENGINE && refuse_unless_ready(d, x))
        return;
    exchange_set_context(x, r);
    if (r->begin)
        r->begin(d, x);
}

void routes_complete(struct exchange *x, void *arg)
{
    const struct route *r = exchange_context(x);
    struct daemon *d = arg;

    /* The daemon may have changed its state while the body came in. */
    if (!(r->kind & ENGINE) || !refuse_unless_ready(d, x))
        r->complete(d, x);
}

void routes_public_begin(struct exchange *x, void *arg)
{
    struct daemon *d = arg;

    if (!cross_origin_begin(d->settings, x))
        begin(public_routes, true, d, x);
    else
        cross_origin_preflight(d->settings, x, allowed_methods(public_routes, x));
}

void routes_admin_begin(struct exchange *x, void *arg)
{
    begin(admin_routes, false, arg, x);
}
