#include "server/selection.h"

#include "api/accept.h"
#include "api/permalink.h"
#include "api/problem.h"
#include "engine/base/error.h"
#include "server/engine_model.h"
#include "server/engine_thread.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Whether the answer is a bare PNG. 0, or -EINVAL with a 406. */
static int choose_type(const char *accept, int n, bool *bare_png, struct problem *problem)
{
    int json = accept_weight(accept, "application/json");
    int png = accept_weight(accept, "image/png");

    if (n > 1 && json == 0)
        return problem_set(problem, 406,
                           "image/png carries one image; ask for n = 1 or accept application/json");
    *bare_png = n == 1 && png > json;
    return 0;
}

/* The names of models or of their corruptions, for texts: "a", "b". */
static void list_models(const struct engine_thread *engine, bool corruptions, char *out,
                        size_t size)
{
    const struct engine_model *m;
    size_t used = 0;

    out[0] = '\0';
    for (int i = 0; i < engine_thread_models(engine) && used < size; i++) {
        m = engine_thread_model(engine, i);
        used += (size_t)snprintf(out + used, size - used, "%s\"%s\"", i ? ", " : "",
                                 corruptions ? m->corruption : m->name);
    }
}

static int find_model(const struct engine_thread *engine, const struct samples_request *wanted,
                      int *out, struct problem *problem)
{
    const struct engine_model *m;
    bool known = false;
    char names[256];

    for (int i = 0; i < engine_thread_models(engine); i++) {
        m = engine_thread_model(engine, i);
        if (*wanted->model && strcmp(wanted->model, m->name) != 0)
            continue;
        known = true;
        if (*wanted->corruption && strcmp(wanted->corruption, m->corruption) != 0)
            continue;
        *out = i;
        return 0;
    }
    list_models(engine, known, names, sizeof(names));
    if (!known && problem->status == 0)
        return problem_set(problem, 404, "there is no model \"%s\"; there are: %s", wanted->model,
                           names);
    if (!known)
        problem_add_field(problem, "model", "there is no such model; there are: %s", names);
    else if (*wanted->model)
        problem_add_field(problem, "corruption", "model \"%s\" was not trained on \"%s\"",
                          wanted->model, wanted->corruption);
    else
        problem_add_field(problem, "corruption",
                          "no model here was trained on \"%s\"; there are: %s", wanted->corruption,
                          names);
    return -EINVAL;
}

bool selection_offers(const struct engine_thread *engine, enum sampler sampler)
{
    bool offered = sampler != SAMPLER_TUNED;

    for (int i = 0; i < engine_thread_models(engine); i++)
        offered |= engine_thread_model(engine, i)->sampling->n_solvers > 0;
    return offered;
}

static int find_sampler(const struct engine_thread *engine, const char *name, enum sampler *out,
                        struct problem *problem)
{
    char names[256] = "";
    size_t used = 0;

    if (sampler_parse(name, out, NULL) == 0)
        return 0;
    for (int i = 0; i < SAMPLERS && used < sizeof(names); i++)
        if (selection_offers(engine, (enum sampler)i))
            used += (size_t)snprintf(names + used, sizeof(names) - used, "%s\"%s\"", i ? ", " : "",
                                     sampler_name((enum sampler)i));
    problem_add_field(problem, "sampler", "there is no such sampler; there are: %s", names);
    return -EINVAL;
}

/* model: NULL, it was not found, and only the sampler's name can be right or wrong. */
static void choose_sampling(const struct engine_thread *engine, const struct engine_model *model,
                            const struct samples_limits *limits,
                            const struct samples_request *wanted, struct sampling_choice *out,
                            struct problem *problem)
{
    const bool named = *wanted->sampler;
    enum sampler sampler;
    struct error error;
    int rc;

    if (named && find_sampler(engine, wanted->sampler, &sampler, problem) < 0)
        return;
    if (!model)
        return;
    rc = sampling_choose(model->sampling, named ? &sampler : NULL, wanted->nfe, limits->nfe_max,
                         out, &error);
    if (rc < 0)
        problem_add_field(problem, rc == -ENOENT ? "sampler" : "nfe", "%s", error.text);
}

int selection_read(const struct engine_thread *engine, const struct samples_limits *limits,
                   const char *body, size_t size, const char *accept, struct selection *out,
                   struct problem *problem)
{
    struct samples_request *wanted = &out->request;
    const struct engine_model *model = NULL;

    samples_request_parse(body, size, limits, wanted, problem);
    if (problem->status && problem->status != 422)
        return -EINVAL;
    if (find_model(engine, wanted, &out->model, problem) == 0)
        model = engine_thread_model(engine, out->model);
    choose_sampling(engine, model, limits, wanted, &out->sampling, problem);
    if (!problem->status)
        choose_type(accept, wanted->n, &out->bare_png, problem);
    return problem->status ? -EINVAL : 0;
}

/* A checkpoint or device that is not this daemon's may be another's: 404, not 422. */
static int check_versions(const struct engine_thread *engine, const struct engine_model *model,
                          const struct permalink *link, const struct samples_request *wanted,
                          struct problem *problem)
{
    const char *id = engine_thread_identity(engine);

    if (strncmp(model->digest, link->checkpoint, strlen(link->checkpoint)) != 0)
        return problem_set(problem, 404, "the checkpoint of model \"%s\" is %.12s here, not %s",
                           model->name, model->digest, link->checkpoint);
    if (*wanted->determinism && strcmp(wanted->determinism, id) != 0)
        return problem_set(problem, 404,
                           "this daemon draws with the determinism id %s, not \"%s\": its image "
                           "may differ",
                           id, wanted->determinism);
    return 0;
}

int selection_read_permalink(const struct engine_thread *engine,
                             const struct samples_limits *limits, const struct permalink *link,
                             const char *query, struct selection *out, struct problem *problem)
{
    struct samples_request *wanted = &out->request;
    const struct engine_model *model = NULL;
    struct problem missing = {0};

    samples_request_parse_query(query, limits, wanted, problem);
    if (problem->status && problem->status != 422)
        return -EINVAL;
    snprintf(wanted->model, sizeof(wanted->model), "%s", link->model);
    /* Without such a model there is no such address, whatever its query. */
    if (find_model(engine, wanted, &out->model, &missing) == 0)
        model = engine_thread_model(engine, out->model);
    else if (missing.status == 404)
        *problem = missing;
    else
        find_model(engine, wanted, &out->model, problem);
    if (problem->status == 404 ||
        (model && check_versions(engine, model, link, wanted, problem) < 0))
        return -EINVAL;
    choose_sampling(engine, model, limits, wanted, &out->sampling, problem);
    return problem->status ? -EINVAL : 0;
}
