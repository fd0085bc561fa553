#include "tools/eval/restore_main.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "engine/base/error.h"
#include "tools/activity.h"
#include "tools/arguments.h"
#include "tools/eval/feature_network.h"
#include "tools/eval/restore.h"
#include "tools/eval/sets.h"

enum { PICTURES_MAX = 1000000, SAMPLES_MAX = 1000 };

static const char *const keys[RESTORE_SOURCES] = {"degraded", "linear", "sample", "mean"};

/* Where rows go. */
struct output {
    const struct restore_options *o;
    bool begun;
    json_t *json; /* NULL: as text */
};

static void name_source(const struct output *out, enum restore_source source, char *text,
                        size_t size)
{
    if (source == RESTORE_MEAN)
        snprintf(text, size, "mean of %d samples", out->o->n_samples);
    else
        snprintf(text, size, "%s",
                 source == RESTORE_DEGRADED ? "as it comes"
                 : source == RESTORE_LINEAR ? "Wiener estimate"
                                            : "a sample");
}

static void print_row(struct output *out, const struct restore_facts *facts,
                      const struct degrading *what, const struct restore_row rows[RESTORE_SOURCES])
{
    char name[48];

    if (!out->begun) {
        printf("%d pictures at %d px, %s at %d evaluations; Wiener's estimate of %d others\n",
               facts->n_pictures, facts->side, sampler_name(facts->sampling.sampler),
               facts->sampling.nfe, facts->n_others);
        printf("%-12s %-20s %14s %9s %9s\n", "", "", "PSNR, dB", "distance", "residual");
    }
    out->begun = true;
    for (int i = 0; i < RESTORE_SOURCES; i++) {
        if (!rows[i].has)
            continue;
        name_source(out, (enum restore_source)i, name, sizeof(name));
        printf("%-12s %-20s %6.2f +- %4.2f %9.3f %9.2f\n", i == 0 ? what->name : "", name,
               rows[i].psnr, rows[i].psnr_error, rows[i].distance, rows[i].residual);
    }
    fflush(stdout);
}

static void keep_row(struct output *out, const struct restore_facts *facts,
                     const struct degrading *what, const struct restore_row rows[RESTORE_SOURCES])
{
    json_t *row =
        json_pack("{s:s, s:s, s:f, s:f}", "degradation", what->name, "kind",
                  degradation_name(what->kind), "amount", what->amount, "noise", what->noise);

    if (!out->begun)
        json_object_update_new(out->json,
                               json_pack("{s:s, s:i, s:i, s:i, s:i, s:s, s:i, s:I, s:s}",
                                         "checkpoint", facts->checkpoint, "side_px", facts->side,
                                         "pictures", facts->n_pictures, "others", facts->n_others,
                                         "samples", out->o->n_samples, "sampler",
                                         sampler_name(facts->sampling.sampler), "nfe",
                                         facts->sampling.nfe, "seed", (json_int_t)out->o->seed,
                                         "features", feature_network_default.name));
    out->begun = true;
    for (int i = 0; i < RESTORE_SOURCES; i++)
        if (rows[i].has)
            json_object_set_new(row, keys[i],
                                json_pack("{s:f, s:f, s:f, s:f}", "psnr", rows[i].psnr,
                                          "psnr_error", rows[i].psnr_error, "distance",
                                          rows[i].distance, "residual", rows[i].residual));
    json_array_append_new(json_object_get(out->json, "rows"), row);
}

static void take_row(void *arg, const struct restore_facts *facts, const struct degrading *what,
                     const struct restore_row rows[RESTORE_SOURCES])
{
    struct output *out = arg;

    (out->json ? keep_row : print_row)(out, facts, what, rows);
}

static int parse(const char *degradations, const char *precision, struct restore_options *o,
                 struct error *err)
{
    o->n_degradings = degrading_list_parse(degradations, o->degradings, err);
    if (o->n_degradings < 0)
        return o->n_degradings;
    return precision_parse(precision, &o->precision, err);
}

