#include "engine/reference/reference_ops.h"

enum { SIDE = 4 }; /* of the kernel */

static void upfirdn_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                        void *scratch)
{
    const struct shape *xs = &spec->inputs[0].shape, *ys = &spec->outputs[0].shape;
    const int h = xs->dims[0], w = xs->dims[1], n_c = xs->dims[2];
    const int yh = ys->dims[0], yw = ys->dims[1];
    const int up = spec->attributes.upfirdn.up, down = spec->attributes.upfirdn.down;
    const int *pad = spec->attributes.upfirdn.pad;
    const float *kernel = spec->attributes.upfirdn.kernel, *x = in[0];
    const float *bias = spec->n_inputs > 1 ? in[1] : NULL;
    float *y = out[0];

    for (int n = 0; n < spec->inputs[0].n; n++) {
        for (int yr = 0; yr < yh; yr++) {
            for (int yc = 0; yc < yw; yc++) {
                for (int c = 0; c < n_c; c++) {
                    double sum = bias ? bias[c] : 0;

                    for (int kr = 0; kr < SIDE; kr++) {
                        for (int kc = 0; kc < SIDE; kc++) {
                            /* Where the tap lies on the dense grid. */
                            int r = yr * down + kr - pad[0], col = yc * down + kc - pad[2];

                            if (r < 0 || r >= h * up || col < 0 || col >= w * up || r % up ||
                                col % up)
                                continue;
                            sum += (double)kernel[(SIDE - 1 - kr) * SIDE + SIDE - 1 - kc] *
                                   x[((n * h + r / up) * w + col / up) * n_c + c];
                        }
                    }
                    y[((n * yh + yr) * yw + yc) * n_c + c] = (float)sum;
                }
            }
        }
    }
}

const struct reference_op reference_upfirdn = {upfirdn_run, NULL};
