#include "tools/convert/dataset.h"
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/base/pool.h"
#include "tools/activity.h"
#include "tools/arguments.h"
#include "tools/output.h"
#include "tools/pictures/pack.h"
#include "tools/pictures/source.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Pictures are read in blocks of so many bytes. */
enum { BLOCK_BYTES = 16 << 20, TELL_SECONDS = 10 };

/* The parts of CelebA: its list_eval_partition.txt goes by number. Of every picture the centred square of 140
 * px, from row 39 and column 19, is taken, as TensorFlow Datasets, and with it [1], do. */
enum { CELEBA_WIDTH = 178, CELEBA_HEIGHT = 218, CELEBA_CROP = 140, CELEBA_SIDE = 64 };
enum { CELEBA_PICTURES = 202599 };

static const struct part {
    const char *name;
    int first, end;
} celeba_parts[] = {
    {"all", 0, 0}, /* of whatever there is */
    {"train", 0, 162770},
    {"validation", 162770, 182637},
    {"test", 182637, CELEBA_PICTURES},
};

struct job {
    const char *from, *out, *celeba;
    bool force;
    struct dataset_options options;
    struct source source;
    int first, end; /* pictures of the source */
    int n, n_skipped;
    uint8_t *pixels;
    bool *bad;
    struct pool *pool;
    struct pack_writer *writer;
};

/* What part of CelebA is wanted, and that it is there. */
static int find_part(struct job *j, struct error *err)
{
    const struct part *part = celeba_parts;

    j->first = 0;
    j->end = j->source.n;
    if (!j->celeba)
        return 0;
    while (strcmp(part->name, j->celeba) != 0)
        part++; /* one is: choose_celeba() */
    if (part->end == 0)
        return 0;
    if (j->source.n + j->source.n_skipped != CELEBA_PICTURES || j->source.n_skipped > 0)
        return error_set(err, -EINVAL,
                         "\"%s\" has %d pictures, not the %d of img_align_celeba, whose parts go "
                         "by "
                         "number (--celeba all takes what there is)",
                         j->from, j->source.n, CELEBA_PICTURES);
    j->first = part->first;
    j->end = part->end;
    return 0;
}

/* The good pictures of a block, side by side, go into the file. */
static int add_block(struct job *j, int first, int n, struct error *err)
{
    size_t image_bytes = (size_t)j->options.side * (size_t)j->options.side * 3;
    const uint16_t *labels = j->source.labels ? j->source.labels + first : NULL;
    int rc = 0;

    for (int i = 0, end; i < n && rc == 0; i = end) {
        end = i + 1;
        if (j->bad[i]) {
            j->n_skipped++;
            continue;
        }
        while (end < n && !j->bad[end])
            end++;
        rc = pack_add(j->writer, end - i, j->pixels + (size_t)i * image_bytes,
                      labels ? labels + i : NULL, err);
        if (rc < 0)
            error_prefix(err, "\"%s\": ", j->out);
        j->n += end - i;
    }
    return rc;
}

static int read_pictures(struct job *j, struct error *err)
{
    size_t image_bytes = (size_t)j->options.side * (size_t)j->options.side * 3;
    int block = image_bytes < BLOCK_BYTES ? (int)(BLOCK_BYTES / image_bytes) : 1, rc = 0;
    struct error last = {""};

    j->pixels = malloc((size_t)block * image_bytes);
    j->bad = calloc((size_t)block, sizeof(*j->bad));
    if (!j->pixels || !j->bad)
        return error_set(err, -ENOMEM, "out of memory for %d pictures", block);
    for (int first = j->first; first < j->end && rc == 0; first += block) {
        int n = j->end - first < block ? j->end - first : block;

        rc = source_read(&j->source, first, n, &j->options, j->pool, j->pixels, j->bad, &last, err);
        if (rc == 0)
            rc = add_block(j, first, n, err);
    }
    if (rc == 0 && j->n == 0)
        rc = error_set(err, -EINVAL, "%s", last.text);
    return rc;
}

static int finish(struct job *j, struct error *err)
{
    struct pack_about about = {.crop = j->options.crop,
                               .n_skipped = j->n_skipped + j->source.n_skipped,
                               .n_labels = j->options.labels ? j->source.n_labels : 0,
                               .label_names = j->source.label_names};
    struct pack_writer *writer = j->writer;

    snprintf(about.name, sizeof(about.name), "%s", j->source.name);
    snprintf(about.source, sizeof(about.source), "%s", j->source.ops->kind);
    j->writer = NULL;
    return pack_finish(writer, &about, err);
}

