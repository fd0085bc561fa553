#include "server/selection.h"

#include "api/permalink.h"
#include "api/problem.h"
#include "engine/base/error.h"
#include "model/formulation.h"
#include "server/engine_model.h"
#include "server/models.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const char *word_at(const struct models *models, int i, bool corruptions)
{
    const struct engine_model *m = models_at(models, i);

    return corruptions ? m->corruption : m->name;
}

/* The names of models or of their corruptions, each once, for texts: "a", "b". */
static void list_models(const struct models *models, bool corruptions, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (int i = 0; i < models_count(models) && used < size; i++) {
        const char *word = word_at(models, i, corruptions);
        int j = 0;

        while (j < i && strcmp(word_at(models, j, corruptions), word) != 0)
            j++;
        if (j == i)
            used += (size_t)snprintf(out + used, size - used, "%s\"%s\"", i ? ", " : "", word);
    }
}

static int find_model(const struct models *models, const struct samples_request *wanted,
                      struct engine_model **out, struct problem *problem)
{
    struct engine_model *m;
    const struct engine_model *other = NULL; /* of this name, with another checkpoint */
    struct permalink named = {.model = ""};
    bool known = false;
    char names[256];

    if (*wanted->model && permalink_parse_model(wanted->model, &named) < 0)
        snprintf(named.model, sizeof(named.model), "@"); /* nobody's */
    for (int i = 0; i < models_count(models); i++) {
        m = models_at(models, i);
        if (*wanted->model && strcmp(named.model, m->name) != 0)
            continue;
        if (strncmp(m->digest, named.checkpoint, strlen(named.checkpoint)) != 0) {
            other = m;
            continue;
        }
        known = true;
        if (*wanted->corruption && strcmp(wanted->corruption, m->corruption) != 0)
            continue;
        *out = m;
        return 0;
    }
    if (other)
        return problem_set(problem, 404, "the checkpoint of model \"%s\" is %.12s here, not %s",
                           other->name, other->digest, named.checkpoint);
    list_models(models, known, names, sizeof(names));
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

int selection_find_model(const struct models *models, const char *name, struct engine_model **out,
                         struct problem *problem)
{
    struct samples_request wanted = {.corruption = ""};

    if ((size_t)snprintf(wanted.model, sizeof(wanted.model), "%s", name) < sizeof(wanted.model))
        return find_model(models, &wanted, out, problem);
    return problem_set(problem, 404, "there is no such model");
}

bool selection_offers(const struct models *models, enum sampler sampler)
{
    bool offered = sampler != SAMPLER_TUNED;

    for (int i = 0; i < models_count(models); i++)
        offered |= models_at(models, i)->sampling->n_solvers > 0;
    return offered;
}

static int find_sampler(const struct models *models, const char *name, enum sampler *out,
                        struct problem *problem)
{
    char names[256] = "";
    size_t used = 0;

    if (sampler_parse(name, out, NULL) == 0)
        return 0;
    for (int i = 0; i < SAMPLERS && used < sizeof(names); i++)
        if (selection_offers(models, (enum sampler)i))
            used += (size_t)snprintf(names + used, sizeof(names) - used, "%s\"%s\"", i ? ", " : "",
                                     sampler_name((enum sampler)i));
    problem_add_field(problem, "sampler", "there is no such sampler; there are: %s", names);
    return -EINVAL;
}

/* model: NULL, it was not found, and only the sampler's name can be right or wrong. */
static void choose_sampling(const struct models *models, const struct engine_model *model,
                            const struct samples_request *wanted, bool midway,
                            struct sampling_choice *out, struct problem *problem)
{
    const bool named = *wanted->sampler;
    enum sampler sampler;
    struct error error;
    int rc;

    if (named && find_sampler(models, wanted->sampler, &sampler, problem) < 0)
        return;
    if (!model)
        return;
    if (wanted->nfe > model->nfe_max) {
        problem_add_field(problem, "nfe", "of model \"%s\" is at most %d", model->name,
                          model->nfe_max);
        return;
    }
    rc = (midway ? sampling_choose_midway : sampling_choose)(model->sampling,
                                                             named ? &sampler : NULL, wanted->nfe,
                                                             model->nfe_max, out, &error);
    if (rc < 0)
        problem_add_field(problem, rc == -ENOENT ? "sampler" : "nfe", "%s", error.text);
}

/* "a", "b", as far as there is room. */
static void list_labels(const struct engine_model *model, char *out, size_t size)
{
    size_t used = 0, n = json_array_size(model->labels);

    out[0] = '\0';
    for (size_t i = 0; i < n && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s\"%s\"", i > 0 ? ", " : ": ",
                                 json_string_value(json_array_get(model->labels, i)));
}

/* The number of a label; 0: there is none of this name. */
static int find_label(const struct engine_model *model, const char *name)
{
    for (size_t i = 0; i < json_array_size(model->labels); i++)
        if (strcmp(json_string_value(json_array_get(model->labels, i)), name) == 0)
            return (int)i + 1;
    return 0;
}

static void choose_label(const struct engine_model *model, const struct samples_request *wanted,
                         struct selection *out, struct problem *problem)
{
    int n = model->formulation->architecture.n_labels;
    bool guided = wanted->guidance > 0;
    char names[256];

