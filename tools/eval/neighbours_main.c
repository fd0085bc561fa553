#include "tools/eval/neighbours_main.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/whole_file.h"
#include "tools/activity.h"
#include "tools/arguments.h"
#include "tools/eval/extractor.h"
#include "tools/eval/feature_network.h"
#include "tools/eval/neighbours.h"
#include "tools/eval/sets.h"
#include "tools/pictures/dataset.h"
#include "tools/pictures/sheet.h"
#include "tools/stop.h"

enum { NEAREST_MAX = 32, ROWS_MAX = 1000, SIDE_MAX = 1024 };

static const char program[] = "softdiff-eval neighbours";
/* A sample this much nearer to a real picture than real ones are to one another is likely a copy. */
static const double copy_part = 1.0 / 3;

struct options {
    struct sets_options sets;
    const char *samples, *real, *grid;
    int rows, nearest;
    const struct watch *watch;
};

/* Pictures with their features. */
struct album {
    struct dataset *pictures;
    double *features; /* [n,d] */
};

static void album_fini(struct album *a)
{
    dataset_close(a->pictures);
    free(a->features);
}

static int album_read(struct album *a, const char *folder, const struct options *o,
                      struct sets *sets, struct extractor *e, struct error *err)
{
    const struct dataset_options options = {.side = extractor_side(e),
                                            .skip_bad = o->sets.skip_bad,
                                            .watch = o->watch};
    size_t count;
    float *features;
    int rc = dataset_open(folder, &options, sets_pool(sets), &a->pictures, err);

    if (rc < 0)
        return rc;
    count = (size_t)a->pictures->n * (size_t)extractor_network(e)->n_features;
    features = malloc(count * sizeof(*features));
    a->features = malloc(count * sizeof(*a->features));
    rc = features && a->features
             ? extractor_compute(e, a->pictures->n, a->pictures->pixels, o->watch, features, err)
             : error_set(err, -ENOMEM, "out of memory for the features of \"%s\"", folder);
    for (size_t i = 0; i < count && rc == 0; i++)
        a->features[i] = (double)features[i];
    free(features);
    return rc;
}

/* A row per sample: itself, then those that are like it. */
static int draw(const struct options *o, const struct album *samples, const struct album *real,
                const struct neighbour *found, struct error *err)
{
    int side = samples->pictures->side, columns = o->nearest + 1;
    int rows = o->rows < samples->pictures->n ? o->rows : samples->pictures->n;
    size_t size = (size_t)side * (size_t)side * 3;
    uint8_t *pixels = malloc((size_t)rows * (size_t)columns * size), *to = pixels;
    int rc;

    if (!pixels)
        return error_set(err, -ENOMEM, "out of memory for %d rows of pictures", rows);
    for (int i = 0; i < rows; i++) {
        memcpy(to, samples->pictures->pixels + (size_t)i * size, size);
        to += size;
        for (int k = 0; k < o->nearest; k++, to += size)
            memcpy(to, real->pictures->pixels + (size_t)found[i * o->nearest + k].index * size,
                   size);
    }
    rc = sheet_write(o->grid, rows * columns, side, 3, pixels, columns, err);
    free(pixels);
    return rc;
}

/* What is usual among real pictures says what is near. */
static int tell(const struct options *o, const struct sets *sets, int d,
                const struct album *samples, const struct album *real,
                const struct neighbour *found, struct error *err)
{
    int n = samples->pictures->n, m = real->pictures->n, copies = 0, rc;
    struct neighbour *own = malloc((size_t)m * sizeof(*own));
    double drawn = 0, usual = 0;

    if (!own)
        return error_set(err, -ENOMEM, "out of memory looking for neighbours");
    rc = neighbours_find(sets_pool(sets), o->watch, real->features, m, real->features, m, d, true,
                         1, own, err);
    if (rc == 0)
        rc = neighbours_median(own, m, 1, &usual, err);
    if (rc == 0)
        rc = neighbours_median(found, n, o->nearest, &drawn, err);
    free(own);
    if (rc < 0)
        return rc;
    for (int i = 0; i < n; i++)
        copies += found[(size_t)i * (size_t)o->nearest].distance < copy_part * usual;
    printf("%d pictures of %s beside %d of %s\n", n, o->samples, m, o->real);
    printf("nearest real picture  %.5g (median); from one real picture to the next %.5g\n", drawn,
           usual);
    printf("likely copies         %d: nearer than a third of the latter\n", copies);
    return 0;
}

