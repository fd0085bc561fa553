#include "engine/reference/reference_ops.h"
#include "engine/reference/signature.h"

static int max_pool_check(const struct kernel_spec *spec, struct error *err)
{
    const int side = spec->attributes.window.side, stride = spec->attributes.window.stride;
    struct signature letters;
    int rc = signature_match(spec, "nhwc -> nHWc", &letters, err);

    if (rc < 0)
        return rc;
    if (side < 2 || side > 3 || stride < 1 || stride > 2)
        return signature_mismatch(spec, err, "a window of %d and a stride of %d", side, stride);
    if (letters.size['h'] < side || letters.size['w'] < side ||
        letters.size['H'] != (letters.size['h'] - side) / stride + 1 ||
        letters.size['W'] != (letters.size['w'] - side) / stride + 1)
        return signature_mismatch(spec, err, "windows of %d in %dx%d do not give %dx%d", side,
                                  letters.size['h'], letters.size['w'], letters.size['H'],
                                  letters.size['W']);
    return 0;
}

static void max_pool_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                         void *scratch)
{
    const int side = spec->attributes.window.side, stride = spec->attributes.window.stride;
    const struct shape *xs = &spec->inputs[0].shape, *ys = &spec->outputs[0].shape;
    const int h = xs->dims[0], w = xs->dims[1], n_c = xs->dims[2];
    const int yh = ys->dims[0], yw = ys->dims[1];
    const float *x = in[0];
    float *y = out[0];

    for (int n = 0; n < spec->inputs[0].n; n++) {
        for (int yr = 0; yr < yh; yr++) {
            for (int yc = 0; yc < yw; yc++) {
                for (int c = 0; c < n_c; c++) {
                    float largest = x[((n * h + yr * stride) * w + yc * stride) * n_c + c];

                    for (int kr = 0; kr < side; kr++) {
                        for (int kc = 0; kc < side; kc++) {
                            int row = yr * stride + kr, column = yc * stride + kc;
                            float at = x[((n * h + row) * w + column) * n_c + c];

                            largest = at > largest ? at : largest;
                        }
                    }
                    y[((n * yh + yr) * yw + yc) * n_c + c] = largest;
                }
            }
        }
    }
}

static int mean_pool_check(const struct kernel_spec *spec, struct error *err)
{
    struct signature letters;

    return signature_match(spec, "nhwc -> nc", &letters, err);
}

static void mean_pool_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                          void *scratch)
{
    const struct shape *xs = &spec->inputs[0].shape;
    const int positions = xs->dims[0] * xs->dims[1], n_c = xs->dims[2];
    const float *x = in[0];
    float *y = out[0];

    for (int n = 0; n < spec->inputs[0].n; n++) {
        for (int c = 0; c < n_c; c++) {
            double sum = 0;

            for (int i = 0; i < positions; i++)
                sum += x[(n * positions + i) * n_c + c];
            y[n * n_c + c] = (float)(sum / positions);
        }
    }
}

const struct reference_op reference_max_pool = {max_pool_check, max_pool_run, NULL};
const struct reference_op reference_mean_pool = {mean_pool_check, mean_pool_run, NULL};
