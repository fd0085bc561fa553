#include "tools/schedule/fit_main.h"
#include "engine/base/error.h"
#include "engine/base/pool.h"
#include "engine/base/whole_file.h"
#include "model/corruption.h"
#include "model/schedule.h"
#include "tools/activity.h"
#include "tools/arguments.h"
#include "tools/output.h"
#include "tools/pictures/dataset.h"
#include "tools/plot.h"
#include "tools/text_file.h"
#include "tools/train/fit.h"
#include "tools/train/recipe.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char program[] = "softdiff-schedule";

enum { TIMES = 201 }; /* points of a line in the picture */

struct options {
    const char *paths[2]; /* recipe, out */
    const char *data, *plot;
    bool force, skip_bad;
    const struct watch *watch;
};

struct fitting {
    struct recipe recipe;
    struct dataset *dataset;
    struct corruption *corruption;
    struct schedule schedule;
    struct fit_report report;
};

static void fitting_fini(struct fitting *f)
{
    schedule_fini(&f->schedule);
    corruption_destroy(f->corruption);
    dataset_close(f->dataset);
    recipe_fini(&f->recipe);
}

static int read_data(const struct options *o, struct fitting *f, struct error *err)
{
    const struct dataset_options options = {.side = f->recipe.architecture.image_size,
                                            .crop = f->recipe.crop,
                                            .skip_bad = o->skip_bad,
                                            .watch = o->watch};
    struct pool *pool;
    int rc = pool_create(pool_available_threads(), &pool, err);

    if (rc < 0)
        return rc;
    rc = dataset_open(o->data, &options, pool, &f->dataset, err);
    pool_destroy(pool);
    return rc;
}

/* How it came about; NULL without memory, or where nothing was fitted. */
static json_t *tell_fit(const struct fitting *f)
{
    const struct schedule_fit_report *report = &f->report.schedule;
    const struct schedule_fit_options *fit = &f->recipe.schedule.fit;
    bool path = fit->rule == SCHEDULE_RULE_PATH;
    json_t *out = json_pack("{s:s, s:s, s:i, s:i, s:s}", "recipe", f->recipe.name, "data",
                            f->dataset->name, "images", f->report.images, "candidates",
                            fit->n_candidates, "rule", path ? "path" : "mse");

    if (path && out &&
        json_object_update_new(out, json_pack("{s:s, s:f, s:f}", "estimator",
                                              fit->estimator == SCHEDULE_ESTIMATOR_IDENTITY
                                                  ? "identity"
                                                  : "transport",
                                              "eps", report->eps, "length", report->length)) < 0) {
        json_decref(out);
        return NULL;
    }
    return out;
}

static int write_json(const char *path, const struct fitting *f, struct error *err)
{
    json_t *json = schedule_to_json(&f->schedule);
    struct text_file file;
    int rc = json_object_set_new(json, "corruption", json_deep_copy(f->recipe.corruption));

    rc |= json_object_set_new(json, "image_size", json_integer(f->recipe.architecture.image_size));
    if (f->report.images)
        rc |= json_object_set_new(json, "fitted", tell_fit(f));
    rc = rc < 0 ? error_set(err, -ENOMEM, "out of memory for a schedule")
                : text_file_begin(&file, path, err);
    if (rc == 0) {
        json_dumpf(json, file.out, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(8));
        fputc('\n', file.out);
        rc = text_file_end(&file, err);
    }
    json_decref(json);
    return rc;
}

/* Level and noise over time: the nodes as points, and lines in between. Levels that end at nothing are
 * drawn as parts of the largest, beside noise on the same straight axis. */
