/* softdiff-schedule: at which times pictures are how far corrupted, and at which a model is sampled. */
#include "engine/base/error.h"
#include "model/checkpoint.h"
#include "model/document.h"
#include "model/fit/solver_fit.h"
#include "tools/activity.h"
#include "tools/arguments.h"
#include "tools/eval/gaussian_case.h"
#include "tools/rewrite.h"
#include "tools/schedule/fit_main.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char program[] = "softdiff-schedule";

struct options {
    const char *paths[2]; /* from, to */
    int n_nfes, nfes[SAMPLING_SOLVERS_MAX];
    double target, noise;
    bool force;
    const struct watch *watch;
};

/* Puts a table in its place among the others; takes it. One for as many evaluations gives way. */
static void place_solver(struct sampling *s, struct solver solver)
{
    int i = 0;

    while (i < s->n_solvers && s->solvers[i].nfe < solver.nfe)
        i++;
    if (i < s->n_solvers && s->solvers[i].nfe == solver.nfe) {
        solver_fini(&s->solvers[i]);
    } else {
        memmove(&s->solvers[i + 1], &s->solvers[i],
                (size_t)(s->n_solvers - i) * sizeof(*s->solvers));
        s->n_solvers++;
    }
    s->solvers[i] = solver;
}

static int count_new(const struct options *o, const struct sampling *s)
{
    int n = 0;

    for (int i = 0; i < o->n_nfes; i++)
        n += !sampling_solver(s, o->nfes[i]);
    return n;
}

/* Room for the tables to come. */
static int make_room(const struct options *o, struct sampling *s, struct error *err)
{
    int n = s->n_solvers + count_new(o, s);
    struct solver *solvers;

    if (n > SAMPLING_SOLVERS_MAX)
        return error_set(err, -EINVAL, "a model has at most %d tables, not %d",
                         SAMPLING_SOLVERS_MAX, n);
    solvers = realloc(s->solvers, (size_t)n * sizeof(*solvers));
    if (!solvers)
        return error_set(err, -ENOMEM, "out of memory for %d tables", n);
    s->solvers = solvers;
    return 0;
}

static int tune(const struct options *o, const struct gaussian_case *given, struct sampling *s,
                struct error *err)
{
    const struct formulation *f = &given->formulation;
    int rc = make_room(o, s, err);

    if (rc == 0)
        printf("spectrum of %s\n  nfe   variance of modes over the right one\n",
               given->measured ? "the model's pictures" : "pictures in general");
    for (int i = 0; i < o->n_nfes && rc == 0; i++) {
        const struct solver_fit_options options = {.nfe = o->nfes[i],
                                                   .target = o->target,
                                                   .noise = o->noise};
        struct solver_fit_report report;
        struct solver solver;

        rc = solver_fit(f->corruption, &f->schedule, given->side, given->spectrum, &options,
                        o->watch, &solver, &report, err);
        if (rc < 0)
            return rc;
        place_solver(s, solver);
        printf("%5d   %.3f .. %.3f\n", options.nfe, report.lowest, report.highest);
    }
    return rc;
}

/* Says in the evidence how the tables came about. */
static int state(const struct options *o, bool measured, struct checkpoint *c, struct error *err)
{
    return document_add_evidence(c, "solvers",
                                 json_pack("{s:f, s:f, s:s}", "target", o->target, "noise",
                                           o->noise, "spectrum", measured ? "model" : "general"),
                                 err);
}

static int change(struct checkpoint *c, void *arg, struct error *err)
{
    const struct options *o = arg;
    struct gaussian_case given = {0};
    int rc = rewrite_upgrade(c, err);

    if (rc == 0)
        rc = gaussian_case_of_model(o->paths[0], 0, &given, err);
    if (rc == 0)
        rc = tune(o, &given, &c->formulation.sampling, err);
    if (rc == 0)
        rc = state(o, given.measured, c, err);
    gaussian_case_fini(&given);
    return rc;
}

static int solver_main(int argc, char **argv)
{
    struct activity activity;
    struct options o = {.target = 1, .watch = &activity.watch};
    const char *nfes = "4,6,8,12,20";
    const struct argument table[] = {
        {"nfe", 0, ARGUMENT_TEXT, &nfes, 0, 0, "NUMBERS",
         "evaluations, a table for each; default 4,6,8,12,20"},
        {"target", 0, ARGUMENT_NUMBER, &o.target, 0.5, 2, "RATIO",
         "variance wanted, of the right one: more for networks whose pictures vary too little"},
        {"noise", 0, ARGUMENT_NUMBER, &o.noise, 0, 1000, "RATE",
         "renew noise on the way, all but exp(-RATE dt) of it in a time dt; default 0"},
        {"force", 'f', ARGUMENT_FLAG, &o.force, 0, 0, NULL, "replace OUT if it is there"},
    };
    const struct arguments arguments = {
        .program = "softdiff-schedule solver",
        .usage = "MODEL OUT [options]",
        .about =
            "Writes a checkpoint with tables of the sampler tuned: times and trends of a few steps "
            "that give\nGaussian data with the spectrum of the model's pictures the right variance "
            "in every mode. Tables\nfor other numbers stay. `softdiff-eval gaussian OUT --samplers "
            "tuned` tells what they do, exactly.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
        .n_operands_min = 2,
        .n_operands_max = 2,
    };
    struct error err;
    int code = arguments_parse(&arguments, argc, argv, o.paths);

    if (code >= 0)
        return code;
    o.n_nfes = arguments_list(nfes, 1, SOLVER_FIT_NFE_MAX, SAMPLING_SOLVERS_MAX, o.nfes, &err);
    if (o.n_nfes < 0)
        return arguments_refuse(program, err.text);
    activity_begin(&activity, 0);
    return arguments_end(program,
                         rewrite_checkpoint(o.paths[0], o.paths[1], o.force, change, &o, &err),
                         &err);
}

int main(int argc, char **argv)
{
    static const struct arguments_command commands[] = {{"fit", fit_main},
                                                        {"solver", solver_main},
                                                        {NULL, NULL}};

    return arguments_run(program, "fit|solver ...",
                         "Finds out what happens when. `fit` makes the schedule of a recipe from "
                         "pictures: how far they are\ncorrupted at which time; `solver` makes "
                         "tables of a few steps for the sampler tuned, the times at\nwhich a model "
                         "is best sampled. Each has a --help.",
                         commands, argc, argv);
}
