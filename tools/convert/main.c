/* softdiff-convert: a checkpoint anew, with another document, or weights averaged otherwise; pictures as a
 * packed data set. */
#include "engine/base/error.h"
#include "model/checkpoint.h"
#include "model/document.h"
#include "tools/arguments.h"
#include "tools/convert/average.h"
#include "tools/convert/card.h"
#include "tools/convert/dataset.h"
#include "tools/convert/import.h"
#include "tools/convert/onnx.h"
#include "tools/json_file.h"
#include "tools/rewrite.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char program[] = "softdiff-convert";

static int change_format(struct checkpoint *c, void *arg, struct error *err)
{
    if (c->formulation.sampling.refining_grid)
        return error_set(err, -EINVAL, "the checkpoint is of format 2 already");
    return rewrite_upgrade(c, err);
}

static int upgrade_main(int argc, char **argv)
{
    bool force = false;
    const struct argument table[] = {
        {"force", 'f', ARGUMENT_FLAG, &force, 0, 0, NULL, "replace OUT if it is there"},
    };
    const struct arguments arguments = {
        .program = "softdiff-convert upgrade",
        .usage = "IN OUT [--force]",
        .about = "Writes a checkpoint of format 1 as one of format 2: the same weights with step "
                 "grids that\nget finer everywhere, and a start at the mean image where the "
                 "corruption is no blur.\nIt is another model with another digest: what it draws "
                 "changes.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
        .n_operands_min = 2,
        .n_operands_max = 2,
    };
    const char *paths[2];
    struct error err;
    int code = arguments_parse(&arguments, argc, argv, paths);

    if (code >= 0)
        return code;
    return arguments_end(arguments.program,
                         rewrite_checkpoint(paths[0], paths[1], force, change_format, NULL, &err),
                         &err);
}

/* What is to be stated; NULL and 0: left as it is. */
struct statement {
    const char *sampler, *solvers, *evidence; /* the latter two are files */
    int nfe;
    double excess; /* < 0: not given */
};

/* The members of the document as they will be. */
static int change_members(const struct sampling *old, const struct statement *s, json_t **defaults,
                          json_t **solvers, struct error *err)
{
    int rc = 0;

    if (s->solvers)
        rc = json_file_read(s->solvers, solvers, err);
    else
        *solvers = sampling_solvers_to_json(old);
    *defaults = sampling_defaults_to_json(old);
    if (rc < 0 || !(s->sampler || s->nfe || s->excess >= 0))
        return rc;
    if (!*defaults && !(s->sampler && s->nfe))
        return error_set(err, -EINVAL,
                         "the model has no defaults yet: both --sampler and --nfe are needed");
    if (!*defaults)
        *defaults = json_object();
    if (s->sampler) { /* another sampler's excess is not this one's */
        json_object_set_new(*defaults, "sampler", json_string(s->sampler));
        json_object_del(*defaults, "excess");
    }
    if (s->nfe)
        json_object_set_new(*defaults, "nfe", json_integer(s->nfe));
    if (s->excess >= 0)
        json_object_set_new(*defaults, "excess", json_real(s->excess));
    return 0;
}

static int state(struct checkpoint *c, void *arg, struct error *err)
{
    const struct statement *s = arg;
    struct sampling sampling = {.refining_grid = true};
    json_t *defaults = NULL, *solvers = NULL, *evidence = NULL;
    int rc = rewrite_upgrade(c, err);

    sampling.noiseless = c->formulation.sampling.noiseless;
    if (rc == 0)
        rc = change_members(&c->formulation.sampling, s, &defaults, &solvers, err);
    if (rc == 0)
        rc = sampling_from_json(defaults, solvers, &sampling, err);
    if (rc == 0 && s->evidence) {
        rc = json_file_read(s->evidence, &evidence, err);
        if (rc == 0)
            rc = document_set_evidence(c, evidence, err);
    }
    json_decref(defaults);
    json_decref(solvers);
    json_decref(evidence);
    if (rc < 0) {
        sampling_fini(&sampling);
        return rc;
    }
    sampling_fini(&c->formulation.sampling);
    c->formulation.sampling = sampling;
    return 0;
}

static int defaults_main(int argc, char **argv)
{
    struct statement s = {.excess = -1};
    bool force = false;
    const struct argument table[] = {
        {"sampler", 0, ARGUMENT_TEXT, &s.sampler, 0, 0, "NAME",
         "what a request means that names none"},
        {"nfe", 0, ARGUMENT_INT, &s.nfe, 1, SAMPLER_NFE_MAX, "N", "evaluations, the same"},
        {"excess", 0, ARGUMENT_NUMBER, &s.excess, 0, 1, "X",
         "that sampler's noise has 1 + X times the variance"},
        {"solvers", 0, ARGUMENT_TEXT, &s.solvers, 0, 0, "FILE",
         "tables of the sampler tuned, a JSON array (model/sampling.h)"},
        {"evidence", 0, ARGUMENT_TEXT, &s.evidence, 0, 0, "FILE",
         "how all that was chosen, a JSON object"},
        {"force", 'f', ARGUMENT_FLAG, &force, 0, 0, NULL, "replace OUT if it is there"},
    };
    const struct arguments arguments = {
        .program = "softdiff-convert defaults",
        .usage = "IN OUT [options]",
        .about = "Writes a checkpoint that says how it is sampled, as format 2; what is not given "
                 "stays as it\nwas in IN.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
        .n_operands_min = 2,
        .n_operands_max = 2,
    };
    const char *paths[2];
    enum sampler sampler;
    struct error err;
    int code = arguments_parse(&arguments, argc, argv, paths);

    if (code >= 0)
        return code;
    if (!s.sampler && !s.nfe && s.excess < 0 && !s.solvers && !s.evidence)
        return arguments_refuse(arguments.program, "nothing is to be stated");
    if (s.sampler && sampler_parse(s.sampler, &sampler, &err) < 0)
        return arguments_refuse(arguments.program, err.text);
    return arguments_end(arguments.program,
                         rewrite_checkpoint(paths[0], paths[1], force, state, &s, &err), &err);
}

int main(int argc, char **argv)
{
    static const struct arguments_command commands[] = {{"upgrade", upgrade_main},
                                                        {"defaults", defaults_main},
                                                        {"average", average_main},
                                                        {"card", card_main},
                                                        {"dataset", dataset_main},
                                                        {"import", import_main},
                                                        {"onnx", onnx_main},
                                                        {NULL, NULL}};

    return arguments_run(
        program, "upgrade | defaults | average | import | onnx | card | dataset IN OUT ...",
        "Writes a checkpoint anew: `upgrade` one of format 1 as format 2, `defaults` one that says "
        "how\nit is sampled, both with the same weights, `average` one with weights averaged over "
        "another\nlength of its training. `import` makes one of weights of score_sde_pytorch, "
        "`onnx` "
        "a file that\nother programs draw with, `card` one for people to read. `dataset` packs "
        "training pictures\ninto one file. Each has a --help.",
        commands, argc, argv);
}
