#include "engine/reference/reference_ops.h"

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

/* The mean around (row, column) of a channel. */
static double average_at(const float *x, const struct shape *s, int row, int column, int channel)
{
    const int h = s->dims[0], w = s->dims[1], n_c = s->dims[2];
    double sum = 0;
    int count = 0;

    for (int r = row - 1; r <= row + 1; r++) {
        for (int c = column - 1; c <= column + 1; c++) {
            if (r < 0 || r >= h || c < 0 || c >= w)
                continue;
            sum += x[(r * w + c) * n_c + channel];
            count++;
        }
    }
    return sum / count;
}

static void average_pool_run(const struct kernel_spec *spec, const void *const *in,
                             void *const *out, void *scratch)
{
    const struct shape *s = &spec->inputs[0].shape;
    const int h = s->dims[0], w = s->dims[1], n_c = s->dims[2];
    const float *x = in[0];
    float *y = out[0];

    for (int n = 0; n < spec->inputs[0].n; n++) {
        for (int p = 0; p < h * w; p++) {
            for (int c = 0; c < n_c; c++)
                *y++ = (float)average_at(x, s, p / w, p % w, c);
        }
        x += h * w * n_c;
    }
}

const struct reference_op reference_max_pool = {max_pool_run, NULL};
const struct reference_op reference_mean_pool = {mean_pool_run, NULL};
const struct reference_op reference_average_pool = {average_pool_run, NULL};
