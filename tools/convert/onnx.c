#include "tools/convert/onnx.h"
#include "engine/base/error.h"
#include "model/checkpoint.h"
#include "model/sampling.h"
#include "tools/arguments.h"
#include "tools/convert/onnx_graph.h"
#include "tools/convert/onnx_sampling.h"
#include "tools/output.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct job {
    const char *model, *out, *sampler;
    int nfe;
    bool force;
};

static int choose(const struct job *j, const struct checkpoint *c, struct sampling_choice *out,
                  struct error *err)
{
    enum sampler sampler;
    int rc = j->sampler ? sampler_parse(j->sampler, &sampler, err) : 0;

    if (rc < 0)
        return rc;
    return sampling_choose(&c->formulation.sampling, j->sampler ? &sampler : NULL, j->nfe,
                           SAMPLER_NFE_MAX, out, err);
}

/* What the file says of itself. */
static int describe(struct onnx *o, const struct checkpoint *c,
                    const struct sampling_choice *choice, struct error *err)
{
    char number[16], *labels = c->labels ? json_dumps(c->labels, JSON_COMPACT) : NULL;

    if (c->labels && !labels)
        return error_set(err, -ENOMEM, "out of memory for the names of labels");
    snprintf(number, sizeof(number), "%d", choice->nfe);
    onnx_property(o, "softdiff.checkpoint", c->digest);
    onnx_property(o, "softdiff.sampler", sampler_name(choice->sampler));
    onnx_property(o, "softdiff.nfe", number);
    if (c->licence)
        onnx_property(o, "licence", c->licence);
    if (labels)
        onnx_property(o, "softdiff.labels", labels);
    free(labels);
    return 0;
}

static int export(const struct job *j, const struct checkpoint *c, struct error *err)
{
    struct sampling_choice choice;
    struct onnx *o;
    int rc = choose(j, c, &choice, err);

    if (rc < 0)
        return rc;
    rc = onnx_create(&o, err);
    if (rc < 0)
        return rc;
    rc = onnx_append_sampling(o, c, &choice, err);
    if (rc == 0)
        rc = describe(o, c, &choice, err);
    if (rc == 0)
        rc = onnx_write(o, j->out, "softdiff", err);
    if (rc == 0)
        printf("%s: draws with %s at %d evaluations\n", j->out, sampler_name(choice.sampler),
               choice.nfe);
    onnx_destroy(o);
    return rc;
}

static int run(const struct job *j, struct error *err)
{
    struct checkpoint *c;
    int rc;

    rc = output_try(j->out, j->force, err);
    if (rc == 0)
        rc = checkpoint_load(j->model, &c, err);
    if (rc < 0)
        return rc;
    rc = export(j, c, err);
    checkpoint_destroy(c);
    return rc;
}

int onnx_main(int argc, char **argv)
{
    struct job j = {0};
    const struct argument table[] = {
        {"sampler", 0, ARGUMENT_TEXT, &j.sampler, 0, 0, "NAME", "default: the model's"},
        {"nfe", 0, ARGUMENT_INT, &j.nfe, 1, SAMPLER_NFE_MAX, "N",
         "evaluations; default: the model's"},
        {"force", 'f', ARGUMENT_FLAG, &j.force, 0, 0, NULL, "replace OUT if it is there"},
    };
    const struct arguments arguments = {
        .program = "softdiff-convert onnx",
        .usage = "MODEL OUT.onnx [options]",
        .about = "Writes a model as an ONNX graph in float32, with its sampler and its noise, so "
                 "that a runtime\ndraws with that file alone: from `seed` [n] to `images` "
                 "[n,h,w,c] of bytes, those that\nsoftdiff-sample draws of these seeds, and `x` "
                 "[n,c,h,w] before they are rounded. With\nlabels, `label` [n] and `guidance` [n] "
                 "go in, too: a place from 1 in the list softdiff.labels of\nthe file's metadata, "
                 "0 for none; and 1 for no guidance.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
        .n_operands_min = 2,
        .n_operands_max = 2,
    };
    const char *operands[2];
    struct error err;
    int code = arguments_parse(&arguments, argc, argv, operands);

    if (code >= 0)
        return code;
    j.model = operands[0];
    j.out = operands[1];
    return arguments_end(arguments.program, run(&j, &err), &err);
}
