#include "model/document.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/json_memory.h"
#include "engine/base/printable.h"
#include "model/checkpoint.h"
#include "model/json_fields.h"

/* The oldest format, and the one whose grids refine and that may say how it is sampled. */
enum { FORMAT_1 = 1, FORMAT_2 = 2 };

int document_set_labels(struct checkpoint *c, const struct json_t *labels, struct error *err)
{
    size_t wanted = (size_t)c->formulation.architecture.n_labels, n = json_array_size(labels);

    if (labels && (!json_is_array(labels) || n == 0))
        return error_set(err, -EINVAL, "\"labels\" is not an array of names");
    if (n != wanted)
        return error_set(err, -EINVAL, "%zu \"labels\", the architecture has n_labels %zu", n,
                         wanted);
    for (size_t i = 0; i < n; i++) {
        const json_t *label = json_array_get(labels, i);
        size_t length = json_string_length(label);

        if (!json_is_string(label) || length < 1 || length > DOCUMENT_LABEL_BYTES_MAX ||
            !printable_is(json_string_value(label)))
            return error_set(err, -EINVAL,
                             "\"labels\": element %zu is not a printable text of 1 .. %d bytes", i,
                             DOCUMENT_LABEL_BYTES_MAX);
        for (size_t j = 0; j < i; j++) {
            if (json_equal(label, json_array_get(labels, j)))
                return error_set(err, -EINVAL, "\"labels\": \"%s\" comes twice",
                                 json_string_value(label));
        }
    }
    c->labels = json_incref((json_t *)labels);
    return 0;
}

int document_set_evidence(struct checkpoint *c, const struct json_t *evidence, struct error *err)
{
    size_t size;

    if (evidence && !json_is_object(evidence))
        return error_set(err, -EINVAL, "\"evidence\" is not a JSON object");
    size = evidence ? json_dumpb(evidence, NULL, 0, JSON_COMPACT) : 0;
    if (size > DOCUMENT_EVIDENCE_BYTES_MAX)
        return error_set(err, -EINVAL, "\"evidence\" has %zu bytes, more than %d", size,
                         DOCUMENT_EVIDENCE_BYTES_MAX);
    json_incref((json_t *)evidence);
    json_decref(c->evidence);
    c->evidence = (json_t *)evidence;
    return 0;
}

int document_add_evidence(struct checkpoint *c, const char *name, json_t *value, struct error *err)
{
    json_t *evidence = c->evidence ? json_copy(c->evidence) : json_object();
    int rc = json_object_set_new(evidence, name, value);

    rc = rc < 0 ? error_set(err, -ENOMEM, "out of memory for evidence")
                : document_set_evidence(c, evidence, err);
    json_decref(evidence);
    return rc;
}

/* Members that other readers take apart. */
struct members {
    const json_t *provenance, *defaults, *solvers, *labels, *evidence;
    const char *licence;
};

static int take_members(const struct members *m, struct checkpoint *c, struct error *err)
{
    int rc = sampling_from_json(m->defaults, m->solvers, &c->formulation.sampling, err);

    if (rc == 0)
        rc = document_set_labels(c, m->labels, err);
    if (rc == 0)
        rc = document_set_evidence(c, m->evidence, err);
    if (rc < 0)
        return rc;
    if (m->provenance && !json_is_object(m->provenance))
        return error_set(err, -EINVAL, "\"provenance\" is not a JSON object");
    if (m->licence && !(c->licence = strdup(m->licence)))
        return error_set(err, -ENOMEM, "out of memory for a licence");
    c->provenance = json_incref((json_t *)m->provenance);
    return 0;
}

