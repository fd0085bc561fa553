#include "model/sampling.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/error.h"
#include "model/json_fields.h"

static const double trend_max = 8, excess_max = 1;

int solver_init(struct solver *s, int nfe, struct error *err)
{
    s->nfe = nfe;
    s->t = calloc(3 * (size_t)nfe + 1, sizeof(*s->t));
    if (!s->t)
        return error_set(err, -ENOMEM, "out of memory for a solver of %d steps", nfe);
    s->trend = s->t + nfe + 1;
    s->noise = s->trend + nfe;
    return 0;
}

void solver_fini(struct solver *s)
{
    free(s->t);
    *s = (struct solver){0};
}

void sampling_fini(struct sampling *s)
{
    for (int i = 0; i < s->n_solvers; i++)
        solver_fini(&s->solvers[i]);
    free(s->solvers);
    *s = (struct sampling){0};
}

static int check_solver(const struct solver *s, const char *what, struct error *err)
{
    for (int i = 0; i < s->nfe; i++) {
        if (!(s->t[i + 1] < s->t[i]))
            return error_set(err, -EINVAL, "%s: \"t\" does not fall at element %d", what, i + 1);
    }
    if (s->t[0] != 1 || s->t[s->nfe] != 0)
        return error_set(err, -EINVAL, "%s: \"t\" does not go from 1 to 0", what);
    if (s->trend[0] != 0)
        return error_set(err, -EINVAL, "%s: the first step has a trend", what);
    if (s->noise[s->nfe - 1] != 0)
        return error_set(err, -EINVAL, "%s: the last step has noise", what);
    return 0;
}

/* Appends to s->solvers, which has room. */
static int read_solver(const json_t *json, int i, struct sampling *s, struct error *err)
{
    struct solver *solver = &s->solvers[s->n_solvers];
    struct json_fields f;
    char what[32];
    int nfe = 0, rc;

    snprintf(what, sizeof(what), "solver %d", i);
    json_fields_begin(&f, json, what, err);
    json_fields_int(&f, "nfe", JSON_REQUIRED, 1, SAMPLER_NFE_MAX, &nfe);
    if (f.rc < 0)
        return f.rc;
    rc = solver_init(solver, nfe, err);
    if (rc < 0)
        return rc;
    s->n_solvers++;
    json_fields_numbers(&f, "t", JSON_REQUIRED, nfe + 1, 0, 1, solver->t);
    json_fields_numbers(&f, "trend", JSON_REQUIRED, nfe, -trend_max, trend_max, solver->trend);
    json_fields_numbers(&f, "noise", JSON_REQUIRED, nfe, 0, 1, solver->noise);
    rc = json_fields_end(&f);
    if (rc == 0)
        rc = check_solver(solver, what, err);
    if (rc == 0 && i > 0 && solver->nfe <= solver[-1].nfe)
        rc = error_set(err, -EINVAL, "%s: \"nfe\" does not rise", what);
    return rc;
}

static int read_solvers(const json_t *json, struct sampling *s, struct error *err)
{
    size_t n = json_array_size(json);
    int rc = 0;

    if (!json_is_array(json) || n < 1 || n > SAMPLING_SOLVERS_MAX)
        return error_set(err, -EINVAL, "\"solvers\" is not an array of 1 .. %d tables",
                         SAMPLING_SOLVERS_MAX);
    s->solvers = calloc(n, sizeof(*s->solvers));
    if (!s->solvers)
        return error_set(err, -ENOMEM, "out of memory for %zu solvers", n);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = read_solver(json_array_get(json, i), (int)i, s, err);
    return rc;
}

static int read_defaults(const json_t *json, struct sampling *s, struct error *err)
{
    const char *sampler = NULL;
    struct json_fields f;
    int rc;

    json_fields_begin(&f, json, "defaults", err);
    json_fields_string(&f, "sampler", JSON_REQUIRED, &sampler);
    json_fields_int(&f, "nfe", JSON_REQUIRED, 1, SAMPLER_NFE_MAX, &s->defaults.nfe);
    json_fields_number(&f, "excess", JSON_OPTIONAL, 0, excess_max, &s->excess);
    rc = json_fields_end(&f);
    if (rc == 0)
        rc = sampler_parse(sampler, &s->defaults.sampler, err);
    if (rc == 0 && s->defaults.sampler == SAMPLER_TUNED && !sampling_solver(s, s->defaults.nfe))
        rc = error_set(err, -EINVAL, "there is no solver of %d evaluations", s->defaults.nfe);
    if (rc == 0 && s->noiseless && sampler_needs_noise(s->defaults.sampler))
        rc = sampler_refuse(s->defaults.sampler, err);
    if (rc == 0 && s->excess > 0 && !sampler_renews_noise(s->defaults.sampler))
        rc = error_set(err, -EINVAL, "\"excess\" does not go with the sampler \"%s\"", sampler);
    if (rc < 0)
        return rc;
    s->has_defaults = true;
    return 0;
}

