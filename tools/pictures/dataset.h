/* Training pictures: read from wherever they come (source.h) into memory, or from a packed data set
 * (pack.h) when they are wanted. Both are the same bytes.
 */
#ifndef TOOLS_PICTURES_DATASET_H
#define TOOLS_PICTURES_DATASET_H

#include "tools/pictures/source.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct pack;
struct pool;

struct dataset {
    int n;           /* images, >= 1 */
    int side;        /* px */
    uint8_t *pixels; /* [n,side,side,3] RGB; NULL: they are in `pack` */
    uint64_t
        digest; /* FNV-1a of the pixels, then of the labels and their names where wanted: another data set has
                        another one */
    char name[64];      /* last part of the path that the pictures are from */
    int n_skipped;      /* what could not be read and was left out */
    int n_labels;       /* 0: not wanted */
    uint16_t *labels;   /* [n] of 1 .. n_labels */
    char **label_names; /* [n_labels] */
    struct pack *pack;  /* owned; NULL: all is in memory */
};

/* Reads on the pool's threads. A packed data set must be of this side and crop. 0, -errno of the system,
 * -EINVAL (no pictures, one that cannot be read, by name, or without the labels that are wanted),
 * -ENOMEM, -ECANCELED. */
int dataset_open(const char *path, const struct dataset_options *options, struct pool *pool,
                 struct dataset **out, struct error *err);
/* The same, with all pixels in memory whatever they are from, and of whichever crop they were packed with. */
int dataset_load(const char *path, const struct dataset_options *options, struct pool *pool,
                 struct dataset **out, struct error *err);
void dataset_close(struct dataset *d);

bool dataset_all_alike(const struct dataset *d); /* also where there is one */

/* Image i in [0, n) as numbers in [0,1], maybe mirrored: out [side,side,3]. 0, or what pack_read()
 * returns. Thread: any. */
int dataset_image(const struct dataset *d, int i, bool mirrored, float *out, struct error *err);

/* Reads one PNG or JPEG file into [side,side,3]. 0, -errno, -EINVAL, -ENOMEM; the text names the
 * file. */
int dataset_read_file(const char *path, const struct dataset_options *options, uint8_t *out,
                      struct error *err);

#endif
