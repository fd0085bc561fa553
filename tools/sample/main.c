/* softdiff-sample: images from a checkpoint, as PNG files. */
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/whole_file.h"
#include "engine/device.h"
#include "model/checkpoint.h"
#include "model/generator.h"
#include "tools/activity.h"
#include "tools/arguments.h"
#include "tools/generate.h"
#include "tools/pictures/sheet.h"
#include "tools/sample/forward.h"
#include "tools/sample/labels.h"
#include "tools/stop.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FORWARD_TIMES = 8, LANES_MAX = 4096 };

struct options {
    const char *model, *sampler, *out, *grid, *forward, *device, *choices, *precision, *label;
    double guidance; /* NAN: not given */
    uint64_t seed;
    int n, nfe, columns, n_threads, lanes;
    bool predict;
};

/* Of image i; the caller's, NULL without memory. */
static char *image_path(const struct options *o, int i)
{
    char *path;

    return asprintf(&path, "%s/%" PRIu64 ".png", o->out, o->seed + (uint64_t)i) < 0 ? NULL : path;
}

/* made: whether it was not there before. */
static int make_folder(const char *path, bool *made, struct error *err)
{
    *made = mkdir(path, 0777) == 0;
    if (*made || errno == EEXIST)
        return 0;
    return error_set(err, -errno, "could not create folder \"%s\": %s", path, strerror(errno));
}

/* Whether images can be written, before they are made. Leaves everything as it was. */
static int try_output(const struct options *o, struct error *err)
{
    char *path;
    bool made;
    int rc;

    if (o->grid)
        return whole_file_try(o->grid, err);
    rc = make_folder(o->out, &made, err);
    if (rc < 0)
        return rc;
    path = image_path(o, 0);
    rc = path ? whole_file_try(path, err) : error_set(err, -ENOMEM, "out of memory for a path");
    free(path);
    if (made)
        rmdir(o->out);
    return rc;
}

/* Images on their way into files. */
struct files {
    const struct options *o;
    int side, channels;
    int n_written;
};

/* What of the images is done, after what was the reason. */
static void tell_what_is_kept(const struct options *o, int n, struct error *err)
{
    unsigned long long first = o->seed, last = o->seed + (uint64_t)n - 1;
    struct error reason = *err;

    if (n > 0 && o->grid)
        error_set(err, -ECANCELED, "%s; \"%s\" has those of seeds %llu to %llu", reason.text,
                  o->grid, first, last);
    else if (n > 0)
        error_set(err, -ECANCELED, "%s; \"%s\" has %llu.png to %llu.png", reason.text, o->out,
                  first, last);
}

/* A large evaluation need not be seen through: what was drawn has been written. */
static void may_end_with(const struct options *o, int n)
{
    char text[STOP_TEXT_BYTES];
    struct error err;

    error_set(&err, -ECANCELED, "stopped with %d of %d images done", n, o->n);
    tell_what_is_kept(o, n, &err);
    snprintf(text, sizeof(text), "softdiff-sample: %s", err.text);
    stop_may_end(EXIT_FAILED, text);
}

/* A file per image, named by its seed, as soon as it is done: what is done stays, however this ends. */
static int write_file(void *arg, int i, const uint8_t *pixels, struct error *err)
{
    struct files *out = arg;
    const struct options *o = out->o;
    char *path = image_path(o, i);
    bool made;
    int rc;

    if (!path)
        return error_set(err, -ENOMEM, "out of memory for a path");
    stop_must_not_end();
    rc = make_folder(o->out, &made, err);
    if (rc == 0)
        rc = sheet_write(path, 1, out->side, out->channels, pixels, 1, err);
    if (rc < 0 && made)
        rmdir(o->out);
    free(path);
    out->n_written += rc == 0;
    may_end_with(o, out->n_written);
    return rc;
}

static int draw_files(const struct options *o, struct generator *g,
                      const struct generate_task *task, const struct watch *watch,
                      struct error *err)
{
    struct files out = {.o = o, .side = generator_side(g), .channels = generator_channels(g)};
    int rc;

    may_end_with(o, 0);
    rc = generate_each(g, task, watch, write_file, &out, err);
    stop_must_not_end();
    if (rc < 0)
        tell_what_is_kept(o, out.n_written, err);
    return rc;
}

