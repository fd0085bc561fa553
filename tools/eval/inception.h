/* Inception-V3 in the form that published Frechet inception distances (FID) are measured with, up to the
 * 2048 numbers of its last pool.
 *
 * Source: Szegedy et al. 2015 (arXiv:1512.00567), as TensorFlow's graph of 2015-12-05 has it, which Heusel
 * et al. 2017 (arXiv:1706.08500) measure with, and as pytorch-fid 0.3.0 describes that graph: average
 * pools count no padding, and the last block has a largest where the paper has a mean.
 * Differs: what a batch norm does is in the weights (tools/convert/inception.py).
 */
#ifndef TOOLS_EVAL_INCEPTION_H
#define TOOLS_EVAL_INCEPTION_H

struct program;

enum { INCEPTION_FEATURES = 2048, INCEPTION_SIDE = 299 };

/* Appends the network, with parameters "Conv2d_1a_3x3.weight", "Mixed_5b.branch1x1.bias", ...
 * x: compute [n,INCEPTION_SIDE,INCEPTION_SIDE,3] in [-1,1]. Returns exact [n,INCEPTION_FEATURES], or -1,
 * see engine/program.h. */
int inception_append(struct program *p, int x);

#endif
