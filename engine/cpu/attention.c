/* One-head attention over the positions of an image, one image after the other, forward in bands
 * of queries: the matrix products through oneDNN, what stands between them in own loops in float32.
 *
 * The gradient, with S = scale Q K^T, P = softmax(S), O = P V:
 *     dV = P^T dO    dP = dO V^T    dS = scale P (dP - rowsum(dP P))
 *     dQ = dS K      dK = dS^T Q
 */
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/kernel_memory.h"
#include "engine/cpu/loops.h"
#include "engine/cpu/onednn.h"

#include <errno.h>
#include <stdlib.h>

enum { PRODUCTS_MAX = 4 };
enum { BANDS = 4, BAND_ROWS_MIN = 32 };

/* The products of an image. */
enum forward_product { FORWARD_S, FORWARD_O };
enum grad_product { GRAD_V, GRAD_P, GRAD_Q, GRAD_K };

struct attention {
    struct kernel base;
    const struct row_loops *loops;
    int n, positions, channels;
    enum dtype type;
    float scale;
    size_t scores_bytes; /* [positions,positions] float32, in scratch */
    size_t square_bytes; /* the same of the type, in scratch */
    int n_bands;         /* forward: of the queries of an image */
    struct onednn_call *products[PRODUCTS_MAX];
};

static void attention_destroy(struct kernel *kernel)
{
    struct attention *a = (struct attention *)kernel;

    if (!a)
        return;
    for (int i = 0; i < PRODUCTS_MAX; i++)
        onednn_call_destroy(a->products[i]);
    free(a);
}

static int product_run(struct onednn_call *call, const void *a, const void *b, void *c,
                       void *scratch, struct error *err)
{
    const void *const args[] = {a, b, c};

    return onednn_call_run(call, args, scratch, err);
}

/* A band of an image's queries. */
static int attention_run(const struct kernel *kernel, int stage, int part,
                         const struct kernel_args *args, struct error *err)
{
    const struct attention *a = (const struct attention *)kernel;
    size_t positions = (size_t)a->positions, n_rows = positions / (size_t)a->n_bands;
    size_t first = (size_t)part * n_rows; /* query, of the batch */
    size_t image = (size_t)(part / a->n_bands) * positions;
    size_t row = (size_t)a->channels * dtype_size(a->type);
    const char *q = (const char *)args->in[0] + first * row;
    const char *k = (const char *)args->in[1] + image * row;
    const char *v = (const char *)args->in[2] + image * row;
    char *o = (char *)args->out[0] + first * row;
    char *p = (char *)args->out[1] + first * positions * dtype_size(a->type);
    char *rest = (char *)args->scratch + a->scores_bytes;
    int rc = product_run(a->products[FORWARD_S], q, k, args->scratch, rest, err);

    if (rc < 0)
        return rc;
    a->loops->softmax(args->scratch, n_rows, positions, a->scale, p, a->type);
    return product_run(a->products[FORWARD_O], p, v, o, rest, err);
}

