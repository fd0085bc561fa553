/* softdiff-eval: how far a model's pictures are from real ones. */
#include "engine/base/error.h"
#include "engine/base/whole_file.h"
#include "tools/activity.h"
#include "tools/arguments.h"
#include "tools/eval/choose_main.h"
#include "tools/eval/curve.h"
#include "tools/eval/distance_main.h"
#include "tools/eval/feature_network.h"
#include "tools/eval/gaussian_main.h"
#include "tools/eval/neighbours_main.h"
#include "tools/eval/restore_main.h"
#include "tools/eval/sampler_list.h"
#include "tools/eval/sets.h"
#include "tools/eval/statistics.h"
#include "tools/stop.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPERANDS_MAX = 64, SIDE_MAX = 1024, SAMPLES_MAX = 1000000 };

static const char program[] = "softdiff-eval";
static const char stopped[] = "softdiff-eval: stopped; whatever was finished before is kept";

static int finish(int rc, const struct error *err)
{
    if (rc == 0)
        return EXIT_DONE;
    fprintf(stderr, "%s: %s\n", program, err->text);
    return EXIT_FAILED;
}

static int count_operands(const char *const *operands)
{
    int n = 0;

    while (n < OPERANDS_MAX && operands[n])
        n++;
    return n;
}

/* What there is, and how it was made. */
static int tell_statistics(const struct statistics *s, struct error *err)
{
    const struct provenance *p = &s->provenance;
    char name[STATISTICS_DIGEST];
    int rc = statistics_digest(s, name, err);

    if (rc < 0)
        return rc;
    printf("%d pictures at %d px\nstatistics %s: %s (weights %s), resize %s, %d PNG, %d JPEG, "
           "%d others, %d resized\n",
           s->n, s->side, name, s->network->name, p->weights, p->resize, p->png, p->jpeg, p->raw,
           p->resized);
    return 0;
}

static int write_statistics(const struct sets_options *options, int n, const char *const *folders,
                            const char *out, bool small, struct error *err)
{
    struct sets *sets = NULL;
    struct statistics *s = NULL;
    struct extractor *e;
    int rc = whole_file_try(out, err); /* before pictures are read */

    if (rc == 0)
        rc = sets_open(options, &sets, err);
    if (rc == 0)
        rc = sets_extractor(sets, &e, err);
    if (rc == 0)
        rc = statistics_of_folders(e, sets_pool(sets), n, folders, options->skip_bad,
                                   options->watch, &s, err);
    stop_must_not_end();
    if (rc == 0)
        rc = statistics_write(out, s, small, err);
    if (rc == 0) {
        distance_warn_of_few(s, folders[0]);
        rc = tell_statistics(s, err);
    }
    statistics_destroy(s);
    sets_close(sets);
    return rc;
}

static int stats_main(int argc, char **argv)
{
    struct activity activity;
    struct sets_options options = {.device = "auto",
                                   .choices = arguments_choices(),
                                   .side = SETS_SIDE,
                                   .watch = &activity.watch};
    const char *out = NULL;
    bool small = false;
    const struct argument table[] = {
        {"out", 'o', ARGUMENT_TEXT, &out, 0, 0, "FILE", "where to write them (safetensors)"},
        {"side", 0, ARGUMENT_INT, &options.side, 1, SIDE_MAX, "PX",
         "that pictures are brought to, the model's; default 32"},
        {"small", 0, ARGUMENT_FLAG, &small, 0, 0, NULL, "mean and covariance only: 2 MB"},
        {"skip-bad", 0, ARGUMENT_FLAG, &options.skip_bad, 0, 0, NULL,
         "leave out pictures that cannot be read"},
        ARGUMENTS_THREADS(&options.n_threads),
        ARGUMENTS_DEVICE(&options.device),
        ARGUMENTS_CHOICES(&options.choices),
        {"features", 0, ARGUMENT_TEXT, &options.features, 0, 0, "NAME", FEATURE_NETWORK_HELP},
        {"network", 0, ARGUMENT_TEXT, &options.network, 0, 0, "FILE",
         "of their weights; default: those of the zoo, which has none of inception"},
        {"resize", 0, ARGUMENT_TEXT, &options.resize, 0, 0, "HOW", FEATURE_RESIZE_HELP},
    };
    const struct arguments arguments = {
        .program = "softdiff-eval stats",
        .usage = "PICTURES... --out FILE [options]",
        .about = "Keeps what is needed of pictures (folders, archives, CIFAR-10, MNIST) to compare "
                 "others with\nthem: mean and covariance of their features, and the features.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
        .n_operands_min = 1,
        .n_operands_max = OPERANDS_MAX,
    };
    const char *folders[OPERANDS_MAX];
    struct error err;
    int code = arguments_parse(&arguments, argc, argv, folders);

    if (code >= 0)
        return code;
    if (!out) {
        error_set(&err, -EINVAL, "--out is needed");
        return arguments_refuse(program, err.text);
    }
    if (sets_check_names(&options, &err) < 0)
        return arguments_refuse(program, err.text);
    activity_begin(&activity, 0);
    stop_may_end(EXIT_FAILED, stopped);
    return finish(write_statistics(&options, count_operands(folders), folders, out, small, &err),
                  &err);
}

