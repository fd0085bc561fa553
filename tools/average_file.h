/* Averages of a training's weights as they were after a step, "average-<step>.safetensors" in its run: what
 * model/fit/average_fit.h makes others from.
 *
 * Metadata "softdiff_average": {"format": 1, "step", "images", "lengths", "start_digest"}, the last
 * being the SHA-256 of the checkpoint that the training began with, which has the network and everything else. Tensors
 * "average.0", ...: one flat float32 array per length, in the order of the network's parameters.
 */
#ifndef TOOLS_AVERAGE_FILE_H
#define TOOLS_AVERAGE_FILE_H

#include "model/update.h"

#include <stddef.h>
#include <stdint.h>

struct average_file;
struct error;

struct average_mark {
    uint64_t step, images; /* done */
    int n;
    double lengths[UPDATE_AVERAGES_MAX];
    char start_digest[65];
};

/* "FOLDER/average-001000.safetensors", owned by the caller; NULL without memory. */
char *average_file_path(const char *folder, uint64_t step);

/* The steps of the files in a folder, rising, malloc()'ed; how many, or -errno, -ENOMEM. */
int average_file_list(const char *folder, uint64_t **steps, struct error *err);

/* Whole or not at all. values: mark->n arrays of count. 0, -ENOMEM or -errno. */
int average_file_write(const char *path, const struct average_mark *mark, size_t count,
                       float *const *values, struct error *err);

/* 0, -errno, -EINVAL (not such a file, or not of `count` weights), -ENOMEM. */
int average_file_open(const char *path, size_t count, struct average_file **out, struct error *err);
void average_file_close(struct average_file *f);
const struct average_mark *average_file_mark(const struct average_file *f);

/* sum[i] += factor * the average's number i. scratch: [count]. 0, or -EINVAL: a number is not finite. */
int average_file_add(const struct average_file *f, int average, double factor, double *sum,
                     float *scratch, struct error *err);

#endif