static int pack(struct job *j, int n_threads, struct error *err)
{
    struct dataset_options *o = &j->options;
    double start = clock_seconds();
    int rc;

    rc = output_try(j->out, j->force, err);
    if (rc == 0)
        rc = source_open(j->from, o, &j->source, err);
    if (rc < 0)
        return rc;
    if (o->side == 0)
        o->side = j->source.side;
    if (o->side == 0)
        return error_set(err, -EINVAL,
                         "--side is needed: pictures of a %s have no size of their own",
                         j->source.ops->kind);
    o->labels = j->source.n_labels > 0;
    rc = find_part(j, err);
    if (rc == 0)
        rc = pool_create(n_threads ? n_threads : pool_available_threads(), &j->pool, err);
    if (rc == 0)
        rc = pack_create(j->out, o->side, &j->writer, err);
    if (rc == 0)
        rc = read_pictures(j, err);
    if (rc == 0)
        rc = finish(j, err);
    if (rc == 0)
        log_write(LOG_INFO,
                  "event=packed images=%d skipped=%d side=%d crop=%d labels=%d seconds=%.1f", j->n,
                  j->n_skipped + j->source.n_skipped, o->side, o->crop,
                  o->labels ? j->source.n_labels : 0, clock_seconds() - start);
    return rc;
}

/* What --celeba says of the others. 0, or -1 where there is no such part. */
static int choose_celeba(struct job *j)
{
    struct dataset_options *o = &j->options;
    bool known = false;

    if (!j->celeba)
        return 0;
    for (size_t i = 0; i < sizeof(celeba_parts) / sizeof(celeba_parts[0]); i++)
        known = known || strcmp(j->celeba, celeba_parts[i].name) == 0;
    o->crop = CELEBA_CROP;
    o->width = CELEBA_WIDTH;
    o->height = CELEBA_HEIGHT;
    o->side = o->side ? o->side : CELEBA_SIDE;
    return known ? 0 : -1;
}

int dataset_main(int argc, char **argv)
{
    struct activity activity;
    struct job j = {.options = {.watch = &activity.watch}};
    struct dataset_options *o = &j.options;
    int n_threads = 0, code, rc;
    const struct argument table[] = {
        {"side", 0, ARGUMENT_INT, &o->side, 4, 1024, "N",
         "px of the packed pictures; default: 32 of CIFAR-10, 28 of MNIST"},
        {"crop", 0, ARGUMENT_INT, &o->crop, 0, 16384, "N",
         "px of the square cut from the centre; 0: the shorter side"},
        {"labels", 0, ARGUMENT_FLAG, &o->labels, 0, 0, NULL,
         "the folders that hold the pictures are their labels"},
        {"test", 0, ARGUMENT_FLAG, &o->test, 0, 0, NULL,
         "the part of CIFAR-10 or MNIST that is for tests"},
        {"celeba", 0, ARGUMENT_TEXT, &j.celeba, 0, 0, "PART",
         "train, validation, test or all of img_align_celeba: --crop 140 --side 64"},
        {"skip-bad", 0, ARGUMENT_FLAG, &o->skip_bad, 0, 0, NULL,
         "leave out pictures that cannot be read, and list them"},
        {"force", 'f', ARGUMENT_FLAG, &j.force, 0, 0, NULL, "replace OUT if it is there"},
        ARGUMENTS_THREADS(&n_threads),
    };
    const struct arguments arguments = {
        .program = "softdiff-convert dataset",
        .usage = "FROM OUT [options]",
        .about =
            "Packs pictures into one file that softdiff-train --data opens at once and reads as it "
            "goes:\nPNG and JPEG in a folder or ZIP archive, CIFAR-10 (binary version) or MNIST "
            "(IDX files, also .gz),\nin a folder or one file. It trains to the same bytes as what "
            "it is packed from.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
        .n_operands_min = 2,
        .n_operands_max = 2,
    };
    const char *operands[2];
    struct error err;

    code = arguments_parse(&arguments, argc, argv, operands);
    if (code >= 0)
        return code;
    if (j.celeba && o->crop != 0)
        return arguments_refuse(arguments.program, "--celeba has a crop of its own");
    if (choose_celeba(&j) < 0)
        return arguments_refuse(arguments.program, "--celeba is train, validation, test or all");
    j.from = operands[0];
    j.out = operands[1];
    activity_begin(&activity, TELL_SECONDS);
    rc = pack(&j, n_threads, &err);
    pack_abandon(j.writer);
    pool_destroy(j.pool);
    source_close(&j.source);
    free(j.pixels);
    free(j.bad);
    return arguments_end(arguments.program, rc, &err);
}
