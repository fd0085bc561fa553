#include "engine/joining.h"
#include "engine/device.h"

enum { VECTOR = 4, PACK_BYTES = 16 }; /* elements and bytes that a thread has at a time */

/* What an operation that works element by element writes, or where that is state, reads. */
static const struct tensor_desc *elements_of(const struct kernel_spec *spec)
{
    return spec->kind == OP_STORE ? &spec->inputs[0] : &spec->outputs[0];
}

static bool is_pointwise(const struct kernel_spec *spec)
{
    const struct tensor_desc *elements = elements_of(spec);
    bool fits = elements->shape.batched && shape_count(&elements->shape) % VECTOR == 0;

    switch (spec->kind) {
    case OP_LOAD:
    case OP_STORE:
    case OP_NORMAL:
    case OP_MIX:
    case OP_ADD:
    case OP_AFFINE:
    case OP_PIXELS:
        return fits;
    default:
        return false;
    }
}

/* Coefficients, slots and keys are read whole: they are none of the images that are written here. */
static bool is_alike(const struct kernel_spec *a, const struct kernel_spec *b)
{
    const struct tensor_desc *x = elements_of(a), *y = elements_of(b);
    size_t count = shape_count(&x->shape);

    for (int i = 0; i < b->n_inputs; i++) {
        const struct tensor_desc *input = &b->inputs[i];

        if (!input->absent && !input->state && shape_count(&input->shape) == count &&
            !shape_equal(&input->shape, &y->shape))
            return false;
    }
    return x->n == y->n && count == shape_count(&y->shape);
}

/* A pack lies in one of the two sources. */
static bool is_joined_norm(const struct kernel_spec *concat, const struct kernel_spec *norm)
{
    const int elements = PACK_BYTES / (int)dtype_size(norm->inputs[0].dtype);
    const int channels = norm->inputs[0].shape.dims[2];

    return concat->inputs[0].shape.dims[2] % elements == 0 && channels % elements == 0 &&
           channels / elements <= NORM_JOINED_PACKS_MAX;
}

static bool is_vectors(const struct kernel_spec *spec)
{
    return spec->inputs[0].shape.n_dims == 1 && spec->inputs[0].dtype == DTYPE_F32 &&
           spec->outputs[0].dtype == DTYPE_F32 && !spec->attributes.linear.in_first;
}

static bool is_same_toeplitz(const struct kernel_spec *a, const struct kernel_spec *b)
{
    return a->inputs[0].n == b->inputs[0].n &&
           shape_equal(&a->inputs[0].shape, &b->inputs[0].shape);
}

bool specs_join(const struct kernel_spec *a, const struct kernel_spec *b,
                const struct step_link *link)
{
    if (a->kind == OP_CONCAT && b->kind == OP_GROUP_NORM)
        return link->reads && link->n == 1 && is_joined_norm(a, b);
    if (a->kind == OP_TOEPLITZ && b->kind == OP_TOEPLITZ)
        return link->apart && link->n < TOEPLITZ_JOINED_MAX && is_same_toeplitz(a, b);
    if (a->kind == OP_LINEAR && b->kind == OP_LINEAR)
        return link->apart && link->shares && link->n < VECTORS_JOINED_MAX && is_vectors(a) &&
               is_vectors(b);
    return is_pointwise(a) && is_pointwise(b) && link->n < POINTWISE_JOINED_MAX && is_alike(a, b);
}
