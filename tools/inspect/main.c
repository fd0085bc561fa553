/* softdiff-inspect: what a checkpoint holds. */
#include "engine/base/error.h"
#include "engine/base/printable.h"
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

static int format(const struct checkpoint *c)
{
    return c->formulation.sampling.refining_grid ? 2 : 1;
}

/* Everything but the weights as one document; NULL without memory. */
static json_t *describe(const struct checkpoint *c)
{
    const struct formulation *f = &c->formulation;

    return json_pack(
        "{s:s, s:i, s:I, s:o, s:o, s:o, s:s, s:s, s:{s:i, s:i, s:b}, s:O?, s:s?, s:o*, "
        "s:o*, s:O*, s:O*}",
        "digest", c->digest, "format", format(c), "parameters", (json_int_t)c->n_weights,
        "architecture", architecture_to_json(&f->architecture), "corruption",
        corruption_to_json(f->corruption), "schedule", schedule_to_json(&f->schedule), "output",
        output_name(f->output), "time_embed", time_embed_name(f->time_embed), "prior", "modes",
        f->prior.n_modes, "coefficients", f->prior.n_coefficients, "start", f->prior.start != NULL,
        "provenance", c->provenance, "licence", c->licence, "defaults",
        sampling_defaults_to_json(&f->sampling), "solvers", sampling_solvers_to_json(&f->sampling),
        "labels", c->labels, "evidence", c->evidence);
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

/* Takes json; NULL: there is none. */
static void print_object(const char *name, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;

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

static void print_text(const struct checkpoint *c)
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
    text = json ? json_dumps(json, JSON_INDENT(2) | JSON_ENSURE_ASCII) : NULL;
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
