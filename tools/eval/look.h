/* A set of pictures as softdiff-eval choose sees it, and the file that keeps that of real ones.
 *
 * In the file (safetensors): "features" f32 [n,d], "second" f64 [n,w], "luma" and "chroma" f64 [bands], and
 * "mean" and "deviation" f64 [GIST_FEATURES] where the second features are of gist.h. Metadata
 * "softdiff_look" is a JSON document: {"format": 1, "network": "squeezenet11", "second": "gist",
 * "side": 32, "n": 1000, "kernel": .., "second_kernel": .., "clipped": ..}.
 */
#ifndef TOOLS_EVAL_LOOK_H
#define TOOLS_EVAL_LOOK_H

#include "tools/eval/appearance.h"
#include "tools/eval/gist.h"

struct error;
struct statistics;

struct look {
    int n;
    struct statistics
        *statistics;      /* owned; of a look that was read: features, kernel, n, side, network */
    double *second;       /* [n,second_width] features of the second kind; owned */
    double second_within; /* distance_kernel_within() of them */
    struct appearance appearance;
    double mean[GIST_FEATURES],
        deviation[GIST_FEATURES]; /* of the gist of real ones, else unused */
};

void look_fini(struct look *look);

/* second: the name of the second features, of which a picture has second_width. The file appears whole or
 * not at all. 0, -ENOMEM or -errno of the file. */
int look_write(const char *path, const struct look *look, const char *second, int second_width,
               struct error *err);

/* Gives the same numbers back. 0, -EINVAL (not such a file; of other second features, or of pictures of
 * another side), -ENOMEM or -errno of the file; the text names it. */
int look_read(const char *path, const char *second, int second_width, int side, struct look *out,
              struct error *err);

#endif
