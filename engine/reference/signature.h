/* Shape checks written like the comments of engine/op.h.
 *
 * A signature lists tensors, e.g. "nhwi oikk ?o -> nHWo". A letter is a size, and stands for the
 * same size wherever it appears; a digit is that size. What precedes the sizes of a tensor:
 *     n   batched
 *     b   batched or not, all tensors marked so alike
 *     m   batched or not
 *     K   batched and uint32, everything else is float32
 *     ?   may be absent (goes first)
 *     +   one or more of these (goes first, last input only)
 * '*' stands for any number of sizes, the same ones wherever it appears.
 */
#ifndef ENGINE_REFERENCE_SIGNATURE_H
#define ENGINE_REFERENCE_SIGNATURE_H

#include "engine/device.h"

struct error;

struct signature {
    int size[128]; /* by letter; 0: not bound */
    int n;         /* images; 0: no batched tensor yet */
    int b;         /* 'b' tensors are batched; -1: none yet */
    int n_star;    /* -1: not bound */
    int star[SHAPE_DIMS_MAX];
};

/* Compares the tensors of spec with the signature and tells the sizes of the letters.
 * 0, -EINVAL naming operation and tensor, -ENOTSUP for a dtype this device lacks. */
int signature_match(const struct kernel_spec *spec, const char *text, struct signature *out,
                    struct error *err);

/* -EINVAL with "operation: " in front of the text. */
__attribute__((format(printf, 3, 4))) int signature_mismatch(const struct kernel_spec *spec,
                                                             struct error *err, const char *fmt,
                                                             ...);

/* Elements per image, or of the whole tensor if it is unbatched. */
size_t reference_image_count(const struct tensor_desc *tensor);

/* Elements of all images. */
size_t reference_count(const struct tensor_desc *tensor);

#endif