static int run(struct options *o, struct error *err)
{
    struct album samples = {0}, real = {0};
    struct neighbour *found = NULL;
    struct sets *sets = NULL;
    struct extractor *e = NULL;
    int rc = whole_file_try(o->grid, err), d = 0;

    if (rc == 0)
        rc = sets_open(&o->sets, &sets, err);
    if (rc == 0)
        rc = sets_extractor(sets, &e, err);
    if (rc == 0)
        rc = album_read(&samples, o->samples, o, sets, e, err);
    if (rc == 0)
        rc = album_read(&real, o->real, o, sets, e, err);
    if (rc < 0)
        goto out;
    d = extractor_network(e)->n_features;
    found = malloc((size_t)samples.pictures->n * (size_t)o->nearest * sizeof(*found));
    rc = found ? neighbours_find(sets_pool(sets), o->watch, samples.features, samples.pictures->n,
                                 real.features, real.pictures->n, d, false, o->nearest, found, err)
               : error_set(err, -ENOMEM, "out of memory looking for neighbours");
    if (rc == 0)
        rc = tell(o, sets, d, &samples, &real, found, err);
    stop_must_not_end();
    if (rc == 0)
        rc = draw(o, &samples, &real, found, err);

out:
    free(found);
    album_fini(&samples);
    album_fini(&real);
    sets_close(sets);
    return rc;
}

int neighbours_main(int argc, char **argv)
{
    struct activity activity;
    struct options o = {.sets = {.device = "auto",
                                 .choices = arguments_choices(),
                                 .side = SETS_SIDE,
                                 .watch = &activity.watch},
                        .rows = 8,
                        .nearest = 5,
                        .watch = &activity.watch};
    const struct argument table[] = {
        {"grid", 'g', ARGUMENT_TEXT, &o.grid, 0, 0, "FILE",
         "gets a row per sample: itself, then those that are most like it"},
        {"rows", 0, ARGUMENT_INT, &o.rows, 1, ROWS_MAX, "N", "of the grid; default 8"},
        {"nearest", 'k', ARGUMENT_INT, &o.nearest, 1, NEAREST_MAX, "K", "in a row; default 5"},
        {"side", 0, ARGUMENT_INT, &o.sets.side, 1, SIDE_MAX, "PX",
         "that pictures are brought to; default 32"},
        {"skip-bad", 0, ARGUMENT_FLAG, &o.sets.skip_bad, 0, 0, NULL,
         "leave out pictures that cannot be read"},
        ARGUMENTS_THREADS(&o.sets.n_threads),
        ARGUMENTS_DEVICE(&o.sets.device),
        ARGUMENTS_CHOICES(&o.sets.choices),
        {"features", 0, ARGUMENT_TEXT, &o.sets.features, 0, 0, "NAME", FEATURE_NETWORK_HELP},
        {"network", 0, ARGUMENT_TEXT, &o.sets.network, 0, 0, "FILE",
         "of their weights; default: those of the zoo, which has none of inception"},
        {"resize", 0, ARGUMENT_TEXT, &o.sets.resize, 0, 0, "HOW", FEATURE_RESIZE_HELP},
    };
    const struct arguments arguments = {
        .program = program,
        .usage = "SAMPLES REAL --grid FILE [options]",
        .about = "Finds the real pictures that are most like each sample, by their features, and "
                 "tells whether\nsamples are nearer to them than real pictures are to one another: "
                 "whether a model remembers.\nBoth are folders or archives, or the files of "
                 "CIFAR-10 or MNIST.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
        .n_operands_min = 2,
        .n_operands_max = 2,
    };
    const char *folders[2];
    struct error err;
    int code = arguments_parse(&arguments, argc, argv, folders);

    if (code >= 0)
        return code;
    if (!o.grid)
        return arguments_refuse(program, "--grid is needed");
    if (sets_check_names(&o.sets, &err) < 0)
        return arguments_refuse(program, err.text);
    o.samples = folders[0];
    o.real = folders[1];
    activity_begin(&activity, 0);
    stop_may_end(EXIT_FAILED, "softdiff-eval: stopped before the grid was written");
    if (run(&o, &err) < 0) {
        fprintf(stderr, "%s: %s\n", program, err.text);
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}