static int draw_grid(const struct options *o, struct generator *g, const struct generate_task *task,
                     const struct watch *watch, struct error *err)
{
    int side = generator_side(g), channels = generator_channels(g), n, rc, written;
    uint8_t *pixels = malloc((size_t)o->n * (size_t)side * (size_t)side * (size_t)channels);
    struct error write_error;

    if (!pixels)
        return error_set(err, -ENOMEM, "out of memory for %d images", o->n);
    rc = generate_images(g, task, watch, pixels, &n, err);
    if (n > 0) {
        written = sheet_write(o->grid, n, side, channels, pixels, o->columns, &write_error);
        if (rc == 0 && written < 0)
            rc = error_set(err, written, "%s", write_error.text);
        else if (rc < 0 && written == 0)
            tell_what_is_kept(o, n, err);
    }
    free(pixels);
    return rc;
}

/* What was drawn, and how fast where that means something. */
static void print_summary(const struct options *o, struct device *device, struct generator *g,
                          const struct sampling_choice *choice, double seconds)
{
    printf("%d images of %dx%d, %s at %d evaluations, %s: ", o->n, generator_side(g),
           generator_side(g), sampler_name(choice->sampler), choice->nfe,
           precision_name(generator_precision(g)));
    if (device_base(device)->ops->simulated)
        puts("on a simulated GPU");
    else
        printf("%.2f s, %.2f images/s\n", seconds, o->n / seconds);
}

/* sampler: NULL, the model's. */
static int sample(const struct options *o, const enum sampler *sampler, enum precision precision,
                  struct error *err)
{
    struct generator_options options = {.precision = precision,
                                        .lanes = o->n < o->lanes ? o->n : o->lanes};
    bool guided = !isnan(o->guidance);
    struct generate_task task = {.n = o->n,
                                 .first_seed = o->seed,
                                 .guided = guided,
                                 .guidance = (float)o->guidance};
    int *labels = NULL, evaluations = guided ? 2 : 1; /* of a row of the sampler's */
    struct sampling_choice choice;
    struct device *device = NULL;
    struct checkpoint *checkpoint = NULL;
    struct generator *g = NULL;
    struct activity activity;
    double seconds;
    int rc;

    activity_begin(&activity, 0);
    rc = try_output(o, err);
    may_end_with(o, 0);
    if (rc == 0)
        rc = checkpoint_load(o->model, &checkpoint, err);
    if (rc == 0)
        rc = sampling_choose(&checkpoint->formulation.sampling, sampler, o->nfe,
                             SAMPLER_NFE_MAX / evaluations, &choice, err);
    if (rc == 0 && o->label)
        rc = labels_choose(checkpoint, o->label, o->n, &labels, err);
    if (rc == 0)
        rc = device_open(o->device, o->n_threads, o->choices, &device, err);
    if (rc < 0)
        goto out;
    options.nfe_max = evaluations * choice.nfe;
    rc = generator_create(device, checkpoint, &options, &g, err);
    stop_must_not_end();
    if (rc < 0)
        goto out;
    task.sampler = choice.sampler;
    task.nfe = choice.nfe;
    task.labels = labels;
    seconds = clock_seconds();
    rc = o->grid ? draw_grid(o, g, &task, &activity.watch, err)
                 : draw_files(o, g, &task, &activity.watch, err);
    seconds = clock_seconds() - seconds;
    if (rc == 0)
        print_summary(o, device, g, &choice, seconds);

out:
    free(labels);
    generator_destroy(g);
    device_close(device);
    checkpoint_destroy(checkpoint);
    return rc;
}

/* The picture of --forward, written instead of images. */
static int go_forward(const struct options *o, enum precision precision, struct error *err)
{
    struct forward_options options = {.picture = o->forward,
                                      .n = o->n,
                                      .seed = o->seed,
                                      .out = o->grid,
                                      .columns = o->columns,
                                      .precision = precision};
    struct checkpoint *checkpoint = NULL;
    int rc = whole_file_try(o->grid, err);

    if (rc == 0)
        rc = checkpoint_load(o->model, &checkpoint, err);
    if (rc == 0 && o->predict)
        rc = device_open(o->device, o->n_threads, o->choices, &options.device, err);
    if (rc == 0)
        rc = forward_write(checkpoint, &options, err);
    device_close(options.device);
    checkpoint_destroy(checkpoint);
    return rc;
}

