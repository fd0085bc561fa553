/* A folder of pictures as training images, all in memory.
 *
 * PNG and JPEG files (by their suffix, in any case) anywhere below the folder, in the order of
 * their paths; other files are passed over. Each becomes RGB of side x side px (resize.h).
 */
#ifndef TOOLS_PICTURES_DATASET_H
#define TOOLS_PICTURES_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct pool;

struct dataset {
    int n;           /* images, >= 1 */
    int side;        /* px */
    uint8_t *pixels; /* [n,side,side,3] RGB */
    uint64_t digest; /* FNV-1a of the pixels: another folder has another one */
    char name[64];   /* last part of the folder's path */
    int n_skipped;   /* unreadable files that were left out */
};

struct dataset_options {
    int side;      /* px */
    int crop;      /* resize_square() */
    bool skip_bad; /* leave unreadable files out, with a warning in the log, instead of failing */
};

/* Reads on the pool's threads. 0, -errno of the system, -EINVAL (no pictures, or one that cannot
 * be read, by name), -ENOMEM. */
int dataset_open(const char *folder, const struct dataset_options *options, struct pool *pool,
                 struct dataset **out, struct error *err);
void dataset_close(struct dataset *d);

/* Image i in [0, n) as numbers in [0,1], maybe mirrored: out [side,side,3]. */
void dataset_image(const struct dataset *d, int i, bool mirrored, float *out);

/* Reads one PNG or JPEG file into [side,side,3]. 0, -errno, -EINVAL, -ENOMEM; the text names the
 * file. */
int dataset_read_file(const char *path, const struct dataset_options *options, uint8_t *out,
                      struct error *err);

#endif