int restore_main(int argc, char **argv)
{
    struct activity activity;
    struct sets_options sets = {.device = "auto",
                                .choices = arguments_choices(),
                                .watch = &activity.watch};
    struct restore_options o = {.n_pictures = 100,
                                .n_others = 8000,
                                .n_samples = 8,
                                .watch = &activity.watch};
    const char *degradations = "blur:1,blur:2,blur:2+0.02,noise:0.05,noise:0.1,hole:0.25,dots:0.5";
    const char *precision = "auto", *paths[2];
    bool as_json = false;
    const struct argument table[] = {
        {"degradations", 'd', ARGUMENT_TEXT, &degradations, 0, 0, "LIST",
         "of blur:PX, noise:STD, hole:PART and dots:PART; blur:2+0.01 has noise, too"},
        {"wiener", 'w', ARGUMENT_TEXT, &o.others, 0, 0, "FOLDER",
         "of other pictures, for the best linear estimate; up to 64 px"},
        {"number", 'n', ARGUMENT_INT, &o.n_pictures, 1, PICTURES_MAX, "N",
         "pictures, the first of the folder; default 100"},
        {"others", 0, ARGUMENT_INT, &o.n_others, 2, PICTURES_MAX, "N",
         "of --wiener, the first; default 8000"},
        {"samples", 'k', ARGUMENT_INT, &o.n_samples, 1, SAMPLES_MAX, "K",
         "of each picture; default 8"},
        {"sampler", 0, ARGUMENT_TEXT, &o.sampler, 0, 0, "NAME", "default: the model's"},
        {"nfe", 0, ARGUMENT_INT, &o.nfe, 1, SAMPLER_NFE_MAX, "N", "default: the model's"},
        {"seed", 's', ARGUMENT_U64, &o.seed, 0, 0, "S", "of noise, dots and the first sample"},
        {"json", 0, ARGUMENT_FLAG, &as_json, 0, 0, NULL, "one document instead of a table"},
        {"skip-bad", 0, ARGUMENT_FLAG, &sets.skip_bad, 0, 0, NULL,
         "leave out pictures that cannot be read"},
        ARGUMENTS_THREADS(&sets.n_threads),
        ARGUMENTS_DEVICE(&sets.device),
        ARGUMENTS_CHOICES(&sets.choices),
        ARGUMENTS_PRECISION(&precision),
        {"network", 0, ARGUMENT_TEXT, &sets.network, 0, 0, "FILE",
         "of the distance's weights; default: squeezenet11 of the zoo"},
    };
    const struct arguments arguments = {
        .program = "softdiff-eval restore",
        .usage = "MODEL PICTURES [options]",
        .about = "Degrades pictures, restores them as the daemon would and compares them with what "
                 "they were:\nby PSNR, by a perceptual distance (after LPIPS, with SqueezeNet's "
                 "features), and by how far\nthey are from the degraded picture when they are "
                 "degraded again. Beside single samples stand\ntheir mean and the best linear "
                 "estimate.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
        .n_operands_min = 2,
        .n_operands_max = 2,
    };
    struct output out = {.o = &o};
    struct error err;
    int code = arguments_parse(&arguments, argc, argv, paths), rc;

    if (code >= 0)
        return code;
    if (parse(degradations, precision, &o, &err) < 0)
        return arguments_refuse("softdiff-eval", err.text);
    o.model = paths[0];
    o.pictures = paths[1];
    out.json = as_json ? json_pack("{s:[]}", "rows") : NULL;
    activity_begin(&activity, 0);
    rc = restore_run(&o, &sets, take_row, &out, &err);
    if (rc == 0 && out.json)
        rc = json_dumpf(out.json, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) < 0 ||
                     putchar('\n') == EOF
                 ? error_set(&err, -1, "could not write")
                 : 0;
    json_decref(out.json);
    if (rc == 0)
        return EXIT_DONE;
    fprintf(stderr, "softdiff-eval: %s\n", err.text);
    return EXIT_FAILED;
}
