#include "tools/eval/distance_main.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include "engine/base/error.h"
#include "tools/activity.h"
#include "tools/arguments.h"
#include "tools/eval/comparison.h"
#include "tools/eval/feature_network.h"
#include "tools/eval/jackknife.h"
#include "tools/eval/sets.h"
#include "tools/eval/statistics.h"
#include "tools/stop.h"

enum { OPERANDS_MAX = 64, SIDE_MAX = 1024 };

static const double normal_95 = 1.96; /* standard deviations to either side */
static const char program[] = "softdiff-eval";
static const char stopped[] = "softdiff-eval: stopped; whatever was finished before is kept";

struct asked {
    struct sets_options sets;
    bool floor, intervals; /* it is an error if they are not to be had */
    bool quick;            /* neither */
};

void distance_warn_of_few(const struct statistics *s, const char *path)
{
    if (s->n <= s->network->n_features)
        fprintf(stderr, "%s: \"%s\" has %d pictures for %d features: the distance is biased\n",
                program, path, s->n, s->network->n_features);
}

static void warn_of_jpeg(const struct statistics *a, const char *path_a, const struct statistics *b,
                         const char *path_b)
{
    if (provenance_differs_in_jpeg(&a->provenance, a->n, &b->provenance, b->n))
        fprintf(stderr,
                "%s: %d of %d pictures of \"%s\" are JPEG, and %d of %d of \"%s\": what "
                "compression "
                "does is a part of the distance\n",
                program, a->provenance.jpeg, a->n, path_a, b->provenance.jpeg, b->n, path_b);
}

/* A figure in [least, most], and where it may lie. error: NAN, not known. */
static void print_figure(const char *name, double value, double error, double least, double most)
{
    printf("%-10s %.5g", name, value);
    if (isfinite(error))
        printf("  (95 %%: %.4g .. %.4g)", fmax(value - normal_95 * error, least),
               fmin(value + normal_95 * error, most));
    putchar('\n');
}

static void print_comparison(const char *frechet, const struct comparison *c,
                             const struct comparison_more *more, const struct jackknife *errors)
{
    print_figure(frechet, c->frechet, errors->frechet, 0, INFINITY);
    if (c->n_compared == 0)
        return;
    printf("KID        %.6g  (95 %%: %.4g .. %.4g)\n", more->kernel,
           more->kernel - normal_95 * more->kernel_error,
           more->kernel + normal_95 * more->kernel_error);
    print_figure("sliced", more->sliced, errors->sliced, 0, INFINITY);
    print_figure("MIND", more->mind, errors->mind, 0, INFINITY);
    if (isfinite(c->precision)) {
        print_figure("precision", c->precision, errors->precision, 0, 1);
        print_figure("recall", c->recall, errors->recall, 0, 1);
    }
}

static void print_floor(const struct comparison_least *least, int n, int n_others)
{
    const struct comparison_more *more = &least->more;

    printf("floor      %.5g  KID %.4g  (95 %%: %.4g .. %.4g)  sliced %.5g  MIND %.5g",
           least->frechet, more->kernel, more->kernel - normal_95 * more->kernel_error,
           more->kernel + normal_95 * more->kernel_error, more->sliced, more->mind);
    if (isfinite(least->precision))
        printf("  precision %.3f  recall %.3f", least->precision, least->recall);
    printf("  (%d of the latter against the other %d)\n", n, n_others);
}

