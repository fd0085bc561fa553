/* The networks whose features pictures are compared by. Their files are NAME.safetensors of model/zoo, but
 * for those that do not come with softdiff.
 */
#ifndef TOOLS_EVAL_FEATURE_NETWORK_H
#define TOOLS_EVAL_FEATURE_NETWORK_H

#include "tools/eval/feature_resize.h"

#include <stdbool.h>

struct error;
struct program;

enum { FEATURE_NETWORK_PATH = 4096, FEATURE_NETWORK_MAPS = 7 };

/* The input is (byte - mean) scale. */
struct feature_range {
    float mean[3]; /* of red, green, blue in 0 .. 255 */
    float scale;
};

struct feature_network {
    const char *name;
    int n_features;
    int side_min, side_max;     /* px that pictures are brought to */
    enum feature_resize resize; /* its own */
    bool blue_first;
    struct feature_range range;
    /* With the resizes of TensorFlow and of clean-fid, whose figures are measured so; scale 0: the same. */
    struct feature_range other_range;
    /* x: compute [n,h,w,3]. Returns exact [n,n_features], or -1, see engine/program.h. */
    int (*append)(struct program *p, int x);
    /* maps: n_maps compute [n,h,w,c] on the way; 0 and NULL: not of this network. */
    int n_maps;
    void (*append_maps)(struct program *p, int x, int *maps);
    const char *source;    /* where the weights are to be had; NULL: they come with softdiff */
    const char *published; /* what marks the weights of published figures; NULL: there are none */
};

/* squeezenet.h: of ImageNet. What is meant where none is named. */
extern const struct feature_network feature_network_default;

/* What goes with a resize, not FEATURE_RESIZE_OWN. */
const struct feature_range *feature_network_range(const struct feature_network *network,
                                                  enum feature_resize resize);

/* For --help: the names. */
#define FEATURE_NETWORK_HELP \
    "whose: squeezenet11 (default), efficientnet-lite0, face-dlib or inception"

/* 0, or -EINVAL listing the names. */
int feature_network_parse(const char *name, const struct feature_network **out, struct error *err);

/* Where its weights are: in the checkout that this was built in, or else where it was installed.
 * 0, or -ENOENT telling how to get those that do not come with softdiff. */
int feature_network_path(const struct feature_network *network, char path[FEATURE_NETWORK_PATH],
                         struct error *err);

#endif
