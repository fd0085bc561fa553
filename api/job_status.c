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

char *job_status_to_json(const struct job_status *s)
{
    const struct samples_response *r = &s->order;
    char *document = s->problem ? problem_to_json(s->problem, NULL) : NULL, *text = NULL;
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
    if (root)
        text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    free(document);
    return text;
}