static int read_json(const json_t *json, struct checkpoint *c, struct error *err)
{
    struct members m = {0};
    struct json_fields fields;
    int format = 0, rc;

    json_fields_begin(&fields, json, "softdiff", err);
    json_fields_int(&fields, "format", JSON_REQUIRED, FORMAT_1, FORMAT_2, &format);
    json_fields_value(&fields, "provenance", JSON_OPTIONAL, &m.provenance);
    json_fields_string(&fields, "licence", JSON_OPTIONAL, &m.licence);
    if (format >= FORMAT_2) {
        json_fields_value(&fields, "defaults", JSON_OPTIONAL, &m.defaults);
        json_fields_value(&fields, "solvers", JSON_OPTIONAL, &m.solvers);
        json_fields_value(&fields, "labels", JSON_OPTIONAL, &m.labels);
        json_fields_value(&fields, "evidence", JSON_OPTIONAL, &m.evidence);
    }
    rc = formulation_from_fields(&fields, &c->formulation, err);
    if (rc < 0)
        return rc;
    c->formulation.sampling.refining_grid = format >= FORMAT_2;
    c->formulation.sampling.noiseless = !schedule_has_noise(&c->formulation.schedule);
    return take_members(&m, c, err);
}

int document_read(const char *text, struct checkpoint *c, struct error *err)
{
    json_error_t where;
    json_t *json;
    int rc;

    if (!text)
        return error_set(err, -EINVAL, "there is no \"softdiff\" in its metadata");
    if (strlen(text) > DOCUMENT_BYTES_MAX)
        return error_set(err, -EINVAL, "\"softdiff\" has more than %d bytes", DOCUMENT_BYTES_MAX);
    json = json_memory_load(text, strlen(text), JSON_REJECT_DUPLICATES, &where);
    if (!json)
        return json_refuse(&where, "\"softdiff\"", err);
    rc = read_json(json, c, err);
    json_decref(json);
    return rc;
}

/* What only format 2 can say, or NULL. */
static const char *beyond_format_1(const struct checkpoint *c)
{
    const struct sampling *s = &c->formulation.sampling;

    return s->has_defaults              ? "defaults"
           : s->n_solvers > 0           ? "solvers"
           : c->labels                  ? "labels"
           : c->evidence                ? "evidence"
           : c->formulation.prior.start ? "prior.start"
                                        : NULL;
}

/* Adds a new member, if there is one; false without memory. */
static bool add(json_t *json, const char *key, json_t *value, bool wanted)
{
    return !wanted || json_object_set_new(json, key, value) == 0;
}

int document_write(const struct checkpoint *c, char **out, struct error *err)
{
    const struct sampling *s = &c->formulation.sampling;
    const char *beyond = s->refining_grid ? NULL : beyond_format_1(c);
    struct checkpoint probe = {.formulation = c->formulation};
    json_t *json;
    char *text = NULL;
    int rc = beyond ? error_set(err, -EINVAL, "format 1 has no \"%s\"", beyond) : 0;

    if (rc == 0)
        rc = document_set_labels(&probe, c->labels, err);
    json_decref(probe.labels);
    if (rc < 0)
        return rc;
    json = formulation_to_json(&c->formulation);
    if (json && add(json, "format", json_integer(s->refining_grid ? FORMAT_2 : FORMAT_1), true) &&
        add(json, "provenance", json_incref(c->provenance), c->provenance != NULL) &&
        add(json, "licence", c->licence ? json_string(c->licence) : NULL, c->licence != NULL) &&
        add(json, "defaults", sampling_defaults_to_json(s), s->has_defaults) &&
        add(json, "solvers", sampling_solvers_to_json(s), s->n_solvers > 0) &&
        add(json, "labels", json_incref(c->labels), c->labels != NULL) &&
        add(json, "evidence", json_incref(c->evidence), c->evidence != NULL))
        text = json_memory_dump(json_incref(json), JSON_COMPACT);
    json_decref(json);
    if (!text)
        return error_set(err, -ENOMEM, "out of memory for the document");
    if (strlen(text) > DOCUMENT_BYTES_MAX) {
        free(text);
        return error_set(err, -EINVAL, "the document has more than %d bytes", DOCUMENT_BYTES_MAX);
    }
    *out = text;
    return 0;
}
