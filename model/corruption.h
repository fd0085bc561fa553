/* Linear corruptions C(level): what an image is degraded by, apart from noise. All but products are
 * symmetric.
 *
 * x_t = C_t x_0 + sigma_t eta (Daras et al. 2023, arXiv:2209.05442, Eq. 4). Algebraic kinds:
 *
 *     kind       operator               names, and what the level means
 *     scalar     a I                    noise (VE; a = 1, level ignored), vp, subvp, fade (level = a)
 *     diagonal   diag(m)                mask (level = visible pixels, a real number in [0, h w])
 *     separable  A X B^T per channel    blur, blur-dct (level = Gaussian std in px, >= 0),
 *                                       pixelate (level = log2 of the blocks' side in px, >= 0),
 *                                       matrices (level = the place in their list, from 0)
 *     composed   C_2 C_1                product (level = what is left of the way to its end, 1 .. 0)
 *
 * blur: zero-padded convolution with the normalised, truncated Gaussian, exact:
 *     B[i,j] = exp(-(i-j)^2 / 2 std^2) / Z, Z = sum_{|k| <= R} exp(-k^2 / 2 std^2), 0 if |i-j| > R,
 * A = B for the height, the same for the width; symmetric, so its adjoint is itself. std 0 (and
 * anything whose neighbours underflow) is the identity.
 * blur-dct: the same with mirrors at the ends: wave k of a cosine transform stays by
 *     exp(-std^2 f^2 / 2), f = pi k / n (Rissanen et al. 2022, arXiv:2206.13397). No shadow grows from
 * the edges, and any two levels commute.
 * pixelate: means of blocks of 2^level px, A = B; between two whole levels the line between their
 * A. A side of 2^m times an odd number has levels up to m, and both sides share the smaller.
 * vp and subvp have schedules of their own (schedule.h); fade is a picture that becomes black.
 * matrices: A = B from a list of symmetric matrices, the first the identity; between two the line
 * between them. For square images.
 * product: first one and then another corruption, each with levels of its own along the way. At its end
 * nothing may be left: one of the two is a mask or a fade that goes to 0.
 * mask: pixel p stays by m_p = clip(level - rank_p, 0, 1) on all channels; ranks from the centre
 * outwards in a square spiral, at random (seed), row by row, or as a list says (mask_ranks.h).
 */
#ifndef MODEL_CORRUPTION_H
#define MODEL_CORRUPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct json_t;
struct parameters;
struct program;

enum corruption_kind {
    CORRUPTION_SCALAR,
    CORRUPTION_DIAGONAL,
    CORRUPTION_SEPARABLE,
    CORRUPTION_COMPOSED
};

struct corruption; /* immutable; any thread */

/* From JSON: {"name": "blur", "half_size": 80}, {"name": "mask", "order": "spiral"},
 * {"name": "mask", "order": "random", "seed": 1}, {"name": "mask", "order": "list", "ranks": [0, ..]},
 * {"name": "matrices", "matrices": [[[1, 0], [0, 1]], ..]},
 * {"name": "product", "first": {"corruption": {..}, "levels": [0, 8]}, "second": {..}},
 * {"name": "noise"}, and so on, by name alone. Strict like every JSON here. h, w: image size in px.
 * 0, -EINVAL naming the key, or -ENOMEM. */
int corruption_create(const struct json_t *json, int h, int w, struct corruption **out,
                      struct error *err);
void corruption_destroy(struct corruption *c);
struct json_t *corruption_to_json(const struct corruption *c); /* new; NULL without memory */

const char *corruption_name(const struct corruption *c); /* "blur", ... : the name on the wire */
enum corruption_kind corruption_kind(const struct corruption *c);

size_t corruption_pixels(const struct corruption *c); /* h w */

/* The level at which C is the identity (h w for mask, 1 for scalars and products, else 0), and the one
 * beyond which there is none: INFINITY for blurs, 0 where nothing is left of a picture. */
double corruption_clean_level(const struct corruption *c);
double corruption_last_level(const struct corruption *c);

/* An operator C(level) as numbers, per image: the first factor has size[0] floats, the second
 * size[1] (0 if the kind needs only one): scalar a [1]; diagonal m [h,w,1]; separable A [h,h] and
 * B [w,w]; composed: none, see corruption_matrices. */
void corruption_operator_sizes(const struct corruption *c, size_t size[2]);
void corruption_operator(const struct corruption *c, double level, float *first, float *second);

/* The weights of distance 0 .. n - 1 of a blur, [n]; std >= 0, half_size >= 0 (R above). */
void corruption_blur_row(int n, double std, int half_size, float *out);

/* An operator as inputs of a program: short rows, written per image before a run. */
struct operator_values {
    int first;    /* scalar: a [n,1]; diagonal and pixelate: the level's whole and its rest [n,2];
                   blurs: the weights of distance 0 .. h - 1 [n,h]; matrices: how much of two [n,2] */
    int second;   /* blurs: the same for the width [n,w], where it is not the height; matrices: the
                   number of the one [n,1]; else -1 */
    int gate;     /* blurs, where wanted: [n,1], 0: C x is 0 and costs nothing; else -1 */
    int third;    /* matrices: the number of the other [n,1]; else -1 */
    int inner[3]; /* product: first, second and third of what is applied first; else -1 */
};

#define OPERATOR_NONE        \
    (struct operator_values) \
    {                        \
        -1, -1, -1, -1,      \
        {                    \
            -1, -1, -1       \
        }                    \
    }

/* Declares the inputs "<name>.<factor>". */
struct operator_values corruption_inputs(const struct corruption *c, struct program *p,
                                         const char *name, bool gated);

/* y = C x; x exact [n,h,w,ch]. Differentiable with respect to x. Declares the table "rank" for masks,
 * "haar.rows", "haar.columns", "rank.rows" and "rank.columns" for pixelate, "matrices" for these. */
int corruption_apply(const struct corruption *c, struct program *p, int x,
                     const struct operator_values *op);

/* Where to write what the inputs are of one image: first, second, third and those of the inner one, NULL
 * where there is none. */
struct operator_rows {
    float *outer[3], *inner[3];
};

/* Writes the rows of C(level). */
void corruption_rows(const struct corruption *c, double level, const struct operator_rows *rows);
/* Fills the tables. 0, -ENOMEM or -EIO. */
int corruption_write_tables(const struct corruption *c, struct parameters *parameters,
                            struct error *err);

/* The same on the host for one image [h,w,ch], double accumulators; x != y. 0 or -ENOMEM. */
int corruption_apply_host(const struct corruption *c, double level, int channels, const float *x,
                          float *y, struct error *err);

/* An operator C(level) on the host, in double throughout, to be applied to many images. */
struct corruption_matrices;

/* c is borrowed. 0 or -ENOMEM. */
int corruption_matrices_create(const struct corruption *c, double level, int channels,
                               struct corruption_matrices **out, struct error *err);
void corruption_matrices_destroy(struct corruption_matrices *m);

/* y = C(level) x for one image [h,w,channels]. Thread: one at a time per object. */
void corruption_matrices_apply(struct corruption_matrices *m, const float *x, double *y);

#endif
