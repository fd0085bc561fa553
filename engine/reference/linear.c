#include "engine/reference/reference_ops.h"

/* x [rows,i], y [rows,o]; rows counts images and positions. */
struct product {
    int rows, i, o;
    int weight_i, weight_o; /* how far apart neighbours along i and along o are in the weight */
};

static struct product product_of(const struct kernel_spec *spec, const struct tensor_desc *x,
                                 const struct tensor_desc *y)
{
    struct product s = {
        .i = x->shape.dims[x->shape.n_dims - 1],
        .o = y->shape.dims[y->shape.n_dims - 1],
    };

    s.rows = (int)(tensor_count(x) / (size_t)s.i);
    s.weight_i = spec->attributes.linear.in_first ? s.o : 1;
    s.weight_o = spec->attributes.linear.in_first ? 1 : s.i;
    return s;
}

static void forward_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                        void *scratch)
{
    const struct product s = product_of(spec, &spec->inputs[0], &spec->outputs[0]);
    const float *x = in[0], *weight = in[1], *bias = spec->n_inputs > 2 ? in[2] : NULL;
    float *y = out[0];

    for (int row = 0; row < s.rows; row++) {
        for (int o = 0; o < s.o; o++) {
            double sum = bias ? bias[o] : 0;

            for (int i = 0; i < s.i; i++)
                sum += (double)x[row * s.i + i] * weight[o * s.weight_o + i * s.weight_i];
            y[row * s.o + o] = (float)sum;
        }
    }
}

static void grad_data_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                          void *scratch)
{
    const struct product s = product_of(spec, &spec->outputs[0], &spec->inputs[0]);
    const float *dy = in[0], *weight = in[1];
    float *dx = out[0];

    for (int row = 0; row < s.rows; row++) {
        for (int i = 0; i < s.i; i++) {
            double sum = 0;

            for (int o = 0; o < s.o; o++)
                sum += (double)dy[row * s.o + o] * weight[o * s.weight_o + i * s.weight_i];
            dx[row * s.i + i] = (float)sum;
        }
    }
}

static void grad_weight_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                            void *scratch)
{
    const struct product s = product_of(spec, &spec->inputs[0], &spec->inputs[1]);
    const float *x = in[0], *dy = in[1];
    float *dweight = out[0], *dbias = out[1];

    for (int o = 0; o < s.o; o++) {
        for (int i = 0; i < s.i; i++) {
            double sum = 0;

            for (int row = 0; row < s.rows; row++)
                sum += (double)x[row * s.i + i] * dy[row * s.o + o];
            dweight[o * s.weight_o + i * s.weight_i] = (float)sum;
        }
    }
    for (int o = 0; o < s.o; o++) {
        double sum = 0;

        for (int row = 0; row < s.rows; row++)
            sum += dy[row * s.o + o];
        dbias[o] = (float)sum;
    }
}

const struct reference_op reference_linear = {forward_run, NULL};
const struct reference_op reference_linear_grad_data = {grad_data_run, NULL};
const struct reference_op reference_linear_grad_weight = {grad_weight_run, NULL};
