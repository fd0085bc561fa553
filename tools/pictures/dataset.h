/* A folder of pictures as training images, all in memory.
 *
 * PNG and JPEG files anywhere below the folder (folder.h), in the order of their paths. Each becomes
 * what a viewer shows (api/pictures/picture.h), as RGB of side x side px (resize.h).
 */
#ifndef TOOLS_PICTURES_DATASET_H
#define TOOLS_PICTURES_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct pool;
struct watch;

struct dataset {
    int n;           /* images, >= 1 */
    int side;        /* px */
    uint8_t *pixels; /* [n,side,side,3] RGB */
    uint64_t digest; /* FNV-1a of the pixels: another folder has another one */
    char name[64];   /* last part of the folder's path */
    int n_skipped;   /* what could not be read and was left out */
};

struct dataset_options {
    int side;      /* px */
    int crop;      /* resize_square() */
    bool skip_bad; /* leave unreadable files out, with a warning in the log, instead of failing */
    const struct watch *watch; /* told of the pictures read; NULL: nobody waits */
};

/* Reads on the pool's threads. Pictures of other formats are left out, with a line in the log that
 * counts them. 0, -errno of the system, -EINVAL (no pictures, or one that cannot be read, by name),
 * -ENOMEM, -ECANCELED. */
int dataset_open(const char *path, const struct dataset_options *options, struct pool *pool,
                 struct dataset **out, struct error *err);
void dataset_close(struct dataset *d);

bool dataset_all_alike(const struct dataset *d); /* also where there is one */

/* Image i in [0, n) as numbers in [0,1], maybe mirrored: out [side,side,3]. */
void dataset_image(const struct dataset *d, int i, bool mirrored, float *out);

/* Reads one PNG or JPEG file into [side,side,3]. 0, -errno, -EINVAL, -ENOMEM; the text names the
 * file. */
int dataset_read_file(const char *path, const struct dataset_options *options, uint8_t *out,
                      struct error *err);

#endif
