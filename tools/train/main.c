/* softdiff-train: learns a checkpoint from a folder of pictures. */
#include "engine/base/error.h"
#include "tools/activity.h"
#include "tools/arguments.h"
#include "tools/train/training.h"

#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>

/* Seconds between lines of the log that tell of work before the first step. */
#define TELL_SECONDS 10

int main(int argc, char **argv)
{
    struct activity activity;
    struct training_options o = {.device = "auto",
                                 .choices = arguments_choices(),
                                 .accumulate = 1,
                                 .watch = &activity.watch};
    const char *precision = "auto";
    const struct argument table[] = {
        {"recipe", 'r', ARGUMENT_TEXT, &o.recipe, 0, 0, "FILE", "what to train (config/recipes/)"},
        {"data", 'd', ARGUMENT_TEXT, &o.data, 0, 0, "PATH",
         "pictures: a folder, ZIP archive, CIFAR-10, MNIST, or packed (softdiff-convert dataset)"},
        {"out", 'o', ARGUMENT_TEXT, &o.out, 0, 0, "FOLDER", "the run; resumed if begun already"},
        {"steps", 0, ARGUMENT_INT, &o.steps, 1, INT_MAX, "N", "instead of the recipe's"},
        {"minutes", 0, ARGUMENT_NUMBER, &o.minutes, 0.001, 1e6, "M",
         "stop after that wall time, saving"},
        ARGUMENTS_THREADS(&o.n_threads),
        ARGUMENTS_DEVICE(&o.device),
        ARGUMENTS_CHOICES(&o.choices),
        ARGUMENTS_PRECISION(&precision),
        {"from", 0, ARGUMENT_TEXT, &o.from, 0, 0, "FILE",
         "begin with the weights of another model of the same network"},
        {"accumulate", 0, ARGUMENT_INT, &o.accumulate, 1, 65536, "N",
         "take the batch in N parts one after the other, in less memory"},
        {"skip-bad", 0, ARGUMENT_FLAG, &o.skip_bad, 0, 0, NULL,
         "leave out pictures that cannot be read"},
        {"dry-run", 0, ARGUMENT_FLAG, &o.dry_run, 0, 0, NULL,
         "print sizes and the time of a step, write nothing"},
    };
    const struct arguments arguments = {
        .program = "softdiff-train",
        .usage = "--recipe FILE --data PATH --out FOLDER [options]",
        .about = "Trains a model on pictures. SIGINT, SIGTERM and SIGHUP save and "
                 "stop;\nthe same command goes on.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
    };
    struct error err;
    int code = arguments_parse(&arguments, argc, argv, NULL), rc;

    if (code >= 0)
        return code;
    if (!o.recipe || !o.data || (!o.out && !o.dry_run))
        return arguments_refuse(arguments.program, "--recipe, --data and --out are needed");
    rc = precision_parse(precision, &o.precision, &err);
    if (rc < 0)
        return arguments_refuse(arguments.program, err.text);
    activity_begin(&activity, TELL_SECONDS);
    signal(SIGPIPE, SIG_IGN); /* nobody who reads the log is no reason to lose a training */
    rc = training_run(&o, &err);
    if (rc < 0) {
        if (err.text[0])
            fprintf(stderr, "%s: %s\n", arguments.program, err.text);
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}