int main(int argc, char **argv)
{
    struct options o = {.device = "auto",
                        .choices = arguments_choices(),
                        .precision = "auto",
                        .guidance = NAN,
                        .lanes = 16,
                        .columns = 8};
    const struct argument table[] = {
        {"out", 'o', ARGUMENT_TEXT, &o.out, 0, 0, "FOLDER", "a PNG per image, named by its seed"},
        {"grid", 'g', ARGUMENT_TEXT, &o.grid, 0, 0, "FILE", "one PNG with all of them"},
        {"columns", 0, ARGUMENT_INT, &o.columns, 1, 1000, "N", "of the grid; default 8"},
        {"number", 'n', ARGUMENT_INT, &o.n, 1, 1000000, "N", "how many; default 1, forward 8"},
        {"forward", 0, ARGUMENT_TEXT, &o.forward, 0, 0, "PICTURE",
         "draw nothing: what becomes of a PNG or JPEG at N times from 0 to 1, as --grid"},
        {"predict", 0, ARGUMENT_FLAG, &o.predict, 0, 0, NULL,
         "with --forward: below it the clean picture that the network expects at every time"},
        {"seed", 's', ARGUMENT_U64, &o.seed, 0, 0, "S", "of the first image, then S + 1, ..."},
        {"sampler", 0, ARGUMENT_TEXT, &o.sampler, 0, 0, "NAME",
         "sde-2m, pf-2m, momentum, probability-flow, pf-sigma (with vp: DDIM), ancestral (with vp: "
         "DDPM), ...; default: the model's"},
        {"nfe", 0, ARGUMENT_INT, &o.nfe, 1, SAMPLER_NFE_MAX, "N",
         "network evaluations per image; default: the model's"},
        {"label", 0, ARGUMENT_TEXT, &o.label, 0, 0, "NAME",
         "of a model with labels: one by its name or number, or all, one after the other"},
        {"guidance", 0, ARGUMENT_NUMBER, &o.guidance, -100, 100, "W",
         "how much more the label counts than without; 1: as trained. Twice the evaluations"},
        {"lanes", 0, ARGUMENT_INT, &o.lanes, 1, LANES_MAX, "N",
         "images that are drawn at a time; default 16, more for a large GPU"},
        ARGUMENTS_THREADS(&o.n_threads),
        ARGUMENTS_DEVICE(&o.device),
        ARGUMENTS_CHOICES(&o.choices),
        ARGUMENTS_PRECISION(&o.precision),
    };
    const struct arguments arguments = {
        .program = "softdiff-sample",
        .usage = "MODEL (--out FOLDER | --grid FILE) [options]",
        .about = "Generates images. The same seed, sampler and number of evaluations give the "
                 "same image,\nhowever many are made beside it. Stopped by a signal, what is done "
                 "is kept.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
        .n_operands_min = 1,
        .n_operands_max = 1,
    };
    enum sampler sampler = SAMPLER_SDE_2M;
    enum precision precision = PRECISION_AUTO;
    struct error err;
    int code = arguments_parse(&arguments, argc, argv, &o.model), rc;

    if (code >= 0)
        return code;
    rc = o.sampler ? sampler_parse(o.sampler, &sampler, &err) : 0;
    if (rc == 0)
        rc = precision_parse(o.precision, &precision, &err);
    if (o.n == 0)
        o.n = o.forward ? FORWARD_TIMES : 1;
    if (rc == 0 && o.forward && (!o.grid || o.n < 2))
        rc = error_set(&err, -EINVAL, "--forward needs --grid, and 2 times or more");
    if (rc == 0 && !isnan(o.guidance) && !o.label)
        rc = error_set(&err, -EINVAL, "--guidance needs --label");
    if (rc == 0 && o.forward && o.label)
        rc = error_set(&err, -EINVAL, "--forward draws nothing that could have a label");
    if (rc == 0 && o.predict && !o.forward)
        rc = error_set(&err, -EINVAL, "--predict needs --forward");
    if (rc == 0 && !o.out == !o.grid)
        rc = error_set(&err, -EINVAL, "one of --out and --grid is needed");
    if (rc < 0)
        return arguments_refuse(arguments.program, err.text);
    rc = o.forward ? go_forward(&o, precision, &err)
                   : sample(&o, o.sampler ? &sampler : NULL, precision, &err);
    return arguments_end(arguments.program, rc, &err);
}
