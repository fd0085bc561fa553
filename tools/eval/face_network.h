/* A network that tells faces apart: a second opinion on pictures of faces, trained on three million
 * of them and on nothing that SqueezeNet was trained on.
 *
 * Source: dlib_face_recognition_resnet_model_v1 of D. King, in the form of dlib's own
 * dnn_face_recognition_ex.cpp: 29 convolutions, ResNet-34 with fewer blocks and half the channels.
 * Differs: what a batch norm has become, a factor and a term for each channel, is in the weights
 * (tools/convert/face_network.py).
 */
#ifndef TOOLS_EVAL_FACE_NETWORK_H
#define TOOLS_EVAL_FACE_NETWORK_H

struct program;

enum { FACE_NETWORK_FEATURES = 128, FACE_NETWORK_SIDE = 150 };

/* Appends the network, with parameters "first.weight", "first.bias", "block1.conv1.weight", ...,
 * "fc.weight". x: compute [n,h,w,3], (byte - mean) / 256. Returns exact [n,FACE_NETWORK_FEATURES],
 * of which faces of one person are less than .6 apart; or -1, see engine/program.h. */
int face_network_append(struct program *p, int x);

#endif
