/* What befalls pictures before they are restored: a linear operator A and noise, y = A x + s eta, as
 * somebody would have it who sends a photograph: in 8 bits.
 *
 *     blur:STD    a Gaussian of STD px; weights beyond the edge are left out and the others make up
 *     noise:STD   white noise, where white is 1
 *     hole:PART   a centred square with PART of the picture is not known
 *     dots:PART   PART of the pixels is not known, scattered, the same for all pictures
 *     blur:STD+NOISE  and so on: with noise of this std, which the restoration is not told of
 */
#ifndef TOOLS_EVAL_DEGRADING_H
#define TOOLS_EVAL_DEGRADING_H

#include "model/restoration.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

enum { DEGRADING_LIST_MAX = 16, DEGRADING_NAME = 24 };

struct degrading {
    char name[DEGRADING_NAME]; /* as it was asked for */
    enum degradation kind;
    bool scattered; /* of masks: dots */
    double amount;  /* std or part */
    double noise;   /* std, beside it */
};

/* "blur:1,hole:0.25"; returns how many, at most DEGRADING_LIST_MAX, or -EINVAL. */
int degrading_list_parse(const char *text, struct degrading *out, struct error *err);

/* One of them for pictures [side,side,channels] of values in [0,1]. */
struct degrader;

/* d is copied. seed: of noise and dots. 0 or -ENOMEM. */
int degrader_create(const struct degrading *d, int side, int channels, uint64_t seed,
                    struct degrader **out, struct error *err);
void degrader_destroy(struct degrader *d);

/* y = A x, 0 where it is not known; they may be the same. Thread: one at a time. */
void degrader_apply(struct degrader *d, const double *x, double *y);
/* Picture i of 8 bits as it comes; what is not known is the mean of what is. Thread: one at a time. */
void degrader_degrade(struct degrader *d, int i, const uint8_t *picture, uint8_t *out);

const struct degrading *degrader_of(const struct degrader *d);
const float *degrader_mask(const struct degrader *d); /* [side,side], 1 where it is known */
/* The std of what is in y beside A x, with that of rounding to 8 bits. */
double degrader_noise(const struct degrader *d);

#endif