static int write_plot(const char *path, const struct fitting *f, struct error *err)
{
    const struct schedule_knots *knots = &f->schedule.level;
    double t[TIMES], sigma[TIMES], *level = calloc((size_t)knots->n, sizeof(*level)), scale = 1;
    bool logarithmic = true;
    char title[192];
    struct plot_series series[] = {
        {.name = "level", .n = knots->n, .x = knots->t, .y = level},
        {.name = "sigma", .n = TIMES, .x = t, .y = sigma, .level = true},
    };
    struct plot plot = {.title = title,
                        .x_label = "t",
                        .y_label = "level and sigma",
                        .n_series = schedule_has_noise(&f->schedule) ? 2 : 1,
                        .series = series};
    int rc;

    if (!level)
        return error_set(err, -ENOMEM, "out of memory for a picture");
    for (int i = 0; i < knots->n; i++)
        logarithmic = logarithmic && knots->value[i] > 0;
    for (int i = 0; i < knots->n && !logarithmic; i++)
        scale = fmax(scale, knots->value[i]);
    for (int i = 0; i < knots->n; i++)
        level[i] = knots->value[i] / scale;
    for (int i = 0; i < TIMES; i++) {
        t[i] = (double)i / (TIMES - 1);
        sigma[i] = schedule_sigma(&f->schedule, t[i]);
    }
    snprintf(title, sizeof(title), "%s: %s", f->recipe.name, corruption_name(f->corruption));
    if (scale != 1)
        snprintf(title, sizeof(title), "%s: %s, part of %g", f->recipe.name,
                 corruption_name(f->corruption), scale);
    plot.log_y = logarithmic;
    rc = plot_write_svg(path, &plot, err);
    free(level);
    return rc;
}

static void print(const struct fitting *f)
{
    const struct recipe_schedule *s = &f->recipe.schedule;
    const struct schedule_fit_report *report = &f->report.schedule;
    const struct schedule_knots *knots = &f->schedule.level;

    if (f->report.images && s->fit.rule == SCHEDULE_RULE_PATH)
        printf("%d levels of %d by %d images: eps %.4g, length %.4g\n", s->fit.n_levels,
               s->fit.n_candidates, f->report.images, report->eps, report->length);
    if (report->unsettled > 0)
        printf("the worst coupling is off by %.2g of an image's share: more candidates than these "
               "images tell apart\n",
               report->unsettled);
    printf("       t       level       sigma\n");
    for (int i = 0; i < knots->n; i++)
        printf("%8.4f  %10.5g  %10.5g\n", knots->t[i], knots->value[i],
               schedule_sigma(&f->schedule, knots->t[i]));
}

static int run(const struct options *o, struct error *err)
{
    struct fitting f = {0};
    int rc, side;

    rc = output_try(o->paths[1], o->force, err);
    if (rc == 0 && o->plot)
        rc = whole_file_try(o->plot, err);
    if (rc == 0)
        rc = recipe_read(o->paths[0], &f.recipe, err);
    if (rc < 0)
        return rc;
    recipe_warn_of_useless(&f.recipe);
    side = f.recipe.architecture.image_size;
    rc = corruption_create(f.recipe.corruption, side, side, &f.corruption, err);
    if (rc == 0)
        rc = read_data(o, &f, err);
    if (rc == 0)
        rc =
            fit_schedule(&f.recipe, f.dataset, f.corruption, o->watch, &f.report, &f.schedule, err);
    if (rc == 0)
        rc = write_json(o->paths[1], &f, err);
    if (rc == 0 && o->plot)
        rc = write_plot(o->plot, &f, err);
    if (rc == 0)
        print(&f);
    fitting_fini(&f);
    return rc;
}

int fit_main(int argc, char **argv)
{
    struct activity activity;
    struct options o = {.watch = &activity.watch};
    const struct argument table[] = {
        {"data", 'd', ARGUMENT_TEXT, &o.data, 0, 0, "PATH",
         "pictures, as softdiff-train reads them"},
        {"plot", 0, ARGUMENT_TEXT, &o.plot, 0, 0, "FILE", "also draw it: an SVG file"},
        {"force", 'f', ARGUMENT_FLAG, &o.force, 0, 0, NULL, "replace OUT if it is there"},
        {"skip-bad", 0, ARGUMENT_FLAG, &o.skip_bad, 0, 0, NULL,
         "leave out pictures that cannot be read"},
    };
    const struct arguments arguments = {
        .program = "softdiff-schedule fit",
        .usage = "RECIPE OUT --data PATH [options]",
        .about =
            "Writes the schedule that a training with RECIPE would have: the levels of its "
            "corruption over\ntime, found on pictures (config/recipes/README.md, schedule), and "
            "its noise. OUT is a JSON\nfile; a recipe of the same corruption and size has its path "
            "as its \"schedule\".",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
        .n_operands_min = 2,
        .n_operands_max = 2,
    };
    struct error err;
    int code = arguments_parse(&arguments, argc, argv, o.paths);

    if (code >= 0)
        return code;
    if (!o.data)
        return arguments_refuse(program, "--data is needed");
    activity_begin(&activity, 0);
    return arguments_end(program, run(&o, &err), &err);
}