/* What the first figure is, and whether it stands beside those of papers. */
static void print_name(const struct statistics *samples, const struct statistics *reference)
{
    const int n = samples->n;
    char name[COMPARISON_NAME];

    comparison_name(reference, n, name);
    if (comparison_is_fid(reference, n))
        printf("FID: as published ones are measured%s\n",
               n < COMPARISON_FID_PAPERS ? ", of fewer pictures than their 50000: it is larger"
                                         : "");
    else if (!reference->network->published)
        printf("FD: %s, no FID: other features\n", name);
    else if (!reference->provenance.published)
        printf("FD: %s, no FID: other weights than those of published ones\n", name);
    else if (!feature_resize_is_of_fid(reference->provenance.resize))
        printf("FD: %s, no FID: pictures resized by %s%s\n", name, reference->provenance.resize,
               feature_resize_is_of_clean_fid(reference->provenance.resize)
                   ? ", as clean-fid does, with whose figures it may stand"
                   : "");
    else
        printf("FD: %s, no FID: fewer than %d pictures, where papers have %d\n", name,
               COMPARISON_FID_LEAST, COMPARISON_FID_PAPERS);
}

/* The errors of what is told, or why there are none, which is told. */
static int find_errors(const struct asked *asked, struct sets *sets,
                       const struct statistics *samples, const struct statistics *reference,
                       struct jackknife *errors, struct error *err)
{
    const bool whole = asked->intervals || comparison_errors_are_quick(samples, reference);

    *errors = (struct jackknife){NAN, NAN, NAN, NAN, NAN};
    if (asked->quick)
        return 0;
    if (!asked->intervals && !comparison_has_errors(samples, reference)) {
        printf("no intervals but KID's: %s\n", samples->features && reference->features
                                                   ? "too few pictures"
                                                   : "statistics without features");
        return 0;
    }
    if (!whole)
        printf("no intervals of precision and recall, which take long: --intervals has them\n");
    return comparison_make_errors(sets_pool(sets), asked->sets.watch, samples, reference, whole,
                                  errors, err);
}

static int tell_floor(const struct asked *asked, struct sets *sets,
                      const struct statistics *samples, const struct statistics *reference,
                      const char *path, struct error *err)
{
    struct comparison_least least;
    int rc;

    if (asked->quick && !asked->floor)
        return 0;
    if (!asked->floor && (!reference->features || reference->n / 2 < samples->n)) {
        printf("no floor: %s\n", reference->features ? "the latter are not twice as many"
                                                     : "statistics without features");
        return 0;
    }
    rc = comparison_floor(sets_pool(sets), asked->sets.watch, reference, samples->n, &least, err);
    if (rc < 0)
        error_prefix(err, "floor of \"%s\": ", path);
    else
        print_floor(&least, samples->n, reference->n - samples->n);
    return rc;
}

static int compare_two(const struct asked *asked, struct sets *sets, const char *const paths[2],
                       const struct statistics *samples, const struct statistics *reference,
                       struct error *err)
{
    struct comparison c;
    struct comparison_more more;
    struct jackknife errors;
    int rc = comparison_make(sets_pool(sets), asked->sets.watch, samples, reference, &c, err);

    if (rc == 0 && c.n_compared > 0)
        rc = comparison_make_more(sets_pool(sets), asked->sets.watch, samples, reference, &more,
                                  err);
    if (rc < 0)
        return rc;
    printf("%d pictures of %s against %d of %s at %d px\n", samples->n, paths[0], reference->n,
           paths[1], sets_side(sets));
    rc = find_errors(asked, sets, samples, reference, &errors, err);
    if (rc < 0)
        return rc;
    print_comparison(comparison_short_name(reference, samples->n), &c, &more, &errors);
    rc = tell_floor(asked, sets, samples, reference, paths[1], err);
    if (rc == 0)
        print_name(samples, reference);
    return rc;
}

/* sets[0] against each of the others. */
static int compare_sets(const struct asked *asked, struct sets *sets, int n,
                        const char *const *paths, struct statistics *const *s, struct error *err)
{
    int rc = 0;

    for (int i = 0; i < n; i++)
        distance_warn_of_few(s[i], paths[i]);
    for (int i = 1; i < n; i++)
        warn_of_jpeg(s[0], paths[0], s[i], paths[i]);
    for (int i = 1; i < n && rc == 0; i++)
        rc = compare_two(asked, sets, (const char *const[2]){paths[0], paths[i]}, s[0], s[i], err);
    return rc;
}

