#include "api/job_status.h"

#include "api/problem.h"
#include "api/query.h"
#include "api/seed.h"
#include "engine/base/json_memory.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

const char *job_state_name(enum job_state state)
{
    static const char *const names[] = {"queued", "in_progress", "completed", "failed",
                                        "cancelled"};

    return names[state];
}

/* New reference; NULL without memory. */
static json_t *webhook_to_json(const struct job_webhook *w)
{
    json_t *json =
        json_pack("{s:s, s:s, s:i}", "url", w->url, "status", w->status, "tries", w->tries);

    if (json && w->tries > 0)
        json_object_set_new(json, "last_status", json_integer(w->last_status));
    return json;
}

/* New reference; NULL without memory. */
static json_t *to_json(const struct job_status *s)
{
    const struct samples_response *r = &s->order;
    char *document = s->problem ? problem_to_json(s->problem, NULL) : NULL;
    json_t *root =
        json_pack("{s:s, s:s, s:b, s:I, s:s, s:s#, s:s, s:i, s:s, s:o, s:i, s:i, s:I, s:I, s:o, "
                  "s:o}",
                  "id", s->id, "status", job_state_name(s->state), "durable", s->durable, "created",
                  (json_int_t)s->created_s, "model", r->model, "checkpoint", r->checkpoint,
                  RESPONSE_DIGEST_CHARS, "sampler", r->sampler, "nfe", r->nfe, "determinism",
                  r->determinism, "seed", seed_to_json(r->seed), "n", r->n, "images_done",
                  s->images_done, "step", (json_int_t)s->step, "steps", (json_int_t)r->n * r->nfe,
                  "images", json_sprintf("/v1/jobs/%s/images/{index}.png", s->id), "archive",
                  json_sprintf("/v1/jobs/%s/images.zip", s->id));

    if (root) {
        samples_response_add_mix(r, -1, root);
        samples_response_add_label(r, root);
        samples_response_add_restoration(r, root);
    }
    if (root && s->eta_ms >= 0)
        json_object_set_new(root, "eta_ms", json_integer((json_int_t)(s->eta_ms + 0.5)));
    if (root && s->webhook.url)
        json_object_set_new(root, "webhook", webhook_to_json(&s->webhook));
    if (root && document)
        json_object_set_new(root, "error", json_memory_load(document, strlen(document), 0, NULL));
    free(document);
    return root;
}

/* mixed: parts of a whole are written as such, 0.3. */
static char *write_text(json_t *root, bool mixed)
{
    return json_memory_dump(root, mixed ? JSON_COMPACT | JSON_REAL_PRECISION(6) : JSON_COMPACT);
}

char *job_status_to_json(const struct job_status *s)
{
    return write_text(to_json(s), s->order.mix > 0 || s->order.guidance > 0);
}

char *job_list_to_json(const struct job_status *jobs, int n, bool more)
{
    json_t *list = json_array();
    bool mixed = false;
    int rc = list ? 0 : -1;

    for (int i = 0; i < n && rc == 0; i++) {
        rc = json_array_append_new(list, to_json(&jobs[i]));
        mixed |= jobs[i].order.mix > 0 || jobs[i].order.guidance > 0;
    }
    if (rc == 0)
        return write_text(json_pack("{s:o, s:b}", "jobs", list, "has_more", more), mixed);
    json_memory_drop(list);
    return NULL;
}

static void read_pair(const struct query_pair *pair, struct job_page *out, struct problem *problem)
{
    uint64_t number;

    if (strcmp(pair->name, "limit") == 0) {
        if (seed_from_text(pair->value, strlen(pair->value), &number) < 0 || number < 1 ||
            number > JOB_PAGE_MAX)
            problem_add_field(problem, "limit", "is 1 to %d", JOB_PAGE_MAX);
        else
            out->limit = (int)number;
    } else if (strcmp(pair->name, "after") == 0) {
        if (strlen(pair->value) != JOB_ID_BYTES - 1)
            problem_add_field(problem, "after", "there is no such job");
        else
            memcpy(out->after, pair->value, JOB_ID_BYTES);
    } else {
        problem_add_field(problem, pair->name, "is not known");
    }
}

int job_page_parse(const char *query, struct job_page *out, struct problem *problem)
{
    struct query_pair pair;
    int rc;

    *out = (struct job_page){.limit = JOB_PAGE_DEFAULT};
    while ((rc = query_next(&query, &pair)) > 0)
        read_pair(&pair, out, problem);
    if (rc < 0)
        return problem_set(problem, 400, "the query is not URL-encoded text");
    return problem->status ? -EINVAL : 0;
}
