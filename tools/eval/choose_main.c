#include "tools/eval/choose_main.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "tools/activity.h"
#include "tools/arguments.h"
#include "tools/eval/choose.h"
#include "tools/eval/feature_network.h"
#include "tools/eval/sampler_list.h"
#include "tools/eval/sets.h"
#include "tools/rewrite.h"

enum { SAMPLES_MAX = 1000000 };

/* "0,0.1" to numbers in [0, 1]; returns how many, or -EINVAL. */
static int parse_excesses(const char *text, double *out, struct error *err)
{
    char *end;
    int n = 0;

    for (const char *next = text;; next = end + 1) {
        double value = strtod(next, &end);

        if (end == next || !(value >= 0 && value <= 1) || (*end != ',' && *end) ||
            n == CHOOSE_LIST_MAX)
            return error_set(err, -EINVAL, "--excess: \"%s\" is not 1 .. %d numbers in 0 .. 1",
                             text, CHOOSE_LIST_MAX);
        out[n++] = value;
        if (!*end)
            return n;
    }
}

/* What is said in words. 0 or -EINVAL. */
static int parse(const char *samplers, const char *nfes, const char *excesses,
                 const char *precision, const char *second, struct choose_options *o,
                 struct error *err)
{
    int rc = second ? feature_network_parse(second, &o->second, err) : 0;

    if (rc < 0)
        return rc;
    if (!o->reference)
        return error_set(err, -EINVAL, "--reference is needed");
    o->n_samplers = sampler_list_parse(samplers, o->samplers, err);
    if (o->n_samplers < 0)
        return o->n_samplers;
    o->n_nfes = arguments_list(nfes, 1, SAMPLER_NFE_MAX, CHOOSE_LIST_MAX, o->nfes, err);
    if (o->n_nfes < 0)
        return o->n_nfes;
    o->n_excesses = parse_excesses(excesses, o->excesses, err);
    if (o->n_excesses < 0)
        return o->n_excesses;
    return precision_parse(precision, &o->precision, err);
}

/* What a checkpoint is changed by. */
struct change {
    const struct choose_options *options;
    struct sets_options *sets;
};

static int change(struct checkpoint *c, void *arg, struct error *err)
{
    const struct change *change = arg;
    int rc = rewrite_upgrade(c, err);

    return rc < 0 ? rc : choose_run(change->options, change->sets, c, err);
}

int choose_main(int argc, char **argv)
{
    struct activity activity;
    struct sets_options sets = {.device = "auto",
                                .choices = arguments_choices(),
                                .watch = &activity.watch};
    struct choose_options o = {.n = 1000, .watch = &activity.watch};
    const char *samplers = "sde-2m,pf-2m,tuned", *nfes = "10,20", *excesses = "0,0.05,0.1";
    const char *precision = "auto", *second = NULL;
    bool force = false;
    const struct argument table[] = {
        {"reference", 'r', ARGUMENT_TEXT, &o.reference, 0, 0, "PATH",
         "real pictures: a folder, an archive, CIFAR-10 or MNIST, or what --keep wrote"},
        {"keep", 0, ARGUMENT_TEXT, &o.keep, 0, 0, "FILE",
         "gets what is measured of the real pictures, to be the reference of later choices"},
        {"samplers", 0, ARGUMENT_TEXT, &samplers, 0, 0, "NAMES",
         "default sde-2m,pf-2m,tuned; the last where the model has tables"},
        {"nfe", 0, ARGUMENT_TEXT, &nfes, 0, 0, "NUMBERS", "evaluations; default 10,20"},
        {"excess", 0, ARGUMENT_TEXT, &excesses, 0, 0, "NUMBERS",
         "of samplers that renew noise; default 0,0.05,0.1"},
        {"number", 'n', ARGUMENT_INT, &o.n, 2, SAMPLES_MAX, "N",
         "pictures of each combination; default 1000"},
        {"seed", 's', ARGUMENT_U64, &o.seed, 0, 0, "S", "of the first picture, then S + 1, ..."},
        {"skip-bad", 0, ARGUMENT_FLAG, &sets.skip_bad, 0, 0, NULL,
         "leave out pictures that cannot be read"},
        {"force", 'f', ARGUMENT_FLAG, &force, 0, 0, NULL, "replace OUT if it is there"},
        ARGUMENTS_THREADS(&sets.n_threads),
        ARGUMENTS_DEVICE(&sets.device),
        ARGUMENTS_CHOICES(&sets.choices),
        ARGUMENTS_PRECISION(&precision),
        {"network", 0, ARGUMENT_TEXT, &sets.network, 0, 0, "FILE",
         "of the features' weights; default: squeezenet11 of the zoo"},
        {"second", 0, ARGUMENT_TEXT, &second, 0, 0, "NAME",
         "network of the second features, as face-dlib for faces; default: gist, without one"},
    };
    const struct arguments arguments = {
        .program = "softdiff-eval choose",
        .usage = "MODEL OUT --reference PATH [options]",
        .about =
            "Draws with every combination of sampler, evaluations and excess, measures how far the "
            "pictures\nare from real ones by kernel distance in two feature spaces, the power of "
            "their bands and what\nthey clip, and writes a checkpoint whose default is the best by "
            "the sum of ranks, with all\nnumbers as evidence.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
        .n_operands_min = 2,
        .n_operands_max = 2,
    };
    struct change arg = {&o, &sets};
    const char *paths[2];
    struct error err;
    int code = arguments_parse(&arguments, argc, argv, paths);

    if (code >= 0)
        return code;
    if (parse(samplers, nfes, excesses, precision, second, &o, &err) < 0)
        return arguments_refuse("softdiff-eval", err.text);
    activity_begin(&activity, 0);
    if (rewrite_checkpoint(paths[0], paths[1], force, change, &arg, &err) == 0)
        return EXIT_DONE;
    fprintf(stderr, "softdiff-eval: %s\n", err.text);
    return EXIT_FAILED;
}
