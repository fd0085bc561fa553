/* A packed data set: training pictures as they are trained on, in one file that opens at once and takes no
 * memory.
 *
 * Little-endian:
 *     head       "softdiff pixels\n", then side (uint32), channels = 3 (uint32), 40 bytes of 0
 *     pixels     [n,side,side,3] bytes, from byte 64 on
 *     sums       [n] uint64, FNV-1a of each picture
 *     labels     [n] uint16 of 1 .. n_labels, where there are labels
 *     document   JSON: {"format": 1, "name", "source", "crop", "skipped", "labels": [names]}
 *     end        n (uint64), digest (uint64, FNV-1a of all pixels), n_labels and length of the document
 *                (uint32), SHA-256 in hex of all that is not pixels, "end of pixels.\n\n"
 *
 * Pictures are read when they are wanted (pread(2)), never mapped: a file that somebody cuts or writes
 * over while it is used is an error then, not a signal that kills the process. The system keeps in
 * memory what it has room for. Every picture is held to its sum whenever it is read, and the sums to the SHA-256
 * when the file is opened, so that what is trained on is what was packed.
 */
#ifndef TOOLS_PICTURES_PACK_H
#define TOOLS_PICTURES_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct pack;
struct pack_writer;

/* What is known of a packed data set beside its pictures. */
struct pack_about {
    int n, side;
    int crop;        /* that the pictures were made with, resize_square() */
    int n_skipped;   /* pictures that could not be read then */
    uint64_t digest; /* of struct dataset */
    char name[64];   /* of what it was packed from, and of which kind that was */
    char source[16];
    int n_labels;       /* 0: none */
    char **label_names; /* [n_labels] */
    uint16_t *labels;   /* [n], NULL without */
};

/* Begins a file. As whole_file_create(). */
int pack_create(const char *path, int side, struct pack_writer **out, struct error *err);
/* Appends n pictures, and their labels where there are some: then always. 0, -errno, -ENOMEM. */
int pack_add(struct pack_writer *w, int n, const uint8_t *pixels, const uint16_t *labels,
             struct error *err);
/* Frees w and puts the file in place. Of about only crop, n_skipped, name, source, n_labels and
 * label_names are looked at. 0, -errno, -ENOMEM; then there is no file, or the old one. */
int pack_finish(struct pack_writer *w, const struct pack_about *about, struct error *err);
void pack_abandon(struct pack_writer *w); /* NULL is fine */

/* Whether a file says that it is one. */
bool pack_is(const char *path);

/* 0, -errno, -EINVAL (no such file, or not as it was written), -ENOMEM. */
int pack_open(const char *path, struct pack **out, struct error *err);
void pack_close(struct pack *p); /* NULL is fine */

const struct pack_about *pack_about(const struct pack *p); /* until it is closed */

/* Picture i: out [side,side,3]. 0, -errno or -EIO (it is not what was packed). Thread: any. */
int pack_read(const struct pack *p, int i, uint8_t *out, struct error *err);

bool pack_all_alike(const struct pack *p); /* also where there is one picture */

#endif
