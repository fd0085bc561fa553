/* The separable corruption y = a x b^T: two products of matrices.
 *
 * The second one mixes columns, whose channels lie too close together to fill a vector (c is 3).
 * So the image is transposed to [w,h',c] between the two, and back at the end: then both products
 * mix whole rows. */
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/loops.h"
#include "engine/cpu/kernel_memory.h"

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

/* A matrix [n_out,n_in], or [n_in,n_out] to be transposed. */
static struct factor factor_of(const struct tensor_desc *tensor, size_t n_out, size_t n_in,
                               bool transposed)
{
    return (struct factor){
        .row = transposed ? 1 : n_in,
        .column = transposed ? n_out : 1,
        .image = tensor->shape.batched ? n_in * n_out : 0,
    };
}

int cpu_separable_create(struct cpu_device *device, const struct kernel_spec *spec,
                         struct kernel **out, struct error *err)
{
    static const struct kernel_ops ops = {.run = separable_run, .destroy = kernel_free};
    const struct tensor_desc *x = &spec->inputs[0], *y = &spec->outputs[0];
    bool transposed = spec->attributes.separable.transposed;
    struct separable *k = kernel_allocate(spec->kind, sizeof(*k), &ops, err);

    if (!k)
        return -ENOMEM;
    k->loops = loops_best();
    k->n = x->n;
    k->h = (size_t)x->shape.dims[0];
    k->w = (size_t)x->shape.dims[1];
    k->c = (size_t)x->shape.dims[2];
    k->h_out = (size_t)y->shape.dims[0];
    k->w_out = (size_t)y->shape.dims[1];
    k->a = factor_of(&spec->inputs[1], k->h_out, k->h, transposed);
    k->b = factor_of(&spec->inputs[2], k->w_out, k->w, transposed);
    /* `one` holds [h',w,c], then [w',h',c]; `two` holds [w,h',c]. */
    k->scratch_floats = k->h_out * k->c * (k->w > k->w_out ? k->w : k->w_out);
    k->scratch_floats = scratch_align(k->scratch_floats * sizeof(float)) / sizeof(float);
    k->kernel.scratch_bytes = 2 * k->scratch_floats * sizeof(float);
    *out = &k->kernel;
    return 0;
}
