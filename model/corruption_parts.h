/* What a corruption is made of, for the files that make it up: corruption.c (what it is),
 * corruption_axis.c (the matrices of separable ones), corruption_program.c and corruption_host.c (what
 * applies it). Nobody else includes this.
 */
#ifndef MODEL_CORRUPTION_PARTS_H
#define MODEL_CORRUPTION_PARTS_H

#include "model/corruption.h"
#include "model/mask_ranks.h"

enum corruption_id {
    CORRUPTION_BLUR,
    CORRUPTION_MASK,
    CORRUPTION_NOISE,
    CORRUPTION_VP,
    CORRUPTION_SUBVP,
    CORRUPTION_FADE,
    CORRUPTION_BLUR_DCT,
    CORRUPTION_PIXELATE,
    CORRUPTION_MATRICES,
    CORRUPTION_PRODUCT,
    CORRUPTIONS /* how many */
};

enum { CORRUPTION_SIDE_MAX = 4096, CORRUPTION_PATH_MAX = 1024 };

/* A factor of a product, and what its level is on the way: equally spaced points of a line. */
struct corruption_factor {
    struct corruption *corruption; /* owned */
    int n;                         /* 2 .. CORRUPTION_PATH_MAX */
    double *levels;                /* [n], owned */
};

struct corruption {
    enum corruption_id id;
    int h, w;
    int half_size;                       /* blur */
    enum mask_order order;               /* mask */
    int seed;                            /* mask, MASK_RANDOM */
    int *rank;                           /* mask: owned, [h,w], a permutation of 0 .. h w - 1 */
    int halvings;                        /* pixelate: the largest level, blocks of 2^halvings px */
    int n_matrices;                      /* matrices */
    float *matrices;                     /* matrices: owned, [n_matrices,h,h] */
    struct corruption_factor factors[2]; /* product: what is applied first, and second */
};

/* What is made of the fields of both, which may be NULL. 0, -EINVAL or -ENOMEM. */
int corruption_read_matrices(struct corruption *c, const struct json_t *matrices,
                             struct error *err);
int corruption_read_product(struct corruption *c, const struct json_t *first,
                            const struct json_t *second, struct error *err);
struct json_t *corruption_matrices_to_json(const struct corruption *c); /* new, or NULL */
struct json_t *corruption_factor_to_json(const struct corruption_factor *f);

/* The level of a factor at a level of the product. */
double corruption_factor_level(const struct corruption_factor *f, double level);

/* The scalar of a level. */
double corruption_scalar(const struct corruption *c, double level);
/* How much of pixel i a mask leaves. */
double corruption_visible(const struct corruption *c, double level, int i);

/* Separable ones, of an axis of n px. The matrix [n,n]: */
void corruption_axis_matrix(const struct corruption *c, int n, double level, double *out);
void corruption_axis_floats(const struct corruption *c, int n, double level, float *out);
/* blur and blur-dct: the weights of distance 0 .. n - 1 that it is made of, [n]. */
void corruption_axis_row(const struct corruption *c, int n, double level, float *out);

/* pixelate: the orthonormal Haar matrix [n,n], details of pairs first, then of fours, ... and the
 * mean of the largest blocks last; and when each of its rows is wiped out: at a level above
 * halvings - rank it begins to go, and one level on it is gone. rank [n]. */
void corruption_haar(const struct corruption *c, int n, float *matrix, float *rank);

#endif
