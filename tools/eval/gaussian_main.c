#include "tools/eval/gaussian_main.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/error.h"
#include "engine/device.h"
#include "model/corruption.h"
#include "model/fit/gaussian.h"
#include "model/fit/solver_fit.h"
#include "tools/activity.h"
#include "tools/arguments.h"
#include "tools/eval/gaussian_case.h"
#include "tools/eval/gaussian_engine.h"
#include "tools/eval/sampler_list.h"

enum { NFES_MAX = 64, SIDE_MIN = 4, SIDE_MAX = 64, SIDE_DEFAULT = 16, IMAGES_MAX = 1000000 };

/* So far from what is foretold no sample of a right program is: 1 in a million bands. */
static const double errors_max = 5;

struct options {
    const char *model, *corruption, *device, *choices;
    int side; /* 0: of the model, or SIDE_DEFAULT */
    int n_samplers, n_nfes, n_threads;
    enum sampler samplers[SAMPLERS];
    int nfes[NFES_MAX];
    int n_images; /* of each sampler through the engine; 0: none */
    bool json;
    const struct watch *watch;
};

/* What a run has. */
struct run {
    const struct options *options;
    struct gaussian_case given;
    struct gaussian *gaussian;
    struct device *device; /* these two: NULL without images */
    struct gaussian_engine *engine;
    struct sampler_row *rows; /* [SAMPLER_NFE_MAX] */
    json_t *results;          /* array; NULL where they are printed as text */
    double worst;             /* of the engine, in standard errors */
};

/* Tables of `tuned` for the numbers asked for, where the case has none and it is asked for. */
static int tune(struct run *r, struct error *err)
{
    const struct options *o = r->options;
    struct formulation *f = &r->given.formulation;
    struct sampling tables = f->sampling;
    int rc = 0;

    if (tables.n_solvers > 0)
        return 0;
    tables.solvers = calloc((size_t)o->n_nfes, sizeof(*tables.solvers));
    if (!tables.solvers)
        return error_set(err, -ENOMEM, "out of memory for tables");
    f->sampling = tables;
    for (int i = 0; i < o->n_nfes && rc == 0; i++) {
        const struct solver_fit_options options = {.nfe = o->nfes[i], .target = 1};
        struct solver_fit_report report;

        rc = solver_fit(f->corruption, &f->schedule, r->given.side, r->given.spectrum, &options,
                        o->watch, &tables.solvers[i], &report, err);
        if (rc == 0)
            f->sampling.n_solvers++;
    }
    return rc;
}

static bool asks_for(const struct options *o, enum sampler sampler)
{
    for (int i = 0; i < o->n_samplers; i++) {
        if (o->samplers[i] == sampler)
            return true;
    }
    return false;
}

static int prepare(struct run *r, struct error *err)
{
    const struct options *o = r->options;
    const struct formulation *f = &r->given.formulation;
    int rc;

    if (o->model)
        rc = gaussian_case_of_model(o->model, o->side, &r->given, err);
    else
        rc = gaussian_case_of_name(o->corruption, o->side ? o->side : SIDE_DEFAULT, &r->given, err);
    if (rc == 0 && asks_for(o, SAMPLER_TUNED))
        rc = tune(r, err);
    if (rc == 0)
        rc = gaussian_create(f->corruption, &f->schedule, r->given.side, r->given.spectrum,
                             &r->gaussian, err);
    if (rc == 0 && o->n_images > 0)
        rc = device_open(o->device, o->n_threads, o->choices, &r->device, err);
    if (rc == 0 && o->n_images > 0)
        rc = gaussian_engine_create(r->device, &r->given, &r->engine, err);
    r->rows = calloc(SAMPLER_NFE_MAX, sizeof(*r->rows));
    if (rc == 0 && !r->rows)
        rc = error_set(err, -ENOMEM, "out of memory for steps");
    if (rc == 0 && o->json && !(r->results = json_array()))
        rc = error_set(err, -ENOMEM, "out of memory for results");
    return rc;
}

