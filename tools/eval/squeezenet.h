/* SqueezeNet 1.1 up to the features that distances between sets of pictures are measured with.
 *
 * Source: Iandola et al. 2016 (arXiv:1602.07360), release 1.1, in the form of DeepCognition's
 * keras-squeezenet, whose weights model/zoo/squeezenet11.md describes: no padding at the first
 * convolution and at the pools, channels in the order blue, green, red.
 */
#ifndef TOOLS_EVAL_SQUEEZENET_H
#define TOOLS_EVAL_SQUEEZENET_H

struct program;

enum { SQUEEZENET_FEATURES = 512, SQUEEZENET_SIDE_MIN = 48, SQUEEZENET_MAPS = 7 };

/* Appends the network, with parameters "conv1.weight", "fire2.squeeze1x1.bias", ...
 * x: compute [n,h,w,3], h and w >= SQUEEZENET_SIDE_MIN. Returns exact [n,SQUEEZENET_FEATURES], the
 * mean over the image of what the last fire module gives; or -1, see engine/program.h. */
int squeezenet_append(struct program *p, int x);

/* The same without the mean: maps are the values after conv1 and the fire modules 3, 5, 6, 7, 8 and 9,
 * compute [n,h,w,c] each. */
void squeezenet_append_maps(struct program *p, int x, int maps[SQUEEZENET_MAPS]);

#endif
