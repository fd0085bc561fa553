/* EfficientNet-Lite0 up to the features that distances between sets of pictures are measured with.
 *
 * Source: Tan and Le 2019 (arXiv:1905.11946), in the form without squeeze and with ReLU6 of Google's
 * efficientnet/lite, whose weights model/zoo/efficientnet-lite0.md describes: inverted bottlenecks whose
 * middle convolution has a group per channel. Padding is TensorFlow's "SAME": where it is odd, the
 * larger half is below and to the right. The batch norms are in the convolutions before them.
 */
#ifndef TOOLS_EVAL_EFFICIENTNET_H
#define TOOLS_EVAL_EFFICIENTNET_H

struct program;

enum { EFFICIENTNET_FEATURES = 1280, EFFICIENTNET_SIDE = 224 };

/* Appends the network, with parameters "stem.weight", "block0.depth.bias", "block1.expand.weight", ...,
 * "head.bias". x: compute [n,h,w,3], of EFFICIENTNET_SIDE as it was trained. Returns exact
 * [n,EFFICIENTNET_FEATURES], the mean over the image of what the head gives; or -1, see
 * engine/program.h. */
int efficientnet_append(struct program *p, int x);

#endif
