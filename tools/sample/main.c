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

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Lanes: enough that threads do not wait for each other at the end of a tick. */
enum { LANES = 16 };

struct options {
    const char *model, *sampler, *out, *grid, *device, *choices, *precision;
    uint64_t seed;
    int n, nfe, columns, n_threads;
};

/* Whether images can be written, before they are made. */
static int try_output(const struct options *o, struct error *err)
{
    char *path;
    int rc;

    if (o->grid)
        return whole_file_try(o->grid, err);
    if (mkdir(o->out, 0777) < 0 && errno != EEXIST) {
        rc = -errno;
        return error_set(err, rc, "could not create folder \"%s\": %s", o->out, strerror(-rc));
    }
    if (asprintf(&path, "%s/%llu.png", o->out, (unsigned long long)o->seed) < 0)
        return error_set(err, -ENOMEM, "out of memory for a path");
    rc = whole_file_try(path, err);
    free(path);
    return rc;
}

/* A file per image, named by its seed. */
static int write_files(const struct options *o, int side, int channels, const uint8_t *pixels,
                       struct error *err)
{
    size_t image_bytes = (size_t)side * (size_t)side * (size_t)channels;
    int rc = 0;

    for (int i = 0; i < o->n && rc == 0; i++) {
        char *path;

        if (asprintf(&path, "%s/%llu.png", o->out, (unsigned long long)(o->seed + (uint64_t)i)) < 0)
            return error_set(err, -ENOMEM, "out of memory for a path");
        rc = sheet_write(path, 1, side, channels, pixels + (size_t)i * image_bytes, 1, err);
        free(path);
    }
    return rc;
}

/* sampler: NULL, the model's. */
static int sample(const struct options *o, const enum sampler *sampler, enum precision precision,
                  struct error *err)
{
    struct generator_options options = {.precision = precision,
                                        .lanes = o->n < LANES ? o->n : LANES};
    struct sampling_choice choice;
    struct device *device = NULL;
    struct checkpoint *checkpoint = NULL;
    struct generator *g = NULL;
    uint8_t *pixels = NULL;
    struct activity activity;
    double seconds;
    int rc, side, channels;

    rc = try_output(o, err);
    if (rc == 0)
        rc = checkpoint_load(o->model, &checkpoint, err);
    if (rc == 0)
        rc = sampling_choose(&checkpoint->formulation.sampling, sampler, o->nfe, SAMPLER_NFE_MAX,
                             &choice, err);
    if (rc == 0)
        rc = device_open(o->device, o->n_threads, o->choices, &device, err);
    if (rc < 0)
        goto out;
    options.nfe_max = choice.nfe;
    rc = generator_create(device, checkpoint, &options, &g, err);
    if (rc < 0)
        goto out;
    side = generator_side(g);
    channels = generator_channels(g);
    pixels = malloc((size_t)o->n * (size_t)side * (size_t)side * (size_t)channels);
    if (!pixels) {
        rc = error_set(err, -ENOMEM, "out of memory for %d images", o->n);
        goto out;
    }
    activity_begin(&activity, 0);
    seconds = clock_seconds();
    rc =
        generate_images(g, o->n, o->seed, choice.sampler, choice.nfe, &activity.watch, pixels, err);
    if (rc < 0)
        goto out;
    seconds = clock_seconds() - seconds;
    rc = o->grid ? sheet_write(o->grid, o->n, side, channels, pixels, o->columns, err)
                 : write_files(o, side, channels, pixels, err);
    if (rc == 0)
        printf("%d images of %dx%d, %s at %d evaluations, %s: %.2f s, %.2f images/s\n", o->n, side,
               side, sampler_name(choice.sampler), choice.nfe,
               precision_name(generator_precision(g)), seconds, o->n / seconds);

out:
    free(pixels);
    generator_destroy(g);
    device_close(device);
    checkpoint_destroy(checkpoint);
    return rc;
}

int main(int argc, char **argv)
{
    struct options o = {.device = "auto",
                        .choices = arguments_choices(),
                        .precision = "auto",
                        .n = 1,
                        .columns = 8};
    const struct argument table[] = {
        {"out", 'o', ARGUMENT_TEXT, &o.out, 0, 0, "FOLDER", "a PNG per image, named by its seed"},
        {"grid", 'g', ARGUMENT_TEXT, &o.grid, 0, 0, "FILE", "one PNG with all of them"},
        {"columns", 0, ARGUMENT_INT, &o.columns, 1, 1000, "N", "of the grid; default 8"},
        {"number", 'n', ARGUMENT_INT, &o.n, 1, 1000000, "N", "how many; default 1"},
        {"seed", 's', ARGUMENT_U64, &o.seed, 0, 0, "S", "of the first image, then S + 1, ..."},
        {"sampler", 0, ARGUMENT_TEXT, &o.sampler, 0, 0, "NAME",
         "sde-2m, pf-2m, momentum, probability-flow, pf-heun, ancestral, ...; default: the "
         "model's"},
        {"nfe", 0, ARGUMENT_INT, &o.nfe, 1, SAMPLER_NFE_MAX, "N",
         "network evaluations per image; default: the model's"},
        ARGUMENTS_THREADS(&o.n_threads),
        ARGUMENTS_DEVICE(&o.device),
        ARGUMENTS_CHOICES(&o.choices),
        ARGUMENTS_PRECISION(&o.precision),
    };
    const struct arguments arguments = {
        .program = "softdiff-sample",
        .usage = "MODEL (--out FOLDER | --grid FILE) [options]",
        .about = "Generates images. The same seed, sampler and number of evaluations give the "
                 "same image,\nhowever many are made beside it.",
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
    if (rc == 0 && !o.out == !o.grid)
        rc = error_set(&err, -EINVAL, "one of --out and --grid is needed");
    if (rc < 0)
        return arguments_refuse(arguments.program, err.text);
    rc = sample(&o, o.sampler ? &sampler : NULL, precision, &err);
    if (rc < 0) {
        fprintf(stderr, "softdiff-sample: %s\n", err.text);
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}
