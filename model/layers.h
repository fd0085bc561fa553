/* The blocks that NCSN++, DDPM++ and DDPM are made of, as operations of a program.
 *
 * Source: yang-song/score_sde_pytorch (cb1f359), models/layerspp.py (ResnetBlockBigGANpp,
 * ResnetBlockDDPMpp, AttnBlockpp, Downsample, Upsample), models/layers.py (NIN),
 * models/up_or_down_sampling.py.
 * Every call declares its parameters, "<prefix><leaf>", in the reference's order and layout.
 * Images are compute values [n,h,w,c]; errors stay with the program (program_check()).
 */
#ifndef MODEL_LAYERS_H
#define MODEL_LAYERS_H

#include "engine/op.h"
#include "model/architecture.h"

#include <stdbool.h>

struct program;

struct layers {
    struct program *p;
    enum network network; /* whose blocks: how they resample, and what a sum is divided by */
    char prefix[64];      /* "all_modules.7." */
    float dropout;        /* rate of the masks, 0: none */
    int key;              /* value [n,4] they are drawn from, -1: none */
    int mask;             /* used instead of drawn ones, -1: none */
    int n_dropout;        /* masks so far; each has its own stream */
};

/* k x k convolution with "<leaf>weight" [out,c,k,k] and "<leaf>bias". */
int layers_convolution(struct layers *l, const char *leaf, int x, int out, int k, int stride,
                       int pad, enum value_type type);

/* min(c/4, 32) groups, eps 1e-6, "<leaf>weight" and "<leaf>bias"; shift: [n,c] or -1. */
int layers_group_norm(struct layers *l, const char *leaf, int x, int shift, bool silu);

/* x [n,...,in] to [n,...,out], "<leaf>weight" [out,in] and "<leaf>bias". */
int layers_linear(struct layers *l, const char *leaf, int x, int out);

/* A 1x1 product with "NIN_<i>.W" [in,out] and "NIN_<i>.b". */
int layers_nin(struct layers *l, int i, int x, int out);

/* Resampling in both directions: of NCSN++ with [1,3,3,1], of the others with [1,1], that is by
 * repeating pixels and by means of two. */
enum layers_fir {
    LAYERS_FIR_UP,     /* [n,2h,2w,c], gain 4 */
    LAYERS_FIR_DOWN,   /* [n,h/2,w/2,c] */
    LAYERS_FIR_SMOOTH, /* [n,h+1,w+1,c]: every position, padded by 2. Of NCSN++ */
    LAYERS_FIR_PAD,    /* [n,h+1,w+1,c]: x, and zeros below and to the right. Of DDPM */
};
int layers_fir(struct layers *l, int x, enum layers_fir kind);

/* out = (x' + Conv_1(drop(SiLU(GN_1(Conv_0(SiLU(GN_0(x))') + Dense_0(temb)))))) / sqrt 2, where '
 * resamples; x' passes Conv_2 (1x1) if it is resampled or changes its channels. Of DDPM, which
 * resamples between its blocks, x passes NIN_0 instead, and the sum is not divided.
 * temb: exact [n,d], already through SiLU. */
int layers_res_block(struct layers *l, int x, int temb, int out, bool up, bool down);

/* out = (x + NIN_3(attention(NIN_0(h), NIN_1(h), NIN_2(h)))) / sqrt 2 with h = GN_0(x): one head
 * of the image's width. Of DDPM the sum is not divided. */
int layers_attention_block(struct layers *l, int x);

/* The input pyramid's step: smooth, then 3x3 with stride 2 ("Conv2d_0."): [n,h/2,w/2,out]. */
int layers_pyramid_down(struct layers *l, int x, int out);

/* DDPM's steps between two sizes, with a 3x3 convolution ("Conv_0.") of as many channels: with
 * stride 2 and zeros below and to the right, [n,h/2,w/2,c]; of repeated pixels, [n,2h,2w,c]. */
int layers_down(struct layers *l, int x);
int layers_up(struct layers *l, int x);

#endif
