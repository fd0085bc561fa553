#include "api/job_status.h"

#include "api/problem.h"
#include "api/seed.h"

#include <jansson.h>
#include <stdlib.h>

const char *job_state_name(enum job_state state)
{
    static const char *const names[] = {"queued", "in_progress", "completed", "failed",
                                        "cancelled"};

    return names[state];
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

    if (root && s->eta_ms >= 0)
        json_object_set_new(root, "eta_ms", json_integer((json_int_t)(s->eta_ms + 0.5)));
    if (root && document)
        json_object_set_new(root, "error", json_loads(document, 0, NULL));
    free(document);
    return root;
}

static char *write_text(json_t *root)
{
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;

    json_decref(root);
    return text;
}

char *job_status_to_json(const struct job_status *s)
{
    return write_text(to_json(s));
}

char *job_list_to_json(const struct job_status *jobs, int n, bool more)
{
    json_t *list = json_array();
    int rc = list ? 0 : -1;

    for (int i = 0; i < n && rc == 0; i++)
        rc = json_array_append_new(list, to_json(&jobs[i]));
    if (rc == 0)
        return write_text(json_pack("{s:o, s:b}", "jobs", list, "has_more", more));
    json_decref(list);
    return NULL;
}