    out->label = *wanted->label_name ? find_label(model, wanted->label_name) : wanted->label;
    out->guidance = wanted->guidance;
    if (n == 0 && (out->label > 0 || *wanted->label_name || guided)) {
        problem_add_field(problem, out->label > 0 || *wanted->label_name ? "label" : "guidance",
                          "model \"%s\" was trained without labels", model->name);
    } else if (out->label > n || (*wanted->label_name && out->label == 0)) {
        list_labels(model, names, sizeof(names));
        problem_add_field(problem, "label", "of model \"%s\" is 0 for none, or 1 to %d%s",
                          model->name, n, names);
    } else if (guided && out->label == 0) {
        problem_add_field(problem, "guidance", "needs a label");
    } else if (guided && 2 * out->sampling.nfe > model->nfe_max) {
        problem_add_field(problem, "nfe",
                          "with guidance takes two evaluations each: of model \"%s\" it is at most "
                          "%d",
                          model->name, model->nfe_max / 2);
    }
}

/* Images have the size of their model. */
static void check_size(const struct engine_model *model, const char *size, struct problem *problem)
{
    char own[32];

    snprintf(own, sizeof(own), "%dx%d", model->side_px, model->side_px);
    if (*size && strcmp(size, "auto") != 0 && strcmp(size, own) != 0)
        problem_add_field(problem, "size", "model \"%s\" draws \"%s\"; ask for that or \"auto\"",
                          model->name, own);
}

int selection_read(const struct models *models, enum request_form form,
                   const struct samples_limits *limits, const char *body, size_t size,
                   struct selection *out, struct problem *problem)
{
    samples_request_parse(body, size, form, limits, &out->request, problem);
    if (problem->status && problem->status != 422)
        return -EINVAL;
    return selection_choose(models, form, out, problem);
}

int selection_read_fields(const struct models *models, enum request_form form,
                          const struct samples_limits *limits, struct json_t *fields,
                          struct selection *out, struct problem *problem)
{
    samples_request_read(fields, form, limits, &out->request, problem);
    return selection_choose(models, form, out, problem);
}

int selection_choose(const struct models *models, enum request_form form, struct selection *out,
                     struct problem *problem)
{
    const struct samples_request *wanted = &out->request;
    const struct engine_model *model = NULL;

    if (find_model(models, wanted, &out->model, problem) == 0)
        model = out->model;
    choose_sampling(models, model, wanted, form == REQUEST_RESTORATION, &out->sampling, problem);
    if (model)
        choose_label(model, wanted, out, problem);
    if (model && form != REQUEST_JOB && wanted->n > model->n_max)
        problem_add_field(problem, "n", "of model \"%s\" is at most %d", model->name, model->n_max);
    if (model)
        check_size(model, wanted->size, problem);
    return problem->status ? -EINVAL : 0;
}

int selection_read_permalink(const struct models *models, const struct samples_limits *limits,
                             const struct permalink *link, const char *query, struct selection *out,
                             struct problem *problem)
{
    struct samples_request *wanted = &out->request;
    const char *id = models_determinism(models);
    const struct engine_model *model = NULL;
    struct problem missing = {0};

    samples_request_parse_query(query, limits, wanted, problem);
    if (problem->status && problem->status != 422)
        return -EINVAL;
    snprintf(wanted->model, sizeof(wanted->model), "%s%s%s", link->model,
             *link->checkpoint ? "@" : "", link->checkpoint);
    /* Without such a model there is no such address, whatever its query. */
    if (find_model(models, wanted, &out->model, &missing) == 0)
        model = out->model;
    else if (missing.status == 404)
        *problem = missing;
    else
        find_model(models, wanted, &out->model, problem);
    if (problem->status != 404 && *wanted->determinism && strcmp(wanted->determinism, id) != 0)
        problem_set(problem, 404,
                    "this daemon draws with the determinism id %s, not \"%s\": its image may "
                    "differ",
                    id, wanted->determinism);
    if (problem->status == 404)
        return -EINVAL;
    choose_sampling(models, model, wanted, false, &out->sampling, problem);
    if (model)
        choose_label(model, wanted, out, problem);
    return problem->status ? -EINVAL : 0;
}