static void finish(struct run *r)
{
    json_decref(r->results);
    free(r->rows);
    gaussian_engine_destroy(r->engine);
    device_close(r->device);
    gaussian_destroy(r->gaussian);
    gaussian_case_fini(&r->given);
}

static void print_header(const struct run *r)
{
    int n = gaussian_n_bands(r->given.side);

    printf("%s at %d px, spectrum of %s: variance over the right one by frequency, and W2\n"
           "%-16s %5s %7s ",
           corruption_name(r->given.formulation.corruption), r->given.side,
           r->given.measured ? "the model's pictures" : "pictures in general", "sampler", "nfe",
           "total");
    for (int band = 0; band < n; band++) {
        char name[16];

        if (band < 2)
            snprintf(name, sizeof(name), "%d", band);
        else
            snprintf(name, sizeof(name), "%d-%d", 1 << (band - 1), (1 << band) - 1);
        printf("%7s ", name);
    }
    printf("%7s\n", "W2");
}

static json_t *bands_to_json(const struct run *r, const double *bands)
{
    json_t *array = json_array();

    for (int band = 0; array && band < gaussian_n_bands(r->given.side); band++)
        json_array_append_new(array, json_real(bands[band]));
    return array;
}

/* n_images: 0 for what is computed, else of the engine. */
static int tell(struct run *r, enum sampler sampler, int nfe, const struct gaussian_result *result,
                const struct gaussian_engine_result *found, struct error *err)
{
    const double *bands = found ? found->bands : result->bands;
    json_t *json;

    if (!r->results) {
        printf("%-16s %5d ", sampler_name(sampler), nfe);
        printf(found ? " engine " : "%7.3f ", result->total);
        for (int band = 0; band < result->n_bands; band++)
            printf("%7.3f ", bands[band]);
        if (found)
            printf("of what is foretold, at most %.1f standard errors off\n", found->worst);
        else
            printf("%7.4f\n", result->distance);
        return 0;
    }
    json = json_pack("{s:s, s:i, s:o}", "sampler", sampler_name(sampler), "nfe", nfe, "bands",
                     bands_to_json(r, bands));
    if (json && found)
        json_object_update_new(json, json_pack("{s:i, s:f}", "images", r->options->n_images,
                                               "standard_errors", found->worst));
    else if (json)
        json_object_update_new(json, json_pack("{s:f, s:f}", "total", result->total, "w2",
                                               result->distance));
    return json_array_append_new(r->results, json) < 0
               ? error_set(err, -ENOMEM, "out of memory for results")
               : 0;
}

static int run_point(struct run *r, enum sampler sampler, int nfe, bool with_images,
                     struct error *err)
{
    const struct options *o = r->options;
    struct gaussian_engine_result found;
    struct gaussian_result result;
    int rc = sampler_table(sampler, &r->given.formulation, nfe, r->rows, err);

    if (rc == 0)
        rc = gaussian_run(r->gaussian, nfe, r->rows, NULL, o->watch, &result, NULL, err);
    if (rc == 0)
        rc = tell(r, sampler, nfe, &result, NULL, err);
    if (rc < 0 || !with_images)
        return rc;
    rc = gaussian_engine_run(r->engine, r->gaussian, o->n_images, nfe, r->rows, o->watch, &found,
                             err);
    if (rc < 0)
        return rc;
    r->worst = found.worst <= r->worst ? r->worst : found.worst;
    return tell(r, sampler, nfe, &result, &found, err);
}

