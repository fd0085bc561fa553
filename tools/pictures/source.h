/* Where training pictures come from: a list of them that is read picture by picture.
 *
 *     folder    PNG and JPEG files anywhere below it (folder.h), in the order of their paths
 *     ZIP       the same in an archive (zip_file.h), in the order of their names
 *     CIFAR-10  the binary version: data_batch_1.bin .. 5 and test_batch.bin in a folder, or one of them
 *     MNIST     IDX files, also compressed: train-images-idx3-ubyte and its labels in a folder, and those
 *               of t10k; or one of images, with the labels beside it if they are called so
 * Which it is, is told by what is there. Pictures of folders and archives become what a viewer shows
 * (api/pictures/picture.h), as RGB.
 *
 * Labels are the classes of CIFAR-10 and MNIST; for folders and archives the folders that hold the pictures:
 * the first one below the path, or below what all names of the archive begin with, in the order of their
 * bytes.
 */
#ifndef TOOLS_PICTURES_SOURCE_H
#define TOOLS_PICTURES_SOURCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct pool;
struct watch;

enum { SOURCE_LABELS_MAX = 1000 };

/* What the pictures were that have been read. */
struct source_tally {
    atomic_int png, jpeg, raw; /* by the format of their files; raw: without one, as in CIFAR-10 */
    atomic_int resized;        /* were of another size than what was made of them */
};

struct dataset_options {
    int side;      /* px of what is made; 0: that of the first picture, CIFAR-10 and MNIST only */
    int crop;      /* resize_square() */
    bool labels;   /* classes are wanted: it is an error if there are none */
    bool skip_bad; /* leave unreadable files out, with a warning in the log, instead of failing */
    int width, height; /* what every picture must have, px; 0: any */
    bool test; /* the part of CIFAR-10 and MNIST that is for tests, instead of that for training */
    const struct watch *watch;  /* told of the pictures read; NULL: nobody waits */
    struct source_tally *tally; /* added to by whoever reads; NULL: nobody asks */
};

struct source;

struct source_ops {
    const char *kind; /* "folder", "zip", "cifar10", "mnist" */
    /* Picture i as [side,side,3]; from several threads at a time. The error's text names it. */
    int (*read)(const struct source *s, int i, const struct dataset_options *o, uint8_t *out,
                struct error *err);
    void (*close)(void *data);
};

struct source {
    const struct source_ops *ops;
    void *data; /* of ops */
    int n;
    int side;           /* px of its pictures, where all are squares of one size; 0: not known */
    char name[64];      /* last part of its path */
    int n_skipped;      /* what could not be looked at and was left out */
    int n_labels;       /* 0: none */
    char **label_names; /* [n_labels], owned */
    uint16_t *labels;   /* [n] of 1 .. n_labels, owned, or NULL */
};

/* Pictures of other formats are left out, with a line in the log that counts them. 0, -errno of the system,
 * -EINVAL (nothing that is known, no pictures, damaged, or without the labels that are wanted), -ENOMEM,
 * -ECANCELED. */
int source_open(const char *path, const struct dataset_options *options, struct source *out,
                struct error *err);
void source_close(struct source *s); /* also one that is all 0 */

/* Reads pictures first .. first + n - 1 on the pool's threads into out [n,side,side,3]. bad [n]: those that
 * were left out, only with skip_bad. *last: why the last was. 0, or the first error in their order. */
int source_read(const struct source *s, int first, int n, const struct dataset_options *options,
                struct pool *pool, uint8_t *out, bool *bad, struct error *last, struct error *err);

/* For the kinds of sources. A picture [h,w,3] made [side,side,3]; refuses a size that is not wanted. */
int source_fit(const uint8_t *rgb, int w, int h, const struct dataset_options *o, uint8_t *out,
               struct error *err);
/* The same of the bytes of a PNG or JPEG file. */
int source_decode(const uint8_t *bytes, size_t n, const struct dataset_options *o, uint8_t *out,
                  struct error *err);
/* Names of labels, copied; *out is the caller's. 0 or -ENOMEM. */
int source_name_labels(struct source *s, int n, const char *const *names, struct error *err);
/* Labels by the folder in names[i] after `skip` bytes, up to the next '/'. 0, -EINVAL (a picture in no
 * folder, too many folders), -ENOMEM. */
int source_label_folders(struct source *s, char *const *names, size_t skip, struct error *err);
/* What is no PNG or JPEG: counts by format. In one line of the log, or in the error that nothing is
 * left. */
struct folder;
int source_tell_others(const char *path, const struct folder *folder, struct error *err);

int source_open_folder(const char *path, const struct dataset_options *o, struct source *s,
                       struct error *err);
int source_open_zip(const char *path, const struct dataset_options *o, struct source *s,
                    struct error *err);
int source_open_cifar(const char *path, bool folder, const struct dataset_options *o,
                      struct source *s, struct error *err);
int source_open_idx(const char *path, bool folder, const struct dataset_options *o,
                    struct source *s, struct error *err);

#endif
