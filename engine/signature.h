/* What an operation takes and gives, written like the comments of engine/op.h.
 *
 * A signature lists tensors, e.g. "C:nhwi P:oikk ?P:o -> C:nHWo". In front of the colon stands what
 * a tensor holds:
 *     E   exact: float32
 *     C   compute: float32, bfloat16 or float16, all of an operation alike
 *     a   E or C, all 'a' of an operation alike
 *     f   E or C, each for itself
 *     K   key or slot: uint32
 *     B   bytes: uint8
 *     S   a whole state: float32
 *     P   a parameter: exact
 *     ?   in front of these: may be absent
 *     +   in front of these: one or more, the last input only
 * and behind it, before the sizes:
 *     n   batched
 *     m   batched or not
 * A letter is a size, the same one wherever it appears; a digit is that size. '*' stands for any
 * number of sizes, the same ones wherever it appears.
 */
#ifndef ENGINE_SIGNATURE_H
#define ENGINE_SIGNATURE_H

#include "engine/op.h"

struct error;

/* What the letters of a signature stand for. */
struct signature {
    enum dtype compute; /* of C */
    bool any_bound;
    enum dtype any; /* of 'a' */
    int size[128];  /* by letter; 0: not bound */
    int n;          /* images; 0: no batched tensor yet */
    int n_star;     /* -1: not bound */
    int star[SHAPE_DIMS_MAX];
};

/* Compares the tensors of spec with the signature, and tells what its letters stand for. With
 * `partial`, outputs may be missing or have no dimensions yet.
 * 0, or -EINVAL naming the operation and the tensor that does not fit. */
int signature_match(const struct kernel_spec *spec, const char *text, enum dtype compute,
                    bool partial, struct signature *out, struct error *err);

/* Gives the outputs that are missing or have no dimensions what their letters stand for, and all
 * but those of type 'f' their dtype. 0, or -EINVAL if a letter is not bound. */
int signature_infer(struct kernel_spec *spec, const char *text, const struct signature *s,
                    struct error *err);

/* Binds a letter that is not bound; false if it is, to another size. Sizes below 1 fit nothing. */
bool signature_bind(struct signature *s, char letter, long long size);

/* The product of letters, digits and '*'. */
double signature_product(const struct signature *s, const char *letters);

/* -EINVAL with "operation: " in front of the text. */
__attribute__((format(printf, 3, 4))) int signature_mismatch(const struct kernel_spec *spec,
                                                             struct error *err, const char *fmt,
                                                             ...);

#endif