static int attention_grad_run(const struct kernel *kernel, int stage, int part,
                              const struct kernel_args *args, struct error *err)
{
    const struct attention *a = (const struct attention *)kernel;
    size_t positions = (size_t)a->positions;
    size_t step = positions * (size_t)a->channels * dtype_size(a->type);
    size_t p_step = positions * positions * dtype_size(a->type);
    char *ds = (char *)args->scratch + a->scores_bytes;
    char *rest = ds + a->square_bytes;

    for (int i = 0; i < a->n; i++) {
        const char *q = (const char *)args->in[0] + i * step;
        const char *k = (const char *)args->in[1] + i * step;
        const char *v = (const char *)args->in[2] + i * step;
        const char *p = (const char *)args->in[3] + i * p_step;
        const char *d_o = (const char *)args->in[4] + i * step;
        int rc =
            product_run(a->products[GRAD_V], p, d_o, (char *)args->out[2] + i * step, rest, err);

        if (rc < 0)
            return rc;
        rc = product_run(a->products[GRAD_P], d_o, v, args->scratch, rest, err);
        if (rc < 0)
            return rc;
        a->loops->softmax_grad(args->scratch, p, positions, positions, a->scale, ds, a->type);
        rc = product_run(a->products[GRAD_Q], ds, k, (char *)args->out[0] + i * step, rest, err);
        if (rc < 0)
            return rc;
        rc = product_run(a->products[GRAD_K], ds, q, (char *)args->out[1] + i * step, rest, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static const struct kernel_ops attention_ops = {
    .run = attention_run,
    .destroy = attention_destroy,
};

static const struct kernel_ops attention_grad_ops = {
    .run = attention_grad_run,
    .destroy = attention_destroy,
};

/* c = a b; a and b of the kernel's type, c of c_type. Widens the kernel's scratch. */
static int product_create(struct cpu_device *device, struct attention *attention, int product,
                          struct onednn_matrix a, struct onednn_matrix b, enum dtype c_type,
                          const char *what, struct error *err)
{
    struct onednn_call **call = &attention->products[product];
    int rc = onednn_product_create(device, a, b, attention->type, c_type, what, call, err);

    if (rc == 0 && attention->base.scratch_bytes < onednn_call_scratch(*call))
        attention->base.scratch_bytes = onednn_call_scratch(*call);
    return rc;
}

/* NULL with err set when out of memory. */
static struct attention *attention_allocate(const struct kernel_spec *spec,
                                            const struct kernel_ops *ops, struct error *err)
{
    const struct tensor_desc *q = &spec->inputs[0];
    struct attention *a = kernel_allocate(spec->kind, sizeof(*a), ops, err);
    size_t square;

    if (!a)
        return NULL;
    a->loops = loops_best()->row;
    a->n = q->n;
    a->positions = q->shape.dims[0] * q->shape.dims[1];
    a->channels = q->shape.dims[2];
    a->type = q->dtype;
    a->scale = spec->attributes.attention.scale;
    square = (size_t)a->positions * (size_t)a->positions;
    a->scores_bytes = scratch_align(square * sizeof(float));
    a->square_bytes = scratch_align(square * dtype_size(a->type));
    return a;
}

int cpu_attention_create(struct cpu_device *device, const struct kernel_spec *spec,
                         struct kernel **out, struct error *err)
{
    const char *what = op_name(spec->kind);
    struct attention *a = attention_allocate(spec, &attention_ops, err);
    struct onednn_matrix queries, turned, scores, rows;
    int n_rows, rc;

    if (!a)
        return -ENOMEM;
    a->n_bands = BANDS;
    while (a->n_bands > 1 &&
           (a->positions % a->n_bands != 0 || a->positions / a->n_bands < BAND_ROWS_MIN))
        a->n_bands /= 2;
    n_rows = a->positions / a->n_bands;
    a->scores_bytes = scratch_align((size_t)n_rows * (size_t)a->positions * sizeof(float));
    a->base.n_parts[0] = a->n * a->n_bands;
    queries = (struct onednn_matrix){n_rows, a->channels, false};
    turned = (struct onednn_matrix){a->channels, a->positions, true};
    scores = (struct onednn_matrix){n_rows, a->positions, false};
    rows = (struct onednn_matrix){a->positions, a->channels, false};
    rc = product_create(device, a, FORWARD_S, queries, turned, DTYPE_F32, what, err);
    if (rc < 0)
        goto fail;
    rc = product_create(device, a, FORWARD_O, scores, rows, a->type, what, err);
    if (rc < 0)
        goto fail;
    a->base.scratch_bytes += a->scores_bytes;
    *out = &a->base;
    return 0;

fail:
    attention_destroy(&a->base);
    return rc;
}

int cpu_attention_grad_create(struct cpu_device *device, const struct kernel_spec *spec,
                              struct kernel **out, struct error *err)
{
    const char *what = op_name(spec->kind);
    struct attention *a = attention_allocate(spec, &attention_grad_ops, err);
    struct onednn_matrix rows, turned, square, turned_square;
    int rc;

    if (!a)
        return -ENOMEM;
    rows = (struct onednn_matrix){a->positions, a->channels, false};
    turned = (struct onednn_matrix){a->channels, a->positions, true};
    square = (struct onednn_matrix){a->positions, a->positions, false};
    turned_square = (struct onednn_matrix){a->positions, a->positions, true};
    rc = product_create(device, a, GRAD_V, turned_square, rows, a->type, what, err);
    if (rc < 0)
        goto fail;
    rc = product_create(device, a, GRAD_P, rows, turned, DTYPE_F32, what, err);
    if (rc < 0)
        goto fail;
    rc = product_create(device, a, GRAD_Q, square, rows, a->type, what, err);
    if (rc < 0)
        goto fail;
    rc = product_create(device, a, GRAD_K, turned_square, rows, a->type, what, err);
    if (rc < 0)
        goto fail;
    a->base.scratch_bytes += a->scores_bytes + a->square_bytes;
    *out = &a->base;
    return 0;

fail:
    attention_destroy(&a->base);
    return rc;
}
