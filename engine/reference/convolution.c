#include "engine/reference/reference_ops.h"

/* The sizes of a convolution x [n,h,w,i], weight [o,i,k,k] -> y [n,yh,yw,o]. */
struct window {
    int n, h, w, i, yh, yw, o, k, stride, pad;
};

static struct window window_of(const struct kernel_spec *spec, const struct tensor_desc *x,
                               const struct tensor_desc *weight, const struct tensor_desc *y)
{
    struct window s = {
        .n = x->n,
        .h = x->shape.dims[0],
        .w = x->shape.dims[1],
        .i = x->shape.dims[2],
        .yh = y->shape.dims[0],
        .yw = y->shape.dims[1],
        .o = y->shape.dims[2],
        .k = weight->shape.dims[2],
        .stride = spec->attributes.window.stride,
        .pad = spec->attributes.window.pad,
    };

    return s;
}

static void forward_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                        void *scratch)
{
    const struct window s = window_of(spec, &spec->inputs[0], &spec->inputs[1], &spec->outputs[0]);
    const float *x = in[0], *weight = in[1], *bias = spec->n_inputs > 2 ? in[2] : NULL;
    const float *residual = spec->kind == OP_CONVOLUTION_ADD ? in[3] : NULL;
    float *y = out[0];

    for (int n = 0; n < s.n; n++) {
        for (int yr = 0; yr < s.yh; yr++) {
            for (int yc = 0; yc < s.yw; yc++) {
                for (int o = 0; o < s.o; o++) {
                    int to = ((n * s.yh + yr) * s.yw + yc) * s.o + o;
                    double sum = bias ? bias[o] : 0;

                    for (int kr = 0; kr < s.k; kr++) {
                        for (int kc = 0; kc < s.k; kc++) {
                            int r = yr * s.stride + kr - s.pad, c = yc * s.stride + kc - s.pad;

                            if (r < 0 || r >= s.h || c < 0 || c >= s.w)
                                continue;
                            for (int i = 0; i < s.i; i++)
                                sum += (double)x[((n * s.h + r) * s.w + c) * s.i + i] *
                                       weight[((o * s.i + i) * s.k + kr) * s.k + kc];
                        }
                    }
                    if (residual)
                        sum = (sum + residual[to]) * spec->attributes.add.scale;
                    y[to] = (float)sum;
                }
            }
        }
    }
}

/* One output of the general convolution, without bias. */
static double general_at(const struct kernel_spec *spec, const float *x, const float *weight,
                         int yr, int yc, int o)
{
    const struct shape *xs = &spec->inputs[0].shape, *ws = &spec->inputs[1].shape;
    const int h = xs->dims[0], w = xs->dims[1], n_i = xs->dims[2];
    const int n_o = ws->dims[0], n_j = ws->dims[1], kh = ws->dims[2], kw = ws->dims[3];
    const int first = o / (n_o / spec->attributes.general.groups) * n_j;
    const int *pad = spec->attributes.general.pad, stride = spec->attributes.general.stride;
    double sum = 0;

    for (int kr = 0; kr < kh; kr++) {
        for (int kc = 0; kc < kw; kc++) {
            int r = yr * stride + kr - pad[0], c = yc * stride + kc - pad[2];

            if (r < 0 || r >= h || c < 0 || c >= w)
                continue;
            for (int j = 0; j < n_j; j++)
                sum += (double)x[(r * w + c) * n_i + first + j] *
                       weight[((o * n_j + j) * kh + kr) * kw + kc];
        }
    }
    return sum;
}

static void general_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                        void *scratch)
{
    const struct shape *xs = &spec->inputs[0].shape, *ys = &spec->outputs[0].shape;
    const int yh = ys->dims[0], yw = ys->dims[1], n_o = ys->dims[2];
    const float *x = in[0], *weight = in[1], *bias = spec->n_inputs > 2 ? in[2] : NULL;
    float *y = out[0];

    for (int n = 0; n < spec->inputs[0].n; n++) {
        for (int p = 0; p < yh * yw; p++) {
            for (int o = 0; o < n_o; o++)
                *y++ =
                    (float)((bias ? bias[o] : 0) + general_at(spec, x, weight, p / yw, p % yw, o));
        }
        x += xs->dims[0] * xs->dims[1] * xs->dims[2];
    }
}

static void grad_data_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                          void *scratch)
{
    const struct window s = window_of(spec, &spec->outputs[0], &spec->inputs[1], &spec->inputs[0]);
    const float *dy = in[0], *weight = in[1];
    float *dx = out[0];

    for (int n = 0; n < s.n; n++) {
        for (int r = 0; r < s.h; r++) {
            for (int c = 0; c < s.w; c++) {
                for (int i = 0; i < s.i; i++) {
                    double sum = 0;

                    for (int kr = 0; kr < s.k; kr++) {
                        for (int kc = 0; kc < s.k; kc++) {
                            /* The output position that reads (r, c) through (kr, kc), if any. */
                            int yr = r + s.pad - kr, yc = c + s.pad - kc;

                            if (yr < 0 || yc < 0 || yr % s.stride || yc % s.stride)
                                continue;
                            yr /= s.stride;
                            yc /= s.stride;
                            if (yr >= s.yh || yc >= s.yw)
                                continue;
                            for (int o = 0; o < s.o; o++)
                                sum += (double)dy[((n * s.yh + yr) * s.yw + yc) * s.o + o] *
                                       weight[((o * s.i + i) * s.k + kr) * s.k + kc];
                        }
                    }
                    dx[((n * s.h + r) * s.w + c) * s.i + i] = (float)sum;
                }
            }
        }
    }
}

static double grad_weight_at(const struct window *s, const float *x, const float *dy, int o, int i,
                             int kr, int kc)
{
    double sum = 0;

    for (int n = 0; n < s->n; n++) {
        for (int yr = 0; yr < s->yh; yr++) {
            for (int yc = 0; yc < s->yw; yc++) {
                int r = yr * s->stride + kr - s->pad, c = yc * s->stride + kc - s->pad;

                if (r < 0 || r >= s->h || c < 0 || c >= s->w)
                    continue;
                sum += (double)dy[((n * s->yh + yr) * s->yw + yc) * s->o + o] *
                       x[((n * s->h + r) * s->w + c) * s->i + i];
            }
        }
    }
    return sum;
}

static void grad_weight_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                            void *scratch)
{
    const struct window s = window_of(spec, &spec->inputs[0], &spec->outputs[0], &spec->inputs[1]);
    const float *x = in[0], *dy = in[1];
    float *dweight = out[0], *dbias = out[1];

    for (int o = 0; o < s.o; o++) {
        for (int i = 0; i < s.i; i++) {
            for (int kr = 0; kr < s.k; kr++) {
                for (int kc = 0; kc < s.k; kc++)
                    dweight[((o * s.i + i) * s.k + kr) * s.k + kc] =
                        (float)grad_weight_at(&s, x, dy, o, i, kr, kc);
            }
        }
    }
    for (int o = 0; o < s.o; o++) {
        double sum = 0;

        for (int p = 0; p < s.n * s.yh * s.yw; p++)
            sum += dy[p * s.o + o];
        dbias[o] = (float)sum;
    }
}

/* OP_CONVOLUTION and OP_CONVOLUTION_ADD */
const struct reference_op reference_convolution = {forward_run, NULL};
const struct reference_op reference_convolution_general = {general_run, NULL};
const struct reference_op reference_convolution_grad_data = {grad_data_run, NULL};
const struct reference_op reference_convolution_grad_weight = {grad_weight_run, NULL};