int sampling_from_json(const struct json_t *defaults, const struct json_t *solvers,
                       struct sampling *s, struct error *err)
{
    int rc = solvers ? read_solvers(solvers, s, err) : 0;

    return rc == 0 && defaults ? read_defaults(defaults, s, err) : rc;
}

struct json_t *sampling_defaults_to_json(const struct sampling *s)
{
    if (!s->has_defaults)
        return NULL;
    return json_pack("{s:s, s:i, s:f}", "sampler", sampler_name(s->defaults.sampler), "nfe",
                     s->defaults.nfe, "excess", s->excess);
}

struct json_t *sampling_solvers_to_json(const struct sampling *s)
{
    json_t *array = s->n_solvers > 0 ? json_array() : NULL;

    for (int i = 0; array && i < s->n_solvers; i++) {
        const struct solver *solver = &s->solvers[i];
        json_t *json = json_pack("{s:i, s:o, s:o, s:o}", "nfe", solver->nfe, "t",
                                 json_from_doubles(solver->t, solver->nfe + 1), "trend",
                                 json_from_doubles(solver->trend, solver->nfe), "noise",
                                 json_from_doubles(solver->noise, solver->nfe));

        if (json_array_append_new(array, json) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

double sampling_excess(const struct sampling *s, enum sampler sampler)
{
    return s->has_defaults && s->defaults.sampler == sampler ? s->excess : 0;
}

const struct solver *sampling_solver(const struct sampling *s, int nfe)
{
    for (int i = 0; i < s->n_solvers; i++) {
        if (s->solvers[i].nfe == nfe)
            return &s->solvers[i];
    }
    return NULL;
}

static int no_solver(const struct sampling *s, const char *what, int nfe, struct error *err)
{
    char list[128] = "";
    size_t used = 0;

    for (int i = 0; i < s->n_solvers && used < sizeof(list); i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%d", i ? ", " : "",
                                 s->solvers[i].nfe);
    return error_set(err, -EINVAL, "tuned has no table %s %d evaluations; it has: %s", what, nfe,
                     list);
}

/* The largest table of at most so many evaluations, or the smallest of all. */
static int nearest_solver(const struct sampling *s, int nfe)
{
    int i = s->n_solvers - 1;

    while (i > 0 && s->solvers[i].nfe > nfe)
        i--;
    return s->solvers[i].nfe;
}

/* Whether tables that nobody has named can do what is asked for; they begin at time 1. */
static bool has_table(const struct sampling *s, int nfe, int nfe_max, bool midway)
{
    if (midway)
        return false;
    return nfe > 0 ? sampling_solver(s, nfe) != NULL
                   : s->n_solvers > 0 && s->solvers[0].nfe <= nfe_max;
}

static int choose(const struct sampling *s, const enum sampler *sampler, int nfe, int nfe_max,
                  bool midway, struct sampling_choice *out, struct error *err)
{
    struct sampling_choice choice = {.sampler =
                                         s->noiseless ? SAMPLER_PROBABILITY_FLOW : SAMPLER_SDE_2M,
                                     .nfe = SAMPLING_NFE_DEFAULT};

    if (s->has_defaults &&
        (sampler || s->defaults.sampler != SAMPLER_TUNED || has_table(s, nfe, nfe_max, midway)))
        choice = s->defaults;
    if (sampler)
        choice.sampler = *sampler;
    if (s->noiseless && sampler_needs_noise(choice.sampler)) {
        sampler_refuse(choice.sampler, err);
        return -ENOENT;
    }
    if (nfe > 0)
        choice.nfe = nfe;
    else if (choice.nfe > nfe_max)
        choice.nfe = nfe_max;
    if (choice.sampler == SAMPLER_TUNED) {
        if (s->n_solvers == 0)
            return error_set(err, -ENOENT, "this model has no tables of the sampler tuned");
        if (nfe == 0)
            choice.nfe = nearest_solver(s, choice.nfe);
        if (!sampling_solver(s, choice.nfe))
            return no_solver(s, "of", choice.nfe, err);
        if (choice.nfe > nfe_max)
            return no_solver(s, "within", nfe_max, err);
    }
    *out = choice;
    return 0;
}

int sampling_choose(const struct sampling *s, const enum sampler *sampler, int nfe, int nfe_max,
                    struct sampling_choice *out, struct error *err)
{
    return choose(s, sampler, nfe, nfe_max, false, out, err);
}

int sampling_choose_midway(const struct sampling *s, const enum sampler *sampler, int nfe,
                           int nfe_max, struct sampling_choice *out, struct error *err)
{
    return choose(s, sampler, nfe, nfe_max, true, out, err);
}