/* What is said in words. 0 or -EINVAL. */
static int parse_curve(const char *samplers, const char *nfes, const char *precision,
                       const char *reference, struct curve_options *o, struct error *err)
{
    if (!reference || !o->csv)
        return error_set(err, -EINVAL, "--reference and --csv are needed");
    if (!o->model && !o->samples)
        return error_set(err, -EINVAL, "a model or --samples is needed");
    o->n_samplers = samplers ? sampler_list_parse(samplers, o->samplers, err) : 0;
    if (o->n_samplers < 0)
        return o->n_samplers;
    o->n_nfes = arguments_list(nfes, 1, SAMPLER_NFE_MAX, CURVE_POINTS_MAX, o->nfes, err);
    if (o->n_nfes < 0)
        return o->n_nfes;
    return precision_parse(precision, &o->precision, err);
}

static int curve_main(int argc, char **argv)
{
    struct activity activity;
    struct sets_options options = {.device = "auto",
                                   .choices = arguments_choices(),
                                   .watch = &activity.watch};
    struct curve_options o = {.n = 2000, .watch = &activity.watch};
    const char *reference = NULL, *samplers = NULL, *nfes = "5,10,20,40";
    const char *precision = "auto";
    const struct argument table[] = {
        {"reference", 'r', ARGUMENT_TEXT, &reference, 0, 0, "FILE",
         "real pictures: stats, a folder, an archive, CIFAR-10 or MNIST"},
        {"csv", 0, ARGUMENT_TEXT, &o.csv, 0, 0, "FILE", "gets a row per point; has what is done"},
        {"svg", 0, ARGUMENT_TEXT, &o.svg, 0, 0, "FILE", "gets the chart"},
        {"samplers", 0, ARGUMENT_TEXT, &samplers, 0, 0, "NAMES",
         "default: the model's own and momentum"},
        {"nfe", 0, ARGUMENT_TEXT, &nfes, 0, 0, "NUMBERS",
         "network evaluations per image; default 5,10,20,40"},
        {"number", 'n', ARGUMENT_INT, &o.n, 2, SAMPLES_MAX, "N", "samples per point; default 2000"},
        {"seed", 's', ARGUMENT_U64, &o.seed, 0, 0, "S", "of the first sample, then S + 1, ..."},
        {"samples", 0, ARGUMENT_TEXT, &o.samples, 0, 0, "FOLDER",
         "take <sampler>-<nfe>/<seed>.png from there where all are"},
        {"side", 0, ARGUMENT_INT, &options.side, 1, SIDE_MAX, "PX",
         "that pictures of the reference are brought to; default 32"},
        {"precision", 0, ARGUMENT_TEXT, &precision, 0, 0, "P",
         "of the model: auto, fp32, bf16, fp16"},
        {"skip-bad", 0, ARGUMENT_FLAG, &options.skip_bad, 0, 0, NULL,
         "leave out pictures that cannot be read"},
        ARGUMENTS_THREADS(&options.n_threads),
        ARGUMENTS_DEVICE(&options.device),
        ARGUMENTS_CHOICES(&options.choices),
        {"features", 0, ARGUMENT_TEXT, &options.features, 0, 0, "NAME", FEATURE_NETWORK_HELP},
        {"network", 0, ARGUMENT_TEXT, &options.network, 0, 0, "FILE",
         "of their weights; default: those of the zoo, which has none of inception"},
        {"resize", 0, ARGUMENT_TEXT, &options.resize, 0, 0, "HOW", FEATURE_RESIZE_HELP},
    };
    const struct arguments arguments = {
        .program = "softdiff-eval curve",
        .usage = "[MODEL] --reference FILE --csv FILE [options]",
        .about = "Measures the distance of a model's samples for every sampler at every number of "
                 "evaluations.\nStopped or extended, the same command goes on with the rows that "
                 "the CSV does not have\nof this model and reference.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
        .n_operands_max = 1,
    };
    struct statistics *s = NULL;
    struct sets *sets = NULL;
    struct error err;
    int code = arguments_parse(&arguments, argc, argv, &o.model), rc;

    if (code >= 0)
        return code;
    if (parse_curve(samplers, nfes, precision, reference, &o, &err) < 0 ||
        sets_check_names(&options, &err) < 0)
        return arguments_refuse(program, err.text);
    o.skip_bad = options.skip_bad;
    activity_begin(&activity, 0);
    rc = curve_try_outputs(&o, &err);
    stop_may_end(EXIT_FAILED, stopped);
    if (rc == 0)
        rc = sets_open(&options, &sets, &err);
    if (rc == 0)
        rc = sets_read(sets, 1, &reference, &s, &err);
    if (rc == 0)
        rc = curve_run(&o, sets, s, &err);
    statistics_destroy(s);
    sets_close(sets);
    return finish(rc, &err);
}

int main(int argc, char **argv)
{
    static const struct arguments_command commands[] = {{"stats", stats_main},
                                                        {"distance", distance_main},
                                                        {"curve", curve_main},
                                                        {"gaussian", gaussian_main},
                                                        {"choose", choose_main},
                                                        {"neighbours", neighbours_main},
                                                        {"restore", restore_main},
                                                        {NULL, NULL}};

    return arguments_run(
        program, "stats | distance | curve | neighbours | gaussian | choose | restore ...",
        "Measures how far pictures are from real ones. `stats` keeps what is needed of real "
        "pictures,\n`distance` compares sets, `curve` compares a model's samplers at several "
        "numbers "
        "of\nevaluations, `neighbours` shows the real pictures that samples are most like, "
        "`gaussian` "
        "tells\nwhat samplers alone do to data of which all is known, `choose` gives a model the "
        "defaults that\nsuit it, `restore` restores degraded pictures. Each has a --help.",
        commands, argc, argv);
}
