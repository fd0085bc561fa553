/* How pictures of bytes are brought to the size that a feature network wants: figures by different ways
 * cannot be compared (Parmar et al. 2022, arXiv:2104.11222), so that statistics tell theirs.
 */
#ifndef TOOLS_EVAL_FEATURE_RESIZE_H
#define TOOLS_EVAL_FEATURE_RESIZE_H

#include <stdbool.h>
#include <stdint.h>

struct error;

enum feature_resize {
    /* Where one is asked for: the network's own. */
    FEATURE_RESIZE_OWN,
    /* "bytes": api/pictures/resize.h, which is antialiased, rounded to bytes again. */
    FEATURE_RESIZE_BYTES,
    /* "bilinear": between the centres of the four nearest pixels, also where the picture gets smaller,
     * not rounded: PyTorch's interpolate() without align_corners and antialias, in its arithmetic of
     * float32. pytorch-fid's. */
    FEATURE_RESIZE_BILINEAR,
    /* "tensorflow": as before, but that the first pixels lie upon each other instead of the centres of
     * the pictures: resize_bilinear() of TensorFlow 1, which Heusel et al.'s FID and TF-GAN's have
     * before their Inception. */
    FEATURE_RESIZE_TENSORFLOW,
    /* "bicubic": Pillow's BICUBIC (Keys 1981 with a = -1/2, as wide as the pixels of the coarser grid:
     * antialiased) of its mode F, cut off at 0 and 255, not rounded: clean-fid's. */
    FEATURE_RESIZE_BICUBIC,
};

/* For --help: the names. */
#define FEATURE_RESIZE_HELP                                                          \
    "to the network's size: bytes, bilinear (pytorch-fid's), tensorflow or bicubic " \
    "(clean-fid's); "                                                                \
    "default: the network's own, bytes or, of inception, bilinear"

const char *feature_resize_name(enum feature_resize r); /* not of FEATURE_RESIZE_OWN */
/* 0, or -EINVAL listing the names. */
int feature_resize_parse(const char *name, enum feature_resize *out, struct error *err);

/* Whether figures that are called FID without more words are of pictures that were resized so. */
bool feature_resize_is_of_fid(const char *name);
bool feature_resize_is_of_clean_fid(const char *name); /* those called clean-FID */

/* src [from,from,3] -> dst [to,to,3], numbers of 0 .. 255. Not of FEATURE_RESIZE_OWN. 0 or -ENOMEM.
 * Thread: any. */
int feature_resize_run(enum feature_resize r, const uint8_t *src, int from, int to, float *dst,
                       struct error *err);

#endif
