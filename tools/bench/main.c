/* softdiff-bench: the time of a network evaluation by batch, threads and precision, of a tick by lanes,
 * of each step and of each algorithm.
 *
 * The configurations take turns in every round, so that a machine that gets slower or is used by
 * others hurts all of them alike. Beside the wall time stands the processor time of this process:
 * the two disagree when somebody else was running.
 */
#include "engine/base/error.h"
#include "engine/base/trace.h"
#include "engine/base/whole_file.h"
#include "engine/choices.h"
#include "tools/activity.h"
#include "tools/arguments.h"
#include "tools/bench/bench.h"
#include "tools/bench/cases.h"
#include "tools/bench/plan_table.h"
#include "tools/bench/roofline.h"
#include "tools/bench/ticks.h"
#include "tools/bench/tune.h"
#include "tools/stop.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* Adds what is measured to the table of that name, which may be there; stopped, what it has until then. */
static int tune(const struct bench *b, const struct bench_case *cases, int n, struct error *err)
{
    const char *path = b->options->tune;
    struct choices *choices;
    struct error write_error;
    int rc = choices_create(&choices, err), written;

    if (rc < 0)
        return rc;
    if (access(path, F_OK) == 0)
        rc = choices_read(choices, path, err);
    for (int i = 0; i < n && rc == 0; i++)
        rc = tune_plan(cases[i].device, cases[i].plan, b->options->rounds, b->watch, choices, err);
    stop_must_not_end();
    if (rc == 0 || rc == -ECANCELED) {
        written = choices_write(choices, path, &write_error);
        if (written < 0)
            rc = error_set(err, written, "%s", write_error.text);
    }
    choices_destroy(choices);
    return rc;
}

static int bench_cases(struct bench *b, struct error *err)
{
    const struct bench_options *o = b->options;
    struct bench_case *cases;
    int n, rc = cases_create(b, &cases, &n, err);

    if (rc < 0)
        return rc;
    if (o->tune)
        rc = tune(b, cases, n, err);
    else if (o->plan && o->roofline)
        rc = roofline_print_plan(b, &cases[0], err);
    else if (o->plan)
        rc = plan_table_print(cases[0].device, cases[0].plan, cases[0].executor, o->rounds, err);
    else
        rc = cases_measure(b, cases, n, err);
    cases_destroy(cases, n);
    return rc;
}

/* b has been parsed. */
static int bench(struct bench *b, struct error *err)
{
    const struct bench_options *o = b->options;
    int rc = 0;

    if (o->roofline && !o->plan)
        return roofline_print(b, err);
    if (o->tune) /* before anything is measured */
        rc = whole_file_try(o->tune, err);
    if (rc == 0 && o->trace)
        rc = whole_file_try(o->trace, err);
    if (rc == 0)
        rc = bench_init(b, err);
    if (rc == 0)
        rc = o->ticks ? ticks_measure(b, err) : bench_cases(b, err);
    if (rc == 0 && b->trace)
        rc = trace_write(b->trace, o->trace, err);
    bench_fini(b);
    return rc;
}

int main(int argc, char **argv)
{
    struct bench_options o = {.device = "auto",
                              .choices = arguments_choices(),
                              .batches = "1",
                              .threads = "1",
                              .precisions = "auto",
                              .rounds = 100,
                              .seconds = 20};
    const struct argument table[] = {
        {"batch", 'b', ARGUMENT_TEXT, &o.batches, 0, 0, "LIST", "images; default 1"},
        {"threads", 't', ARGUMENT_TEXT, &o.threads, 0, 0, "LIST", "default 1"},
        {"precision", 'p', ARGUMENT_TEXT, &o.precisions, 0, 0, "LIST", "of auto, fp32, bf16, fp16"},
        ARGUMENTS_DEVICE(&o.device),
        ARGUMENTS_CHOICES(&o.choices),
        {"train", 0, ARGUMENT_FLAG, &o.train, 0, 0, NULL, "loss and gradients instead"},
        {"ticks", 0, ARGUMENT_TEXT, &o.ticks, 0, 0, "LIST",
         "ticks of a generator with so many lanes busy instead: bytes of a lane's row, the host's "
         "time"},
        {"rounds", 'n', ARGUMENT_INT, &o.rounds, 1, ROUNDS_MAX, "N", "at most; default 100"},
        {"seconds", 0, ARGUMENT_NUMBER, &o.seconds, 0.1, 36000, "S",
         "no new round after that (but 5 at least); default 20"},
        {"plan", 0, ARGUMENT_FLAG, &o.plan, 0, 0, NULL,
         "print the first combination's plan, each step timed on one thread"},
        {"tune", 0, ARGUMENT_TEXT, &o.tune, 0, 0, "FILE",
         "time the algorithms of every step and add the fastest to a table for --choices"},
        {"roofline", 0, ARGUMENT_TEXT, &o.roofline, 0, 0, "GPU",
         "print what a plan's launches take at best on H200, H100, B200, A100, L4 or T4, "
         "without one; with --plan beside what they take"},
        {"trace", 0, ARGUMENT_TEXT, &o.trace, 0, 0, "FILE",
         "write what every thread did when, for chrome://tracing or Perfetto"},
        {"json", 'j', ARGUMENT_FLAG, &o.json, 0, 0, NULL, "one JSON document"},
    };
    const struct arguments arguments = {
        .program = "softdiff-bench",
        .usage = "MODEL|ARCHITECTURE.json [options]",
        .about = "Measures a network's evaluations. A LIST is separated by commas; all "
                 "combinations take turns.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
        .n_operands_min = 1,
        .n_operands_max = 1,
    };
    struct activity activity;
    struct bench b;
    struct error err;
    int code = arguments_parse(&arguments, argc, argv, &o.model), rc;

    if (code >= 0)
        return code;
    if (o.ticks && (o.train || o.plan || o.tune))
        return arguments_refuse(arguments.program,
                                "--ticks goes with none of --train, --plan and --tune");
    if (o.trace && (o.plan || o.tune))
        return arguments_refuse(arguments.program, "--trace goes with neither --plan nor --tune");
    if (o.roofline && (o.ticks || o.tune || o.trace || o.json))
        return arguments_refuse(arguments.program,
                                "--roofline goes with --batch, --precision, --train and --plan");
    if (bench_parse(&b, &o, &activity.watch, &err) < 0 ||
        (o.roofline && roofline_find(o.roofline, &err) < 0))
        return arguments_refuse(arguments.program, err.text);
    activity_begin(&activity, 0);
    stop_may_end(EXIT_FAILED, "softdiff-bench: stopped before anything was measured");
    rc = bench(&b, &err);
    return arguments_end(arguments.program, rc, &err);
}
