/* What is kept of a set of pictures to compare it with others.
 *
 * In a file (safetensors): "mean" and "covariance" f64, "features" f32, "kernel" f64 [1]; the last
 * two are absent from small files. Metadata "softdiff_statistics" is a JSON document:
 * {"format": 2, "network": "squeezenet11", "side": 32, "n": 8000, "weights": "0123456789abcdef",
 * "published": false, "resize": "bytes", "png": 8000, "jpeg": 0, "raw": 0, "resized": 8000}; d is the
 * number of its features. Those of format 1 end with n, and are read, too.
 */
#ifndef TOOLS_EVAL_STATISTICS_H
#define TOOLS_EVAL_STATISTICS_H

#include "tools/eval/provenance.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct extractor;
struct feature_network;
struct pool;
struct watch;

enum { STATISTICS_DIGEST = 17 }; /* bytes, with a NUL */

struct statistics {
    const struct feature_network *network; /* of the d features */
    int n;                                 /* pictures, >= 2 */
    int side;                              /* px that they were brought to */
    double *mean;                          /* [d] */
    double *covariance;                    /* [d,d], over n - 1 */
    double *features;                      /* [n,d]; NULL: not kept */
    double kernel; /* distance_kernel_within() of the features; NAN without them */
    struct provenance provenance;
};

/* Of n pictures [n,side,side,3] RGB, side that of e, that are from no files.
 * 0, -EINVAL (n < 2), -ECANCELED (watch may be NULL), -ENOMEM or -EIO. */
int statistics_of_pixels(struct extractor *e, struct pool *pool, int n, const uint8_t *pixels,
                         const struct watch *watch, struct statistics **out, struct error *err);

/* Of all pictures below the folders; skip_bad: but those that cannot be read. As above, or what
 * dataset_open() returns. */
int statistics_of_folders(struct extractor *e, struct pool *pool, int n_folders,
                          const char *const *folders, bool skip_bad, const struct watch *watch,
                          struct statistics **out, struct error *err);

/* 16 digits of the SHA-256 of all that a distance to s depends on: of the numbers, whether the features are
 * there, and how they were made. 0 or -ENOMEM. */
int statistics_digest(const struct statistics *s, char out[STATISTICS_DIGEST], struct error *err);

void statistics_destroy(struct statistics *s);

size_t statistics_width(const struct statistics *s); /* d */

/* Whether they can be compared: 0, or -EINVAL naming what differs. */
int statistics_compare(const struct statistics *a, const struct statistics *b, struct error *err);

/* small: without the features. 0, -ENOMEM or -errno of the file. */
int statistics_write(const char *path, const struct statistics *s, bool small, struct error *err);
/* 0, -EINVAL (not such a file, numbers that are not finite), -ENOMEM or -errno of the file. */
int statistics_read(const char *path, struct statistics **out, struct error *err);

#endif
