/* The noise of engine/base/philox.h as operations of an ONNX graph. */
#ifndef TOOLS_CONVERT_ONNX_NOISE_H
#define TOOLS_CONVERT_ONNX_NOISE_H

#include <stdint.h>

struct onnx;

/* Keys for the images whose seeds are given, INT64 [n,1]; step: INT64, a scalar. */
struct onnx_key {
    int low, high; /* halves of the seed, INT64 [n,1] of 0 .. 2^32 - 1 */
    int step;
};

/* seed: INT64 [n], whose bits are read as those of a number without a sign. */
struct onnx_key onnx_key(struct onnx *o, int seed, int step);

/* `count` standard normals for each image, FLOAT [n, count], as philox_normals() of image 0 has them but
 * for the rounding of the functions. */
int onnx_normals(struct onnx *o, const struct onnx_key *key, uint32_t stream, int count);

#endif
