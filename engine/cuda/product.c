#include "engine/cuda/product.h"
#include "engine/op.h"

static bool is_there(int n, const struct tensor_desc *tensors, int i)
{
    return i < n && !tensors[i].absent;
}

/* x and y are the tensors in their places, or their gradients. */
static void set_tensors(struct product *p, const struct tensor_desc *x, const struct tensor_desc *y)
{
    const int *x_dims = x->shape.dims, *y_dims = y->shape.dims;
    int n_x = x->shape.n_dims, n_y = y->shape.n_dims;

    p->n = x->n;
    p->x_h = n_x > 1 ? x_dims[0] : 1;
    p->x_w = n_x > 2 ? x_dims[1] : 1;
    p->x_c = x_dims[n_x - 1];
    p->y_h = n_y > 1 ? y_dims[0] : 1;
    p->y_w = n_y > 2 ? y_dims[1] : 1;
    p->y_c = y_dims[n_y - 1];
    for (int i = 2; i < n_x - 1;
         i++) /* a linear operation does not care how positions are laid out */
        p->x_w *= x_dims[i];
    for (int i = 2; i < n_y - 1; i++)
        p->y_w *= y_dims[i];
    p->x_type = x->dtype;
    p->y_type = y->dtype;
}

static void set_window(struct product *p, const struct kernel_spec *spec,
                       const struct tensor_desc *weight)
{
    const int *pad = spec->attributes.general.pad;

    p->window_h = weight->shape.dims[2];
    p->window_w = weight->shape.dims[3];
    if (spec->kind == OP_CONVOLUTION_GENERAL) {
        p->stride = spec->attributes.general.stride;
        p->groups = spec->attributes.general.groups;
    } else {
        p->stride = spec->attributes.window.stride;
    }
    for (int i = 0; i < 4; i++)
        p->pad[i] = spec->kind == OP_CONVOLUTION_GENERAL ? pad[i] : spec->attributes.window.pad;
}

bool product_of(const struct kernel_spec *spec, struct product *out)
{
    const struct tensor_desc *in = spec->inputs, *to = spec->outputs;
    struct product p = {.window_h = 1, .window_w = 1, .stride = 1, .groups = 1, .scale = 1};

    switch (spec->kind) {
    case OP_CONVOLUTION:
    case OP_CONVOLUTION_ADD:
    case OP_CONVOLUTION_GENERAL:
    case OP_LINEAR:
        p.kind = PRODUCT_FORWARD;
        set_tensors(&p, &in[0], &to[0]);
        p.bias = is_there(spec->n_inputs, in, 2);
        break;
    case OP_CONVOLUTION_GRAD_DATA:
    case OP_LINEAR_GRAD_DATA:
        p.kind = PRODUCT_GRAD_DATA;
        set_tensors(&p, &to[0], &in[0]);
        break;
    case OP_CONVOLUTION_GRAD_WEIGHT:
    case OP_LINEAR_GRAD_WEIGHT:
        p.kind = PRODUCT_GRAD_WEIGHT;
        set_tensors(&p, &in[0], &in[1]);
        p.bias = is_there(spec->n_outputs, to, 1);
        break;
    default:
        return false;
    }
    if (spec->kind == OP_CONVOLUTION_GRAD_WEIGHT)
        set_window(&p, spec, &to[0]);
    else if (spec->kind == OP_CONVOLUTION || spec->kind == OP_CONVOLUTION_ADD ||
             spec->kind == OP_CONVOLUTION_GENERAL || spec->kind == OP_CONVOLUTION_GRAD_DATA)
        set_window(&p, spec, &in[1]);
    if (spec->kind == OP_CONVOLUTION_ADD) {
        p.residual = true;
        p.scale = spec->attributes.add.scale;
    }
    *out = p;
    return true;
}
