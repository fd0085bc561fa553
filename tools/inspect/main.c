/* softdiff-inspect: what a checkpoint holds. */
#include "engine/base/error.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "tools/arguments.h"
#include "tools/inspect/evaluate.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Knots of the schedule that are shown to people. */
enum { SHOWN = 5 };

/* Everything but the weights as one document; NULL without memory. */
static json_t *describe(const struct checkpoint *c)
{
    const struct formulation *f = &c->formulation;

    return json_pack("{s:s, s:I, s:o, s:o, s:o, s:s, s:s, s:{s:i, s:i}, s:O?, s:s?}", "digest",
                     c->digest, "parameters", (json_int_t)c->n_weights, "architecture",
                     architecture_to_json(&f->architecture), "corruption",
                     corruption_to_json(f->corruption), "schedule", schedule_to_json(&f->schedule),
                     "output", output_name(f->output), "time_embed", time_embed_name(f->time_embed),
                     "prior", "modes", f->prior.n_modes, "coefficients", f->prior.n_coefficients,
                     "provenance", c->provenance, "licence", c->licence);
}

static void print_object(const char *name, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;

    printf("%-13s %s\n", name, text ? text : "none");
    free(text);
    json_decref(json);
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

static void print_text(const struct checkpoint *c)
{
    const struct formulation *f = &c->formulation;

    printf("%-13s %s\n", "digest", c->digest);
    printf("%-13s %zu\n", "parameters", c->n_weights);
    print_object("architecture", architecture_to_json(&f->architecture));
    print_object("corruption", corruption_to_json(f->corruption));
    print_knots("level", &f->schedule.level);
    print_knots("sigma", &f->schedule.sigma);
    printf("%-13s %s\n", "output", output_name(f->output));
    printf("%-13s %s\n", "time_embed", time_embed_name(f->time_embed));
    printf("%-13s %d modes, %d coefficients\n", "prior", f->prior.n_modes, f->prior.n_coefficients);
    print_object("provenance", json_incref(c->provenance));
    printf("%-13s %s\n", "licence", c->licence ? c->licence : "none stated");
}

static int inspect(const char *path, bool as_json, struct error *err)
{
    struct checkpoint *c;
    json_t *json;
    char *text;
    int rc = checkpoint_load(path, &c, err);

    if (rc < 0)
        return rc;
    if (!as_json) {
        print_text(c);
        checkpoint_destroy(c);
        return 0;
    }
    json = describe(c);
    text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    if (text)
        puts(text);
    else
        rc = error_set(err, -ENOMEM, "out of memory describing \"%s\"", path);
    free(text);
    json_decref(json);
    checkpoint_destroy(c);
    return rc;
}

int main(int argc, char **argv)
{
    bool as_json = false;
    const struct argument table[] = {
        {"json", 'j', ARGUMENT_FLAG, &as_json, 0, 0, NULL, "one JSON document"},
    };
    const struct arguments arguments = {
        .program = "softdiff-inspect",
        .usage = "MODEL [--json]\n       softdiff-inspect run --help",
        .about = "Tells what a checkpoint holds; `run` evaluates a network on given tensors.",
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
    code = arguments_parse(&arguments, argc, argv, &path);
    if (code >= 0)
        return code;
    rc = inspect(path, as_json, &err);
    if (rc < 0) {
        fprintf(stderr, "softdiff-inspect: %s\n", err.text);
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}
