/* The separable corruption y = a x b^T: two products of matrices.
 *
 * The second one mixes columns, whose channels lie too close together to fill a vector (c is 3).
 * So the image is transposed to [w,h',c] between the two, and back at the end: then both products
 * mix whole rows. */
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/loops.h"
#include "engine/cpu/tensors.h"
#include "engine/base/error.h"

#include <errno.h>

/* A matrix as struct product_loops.matrix reads it. */
struct factor {
    size_t row, column; /* strides */
    size_t image;       /* from one image's matrix to the next; 0 if all share one */
};

struct separable {
    struct kernel kernel; /* first: device.h */
    const struct cpu_loops *loops;
    int n;                 /* images */
    size_t h, w, c;        /* of x */
    size_t h_out, w_out;   /* of y */
    struct factor a, b;    /* a applied to rows, b to columns, transposed already */
    size_t scratch_floats; /* of each half of scratch */
};

static int separable_run(const struct kernel *kernel, int stage, int part,
                         const struct kernel_args *args, struct error *err)
{
    const struct separable *k = (const struct separable *)kernel;
    const struct product_loops *loops = k->loops->product;
    const float *x = args->in[0], *a = args->in[1], *b = args->in[2];
    float *y = args->out[0], *one = args->scratch, *two = one + k->scratch_floats;

    for (int i = 0; i < k->n; i++) {
        loops->matrix(a, k->a.row, k->a.column, x, one, k->h_out, k->h, k->w * k->c);
        loops->transpose(one, two, k->h_out, k->w, k->c);
        loops->matrix(b, k->b.row, k->b.column, two, one, k->w_out, k->w, k->h_out * k->c);
        loops->transpose(one, y, k->w_out, k->h_out, k->c);
        x += k->h * k->w * k->c;
        y += k->h_out * k->w_out * k->c;
        a += k->a.image;
        b += k->b.image;
    }
    return 0;
}

/* Reads a matrix [n_out,n_in], or [n_in,n_out] to be transposed. */
static bool factor_init(struct factor *f, const struct tensor_desc *tensor, int n, size_t n_out,
                        size_t n_in, bool transposed)
{
    const int *dims = tensor->shape.dims;

    if (tensor->dtype != DTYPE_F32 || tensor->absent || tensor->shape.n_dims != 2 ||
        (size_t)dims[transposed ? 1 : 0] != n_out || (size_t)dims[transposed ? 0 : 1] != n_in ||
        (tensor->shape.batched && tensor->n != n))
        return false;
    f->row = transposed ? 1 : n_in;
    f->column = transposed ? n_out : 1;
    f->image = tensor->shape.batched ? n_in * n_out : 0;
    return true;
}

int cpu_separable_create(struct cpu_device *device, const struct kernel_spec *spec,
                         struct kernel **out, struct error *err)
{
    static const struct kernel_ops ops = {.run = separable_run, .destroy = kernel_free};
    const struct tensor_desc *x = &spec->inputs[0], *y = &spec->outputs[0];
    bool transposed = spec->attributes.separable.transposed;
    struct separable *k;

    if (!tensor_is_image(x) || !tensor_is_image(y) || x->dtype != DTYPE_F32 ||
        y->dtype != DTYPE_F32 || x->n != y->n || x->shape.dims[2] != y->shape.dims[2])
        return tensor_refuse(spec, "x and y must be float32 images", err);
    k = kernel_allocate(spec, sizeof(*k), &ops, err);
    if (!k)
        return -ENOMEM;
    k->loops = loops_best();
    k->n = x->n;
    k->h = (size_t)x->shape.dims[0];
    k->w = (size_t)x->shape.dims[1];
    k->c = (size_t)x->shape.dims[2];
    k->h_out = (size_t)y->shape.dims[0];
    k->w_out = (size_t)y->shape.dims[1];
    if (!factor_init(&k->a, &spec->inputs[1], k->n, k->h_out, k->h, transposed) ||
        !factor_init(&k->b, &spec->inputs[2], k->n, k->w_out, k->w, transposed)) {
        kernel_free(&k->kernel);
        return tensor_refuse(spec, "the matrices do not fit the images", err);
    }
    /* `one` holds [h',w,c], then [w',h',c]; `two` holds [w,h',c]. */
    k->scratch_floats = k->h_out * k->c * (k->w > k->w_out ? k->w : k->w_out);
    k->scratch_floats = scratch_align(k->scratch_floats * sizeof(float)) / sizeof(float);
    k->kernel.scratch_bytes = 2 * k->scratch_floats * sizeof(float);
    *out = &k->kernel;
    return 0;
}