static int run_all(struct run *r, struct error *err)
{
    const struct options *o = r->options;
    int rc = prepare(r, err);

    if (rc == 0 && !o->json)
        print_header(r);
    for (int i = 0; i < o->n_samplers && rc == 0; i++) {
        for (int k = 0; k < o->n_nfes && rc == 0; k++)
            rc = run_point(r, o->samplers[i], o->nfes[k], k == 0 && r->engine, err);
    }
    if (rc == 0 && o->json) {
        json_t *json = json_pack("{s:s, s:i, s:b, s:O}", "corruption",
                                 corruption_name(r->given.formulation.corruption), "side",
                                 r->given.side, "measured", r->given.measured, "rows", r->results);

        if (!json || json_dumpf(json, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) < 0)
            rc = error_set(err, -ENOMEM, "out of memory for results");
        else
            printf("\n");
        json_decref(json);
    }
    if (rc == 0 && !(r->worst <= errors_max))
        rc = error_set(err, -EIO,
                       "the engine's images are %.1f standard errors from what is foretold",
                       r->worst);
    return rc;
}

static int compare_ints(const void *a, const void *b)
{
    const int *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* What is said in words. 0 or -EINVAL. */
static int parse(const char *samplers, const char *nfes, struct options *o, struct error *err)
{
    if (o->model && o->corruption)
        return error_set(err, -EINVAL, "a model has a corruption of its own");
    if (!o->corruption)
        o->corruption = "blur";
    o->n_nfes = arguments_list(nfes, 1, SAMPLER_NFE_MAX, NFES_MAX, o->nfes, err);
    if (o->n_nfes < 0)
        return o->n_nfes;
    qsort(o->nfes, (size_t)o->n_nfes, sizeof(o->nfes[0]), compare_ints);
    if (samplers) {
        o->n_samplers = sampler_list_parse(samplers, o->samplers, err);
        return o->n_samplers < 0 ? o->n_samplers : 0;
    }
    for (int s = 0; s < SAMPLER_TUNED; s++)
        o->samplers[o->n_samplers++] = (enum sampler)s;
    return 0;
}

int gaussian_main(int argc, char **argv)
{
    struct activity activity;
    struct options o = {.device = "auto", .choices = arguments_choices(), .watch = &activity.watch};
    const char *samplers = NULL, *nfes = "10,20,40";
    const struct argument table[] = {
        {"samplers", 0, ARGUMENT_TEXT, &samplers, 0, 0, "NAMES",
         "default: all but tuned, whose tables are made here for a model without"},
        {"nfe", 0, ARGUMENT_TEXT, &nfes, 0, 0, "NUMBERS", "evaluations; default 10,20,40"},
        {"corruption", 0, ARGUMENT_TEXT, &o.corruption, 0, 0, "NAME",
         "without a model; default blur"},
        {"side", 0, ARGUMENT_INT, &o.side, SIDE_MIN, SIDE_MAX, "PX",
         "default: the model's, else 16; a model's levels are brought to it"},
        {"engine", 0, ARGUMENT_INT, &o.n_images, 0, IMAGES_MAX, "N",
         "draw N images of every sampler at the least NFE, too"},
        {"json", 0, ARGUMENT_FLAG, &o.json, 0, 0, NULL, "one document instead of a table"},
        ARGUMENTS_THREADS(&o.n_threads),
        ARGUMENTS_DEVICE(&o.device),
        ARGUMENTS_CHOICES(&o.choices),
    };
    const struct arguments arguments = {
        .program = "softdiff-eval gaussian",
        .usage = "[MODEL] [options]",
        .about =
            "Tells what samplers alone do, whatever is trained: on Gaussian data with a denoiser "
            "that makes no\nmistake the law of the result is known. Variance in bands of frequency "
            "and W2 distance are those\nto what infinitely fine steps return. With --engine, "
            "images of a network without weights must\nagree with what is foretold for them.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
        .n_operands_max = 1,
    };
    struct run r = {.options = &o};
    struct error err;
    int code = arguments_parse(&arguments, argc, argv, &o.model), rc;

    if (code >= 0)
        return code;
    if (parse(samplers, nfes, &o, &err) < 0)
        return arguments_refuse("softdiff-eval", err.text);
    activity_begin(&activity, 0);
    rc = run_all(&r, &err);
    finish(&r);
    if (rc == 0)
        return EXIT_DONE;
    fprintf(stderr, "softdiff-eval: %s\n", err.text);
    return EXIT_FAILED;
}
