/* The whole of sampling as an ONNX graph: from seeds to images.
 *
 *     seed      INT64 [n], the bits of the seeds
 *     label     INT64 [n], 1 .. n_labels, 0 for none; guidance FLOAT [n], 1 for none. Both only of
 *               models with labels, whose network is then evaluated twice a step
 *     images    UINT8 [n,h,w,c], what softdiff-sample draws from these seeds
 *     x         FLOAT [n,c,h,w], the same before it is cut to [0,1] and rounded
 *
 * Noise is computed in the graph, from the seeds alone; sampler and number of evaluations are
 * constants of it. The steps are a Loop, whose tables have a row for each.
 */
#ifndef TOOLS_CONVERT_ONNX_SAMPLING_H
#define TOOLS_CONVERT_ONNX_SAMPLING_H

#include "model/sampling.h"

struct checkpoint;
struct error;
struct onnx;

/* Appends it. 0, -ENOTSUP (something has no translation; the text names it), -EINVAL, -ENOMEM, -EIO. */
int onnx_append_sampling(struct onnx *o, const struct checkpoint *c,
                         const struct sampling_choice *choice, struct error *err);

#endif