static int run(const struct asked *asked, int n, const char *const *paths, struct error *err)
{
    struct statistics *s[OPERANDS_MAX] = {NULL};
    struct sets *sets = NULL;
    int rc = sets_open(&asked->sets, &sets, err);

    if (rc == 0)
        rc = sets_read(sets, n, paths, s, err);
    if (rc == 0)
        rc = compare_sets(asked, sets, n, paths, s, err);
    for (int i = 0; i < n; i++)
        statistics_destroy(s[i]);
    sets_close(sets);
    return rc;
}

int distance_main(int argc, char **argv)
{
    struct activity activity;
    struct asked asked = {
        .sets = {.device = "auto", .choices = arguments_choices(), .watch = &activity.watch}};
    const struct argument table[] = {
        {"side", 0, ARGUMENT_INT, &asked.sets.side, 1, SIDE_MAX, "PX",
         "that pictures are brought to; default: that of a file of statistics, else 32"},
        {"floor", 0, ARGUMENT_FLAG, &asked.floor, 0, 0, NULL,
         "refuse a REFERENCE that has none: as many of its pictures against its others"},
        {"intervals", 0, ARGUMENT_FLAG, &asked.intervals, 0, 0, NULL,
         "refuse sets without, and have those of precision and recall where they take long"},
        {"quick", 0, ARGUMENT_FLAG, &asked.quick, 0, 0, NULL,
         "neither floor nor intervals, unless asked for"},
        {"skip-bad", 0, ARGUMENT_FLAG, &asked.sets.skip_bad, 0, 0, NULL,
         "leave out pictures that cannot be read"},
        ARGUMENTS_THREADS(&asked.sets.n_threads),
        ARGUMENTS_DEVICE(&asked.sets.device),
        ARGUMENTS_CHOICES(&asked.sets.choices),
        {"features", 0, ARGUMENT_TEXT, &asked.sets.features, 0, 0, "NAME", FEATURE_NETWORK_HELP},
        {"network", 0, ARGUMENT_TEXT, &asked.sets.network, 0, 0, "FILE",
         "of their weights; default: those of the zoo, which has none of inception"},
        {"resize", 0, ARGUMENT_TEXT, &asked.sets.resize, 0, 0, "HOW", FEATURE_RESIZE_HELP},
    };
    const struct arguments arguments = {
        .program = "softdiff-eval distance",
        .usage = "SAMPLES REFERENCE... [options]",
        .about =
            "Tells how far pictures are from others: Frechet distance (FD), kernel distance "
            "(KID),\nsliced distance and its square as Monge Inception Distance (MIND), "
            "precision and recall, with\nintervals of 95 % and, where REFERENCE has twice as "
            "many pictures, the floor: as many of these\nagainst the rest. Each is a folder or "
            "archive of pictures, the files of CIFAR-10 or MNIST, or a\nfile of `softdiff-eval "
            "stats`. Compare with nothing but distances of this program, by the same\nfeatures "
            "and with as many samples; what is called FID, and MIND by the same weights, with\n"
            "published ones, too.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
        .n_operands_min = 2,
        .n_operands_max = OPERANDS_MAX,
    };
    const char *paths[OPERANDS_MAX];
    struct error err;
    int code = arguments_parse(&arguments, argc, argv, paths), n = 0, rc;

    if (code >= 0)
        return code;
    if (sets_check_names(&asked.sets, &err) < 0)
        return arguments_refuse(program, err.text);
    while (n < OPERANDS_MAX && paths[n])
        n++;
    activity_begin(&activity, 0);
    stop_may_end(EXIT_FAILED, stopped);
    asked.quick = asked.quick && !asked.intervals;
    rc = run(&asked, n, paths, &err);
    if (rc < 0)
        fprintf(stderr, "%s: %s\n", program, err.text);
    return rc < 0 ? EXIT_FAILED : EXIT_DONE;
}
