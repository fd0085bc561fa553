/* softdiff-inspect: what a checkpoint holds. */
#include "engine/base/error.h"
#include "engine/base/printable.h"
#include "engine/device.h"
#include "engine/identity.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "tools/arguments.h"
#include "tools/inspect/compare.h"
#include "tools/inspect/evaluate.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Knots of the schedule that are shown to people. */
enum { SHOWN = 5 };

/* The ids with which this machine computes, by precision: what it draws is equal to what others of
 * the same id draw. NULL with err set. */
static json_t *describe_determinism(const char *choices, struct error *err)
{
    static const enum precision precisions[] = {PRECISION_FP32, PRECISION_BF16, PRECISION_FP16};
    char machine[DEVICE_MACHINE_BYTES];
    struct device *device;
    json_t *json;

    if (device_open("auto", 1, choices, &device, err) < 0)
        return NULL;
    device_machine(device, machine);
    json = json_pack("{s:s}", "machine", machine);
    for (size_t i = 0; i < sizeof(precisions) / sizeof(precisions[0]); i++) {
        char id[IDENTITY_BYTES];

        if (identity_of(device, precisions[i], id, NULL) == 0)
            json_object_set_new(json, precision_name(precisions[i]), json_string(id));
    }
    device_close(device);
    if (!json)
        error_set(err, -ENOMEM, "out of memory describing the device");
    return json;
}

static int format(const struct checkpoint *c)
{
    return c->formulation.sampling.refining_grid ? 2 : 1;
}

/* Everything but the weights as one document; takes determinism. NULL without memory. */
static json_t *describe(const struct checkpoint *c, json_t *determinism)
{
    const struct formulation *f = &c->formulation;

    return json_pack(
        "{s:s, s:i, s:I, s:o, s:o, s:o, s:s, s:s, s:{s:i, s:i, s:b}, s:O?, s:s?, s:o*, "
        "s:o*, s:O*, s:O*, s:o}",
        "digest", c->digest, "format", format(c), "parameters", (json_int_t)c->n_weights,
        "architecture", architecture_to_json(&f->architecture), "corruption",
        corruption_to_json(f->corruption), "schedule", schedule_to_json(&f->schedule), "output",
        output_name(f->output), "time_embed", time_embed_name(f->time_embed), "prior", "modes",
        f->prior.n_modes, "coefficients", f->prior.n_coefficients, "start", f->prior.start != NULL,
        "provenance", c->provenance, "licence", c->licence, "defaults",
        sampling_defaults_to_json(&f->sampling), "solvers", sampling_solvers_to_json(&f->sampling),
        "labels", c->labels, "evidence", c->evidence, "determinism", determinism);
}

/* One line of text from the file, with nothing that a terminal would obey. */
static void print_line(const char *name, const char *text)
{
    size_t size = 4 * strlen(text) + 1; /* every byte as \xNN */
    char *shown = malloc(size);

    if (shown)
        printable_copy(text, shown, size);
    printf("%-13s %s\n", name, shown ? shown : "(out of memory)");
    free(shown);
}

enum { TEXT_MAX = 500 }; /* of an object, in bytes; the rest is " ..." */

/* Takes json; NULL: there is none. */
static void print_object(const char *name, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;

    /* Matrices and ranks by the thousand are for --json. */
    if (text && strlen(text) > TEXT_MAX + 4)
        snprintf(text + TEXT_MAX, sizeof(" ..."), " ...");
    print_line(name, text ? text : "none");
    free(text);
    json_decref(json);
}

/* The numbers of evaluations that have a table. */
static void print_solvers(const struct sampling *s)
{
    printf("%-13s ", "tuned");
    for (int i = 0; i < s->n_solvers; i++)
        printf("%s%d", i ? ", " : "", s->solvers[i].nfe);
    printf("%s\n", s->n_solvers ? " evaluations" : "none");
}

static void print_knots(const char *name, const struct schedule_knots *knots)
{
    int shown = knots->n < SHOWN ? knots->n : SHOWN;

    printf("%-13s %d knots:", name, knots->n);
    for (int i = 0; i < shown; i++) {
        int knot = i * (knots->n - 1) / (shown - 1);

        printf("  t %.3g %.4g", knots->t[knot], knots->value[knot]);
    }
    putchar('\n');
}

/* Takes determinism. */
static void print_text(const struct checkpoint *c, json_t *determinism)
{
    const struct formulation *f = &c->formulation;

    printf("%-13s %s\n", "digest", c->digest);
    printf("%-13s %d\n", "format", format(c));
    printf("%-13s %zu\n", "parameters", c->n_weights);
    print_object("architecture", architecture_to_json(&f->architecture));
    print_object("corruption", corruption_to_json(f->corruption));
    print_knots("level", &f->schedule.level);
    print_knots("sigma", &f->schedule.sigma);
    printf("%-13s %s\n", "output", output_name(f->output));
    printf("%-13s %s\n", "time_embed", time_embed_name(f->time_embed));
    printf("%-13s %d modes, %d coefficients%s\n", "prior", f->prior.n_modes,
           f->prior.n_coefficients, f->prior.start ? ", starts at the mean image" : "");
    print_object("defaults", sampling_defaults_to_json(&f->sampling));
    print_solvers(&f->sampling);
    print_object("labels", json_incref(c->labels));
    print_object("evidence", json_incref(c->evidence));
    print_object("provenance", json_incref(c->provenance));
    print_line("licence", c->licence ? c->licence : "none stated");
    print_object("determinism", determinism);
}

static int print_json(const struct checkpoint *c, json_t *determinism, struct error *err)
{
    json_t *json = describe(c, determinism);
    char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_ENSURE_ASCII) : NULL;
    int rc = 0;

    if (text)
        puts(text);
    else
        rc = error_set(err, -ENOMEM, "out of memory describing a checkpoint");
    free(text);
    json_decref(json);
    return rc;
}

static int inspect(const char *path, const char *choices, bool as_json, struct error *err)
{
    struct checkpoint *c;
    json_t *determinism;
    int rc = checkpoint_load(path, &c, err);

    if (rc < 0)
        return rc;
    determinism = describe_determinism(choices, err);
    if (!determinism)
        rc = -EINVAL;
    else if (as_json)
        rc = print_json(c, determinism, err);
    else
        print_text(c, determinism);
    checkpoint_destroy(c);
    return rc;
}

int main(int argc, char **argv)
{
    const char *choices = arguments_choices();
    bool as_json = false;
    const struct argument table[] = {
        {"json", 'j', ARGUMENT_FLAG, &as_json, 0, 0, NULL, "one JSON document"},
        ARGUMENTS_CHOICES(&choices),
    };
    const struct arguments arguments = {
        .program = "softdiff-inspect",
        .usage = "MODEL [options]\n       softdiff-inspect run --help\n       softdiff-inspect "
                 "compare --help",
        .about = "Tells what a checkpoint holds; `run` evaluates a network on given tensors, "
                 "`compare` on two devices.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
        .n_operands_min = 1,
        .n_operands_max = 1,
    };
    const char *path;
    struct error err;
    int code, rc;

    if (argc > 1 && strcmp(argv[1], "run") == 0)
        return evaluate_main(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "compare") == 0)
        return compare_main(argc - 1, argv + 1);
    code = arguments_parse(&arguments, argc, argv, &path);
    if (code >= 0)
        return code;
    rc = inspect(path, choices, as_json, &err);
    return arguments_end(arguments.program, rc, &err);
}
