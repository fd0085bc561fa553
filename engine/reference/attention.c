#include "engine/reference/reference_ops.h"

#include <math.h>

/* positions = hw, c channels */
struct heads {
    int n, positions, c;
    double scale;
};

static struct heads heads_of(const struct kernel_spec *spec)
{
    const struct tensor_desc *q = &spec->inputs[0];
    struct heads s = {
        .n = q->n,
        .positions = q->shape.dims[0] * q->shape.dims[1],
        .c = q->shape.dims[2],
        .scale = spec->attributes.attention.scale,
    };

    return s;
}

static double dot(const float *a, const float *b, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

/* Scratch: one row of p in double. */
static size_t forward_scratch_bytes(const struct kernel_spec *spec)
{
    return (size_t)heads_of(spec).positions * sizeof(double);
}

static void forward_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                        void *scratch)
{
    const struct heads s = heads_of(spec);
    double *row = scratch;

    for (int n = 0; n < s.n; n++) {
        const int image = n * s.positions * s.c;
        const float *q = (const float *)in[0] + image, *k = (const float *)in[1] + image;
        const float *v = (const float *)in[2] + image;
        float *o = (float *)out[0] + image;
        float *p = (float *)out[1] + n * s.positions * s.positions;

        for (int i = 0; i < s.positions; i++) {
            double largest = -INFINITY, total = 0;

            for (int j = 0; j < s.positions; j++) {
                row[j] = s.scale * dot(&q[i * s.c], &k[j * s.c], s.c);
                largest = fmax(largest, row[j]);
            }
            for (int j = 0; j < s.positions; j++) {
                row[j] = exp(row[j] - largest);
                total += row[j];
            }
            for (int j = 0; j < s.positions; j++) {
                row[j] /= total;
                p[i * s.positions + j] = (float)row[j];
            }
            for (int c = 0; c < s.c; c++) {
                double sum = 0;

                for (int j = 0; j < s.positions; j++)
                    sum += row[j] * v[j * s.c + c];
                o[i * s.c + c] = (float)sum;
            }
        }
    }
}

/* Scratch: the gradient of the logits of one image in double. */
static size_t grad_scratch_bytes(const struct kernel_spec *spec)
{
    size_t positions = (size_t)heads_of(spec).positions;

    return positions * positions * sizeof(double);
}

static void grad_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                     void *scratch)
{
    const struct heads s = heads_of(spec);
    double *dlogits = scratch;

    for (int n = 0; n < s.n; n++) {
        const int image = n * s.positions * s.c;
        const float *q = (const float *)in[0] + image, *k = (const float *)in[1] + image;
        const float *v = (const float *)in[2] + image;
        const float *p = (const float *)in[3] + n * s.positions * s.positions;
        const float *d_o = (const float *)in[4] + image;
        float *dq = (float *)out[0] + image, *dk = (float *)out[1] + image;
        float *dv = (float *)out[2] + image;

        for (int i = 0; i < s.positions; i++) {
            const float *p_row = &p[i * s.positions];
            double *d_row = &dlogits[i * s.positions], mean = 0;

            for (int j = 0; j < s.positions; j++) {
                d_row[j] = dot(&d_o[i * s.c], &v[j * s.c], s.c);
                mean += p_row[j] * d_row[j];
            }
            for (int j = 0; j < s.positions; j++)
                d_row[j] = p_row[j] * (d_row[j] - mean);
        }
        for (int i = 0; i < s.positions; i++) {
            for (int c = 0; c < s.c; c++) {
                double sum_q = 0, sum_k = 0, sum_v = 0;

                for (int j = 0; j < s.positions; j++) {
                    sum_q += dlogits[i * s.positions + j] * k[j * s.c + c];
                    sum_k += dlogits[j * s.positions + i] * q[j * s.c + c];
                    sum_v += (double)p[j * s.positions + i] * d_o[j * s.c + c];
                }
                dq[i * s.c + c] = (float)(s.scale * sum_q);
                dk[i * s.c + c] = (float)(s.scale * sum_k);
                dv[i * s.c + c] = (float)sum_v;
            }
        }
    }
}

const struct reference_op reference_attention = {forward_run, forward_scratch_bytes};
const struct reference_op reference_attention_grad = {grad_run, grad_scratch_bytes};
