#include "engine/reference/reference_ops.h"
#include "engine/reference/signature.h"

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

static int window_check(const struct kernel_spec *spec, const struct window *s, struct error *err)
{
    if (s->k != 1 && s->k != 3)
        return signature_mismatch(spec, err, "a window of side %d, not 1 or 3", s->k);
    if (s->stride != 1 && s->stride != 2)
        return signature_mismatch(spec, err, "stride %d, not 1 or 2", s->stride);
    if (s->pad != 0 && s->pad != 1)
        return signature_mismatch(spec, err, "padding %d, not 0 or 1", s->pad);
    if (s->h + 2 * s->pad < s->k || s->w + 2 * s->pad < s->k ||
        s->yh != (s->h + 2 * s->pad - s->k) / s->stride + 1 ||
        s->yw != (s->w + 2 * s->pad - s->k) / s->stride + 1)
        return signature_mismatch(spec, err,
                                  "a window of side %d, stride %d, padding %d over %dx%d does not "
                                  "give %dx%d",
                                  s->k, s->stride, s->pad, s->h, s->w, s->yh, s->yw);
    return 0;
}

static int forward_check(const struct kernel_spec *spec, struct error *err)
{
    bool add = spec->kind == OP_CONVOLUTION_ADD;
    struct signature letters;
    struct window s;
    int rc = signature_match(spec, add ? "nhwi oikk ?o nHWo -> nHWo" : "nhwi oikk ?o -> nHWo",
                             &letters, err);

    if (rc < 0)
        return rc;
    s = window_of(spec, &spec->inputs[0], &spec->inputs[1], &spec->outputs[0]);
    return window_check(spec, &s, err);
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

static int grad_data_check(const struct kernel_spec *spec, struct error *err)
{
    struct signature letters;
    struct window s;
    int rc = signature_match(spec, "nHWo oikk -> nhwi", &letters, err);

    if (rc < 0)
        return rc;
    s = window_of(spec, &spec->outputs[0], &spec->inputs[1], &spec->inputs[0]);
    if (spec->attributes.window.in[0] != s.h || spec->attributes.window.in[1] != s.w)
        return signature_mismatch(spec, err, "window.in is %dx%d, the output %dx%d",
                                  spec->attributes.window.in[0], spec->attributes.window.in[1], s.h,
                                  s.w);
    return window_check(spec, &s, err);
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

static int grad_weight_check(const struct kernel_spec *spec, struct error *err)
{
    struct signature letters;
    struct window s;
    int rc = signature_match(spec, "nhwi nHWo -> oikk o", &letters, err);

    if (rc < 0)
        return rc;
    s = window_of(spec, &spec->inputs[0], &spec->outputs[0], &spec->inputs[1]);
    if (spec->attributes.window.side != s.k)
        return signature_mismatch(spec, err, "window.side is %d, the output has %d",
                                  spec->attributes.window.side, s.k);
    return window_check(spec, &s, err);
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
const struct reference_op reference_convolution = {forward_check, forward_run, NULL};
const struct reference_op reference_convolution_grad_data = {grad_data_check, grad_data_run, NULL};
const struct reference_op reference_convolution_grad_weight = {grad_weight_check, grad_weight_run,
                                                               NULL};
