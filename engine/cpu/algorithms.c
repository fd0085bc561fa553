#include "engine/cpu/algorithms.h"
#include "engine/cpu/convolution.h"
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/padded.h"
#include "engine/cpu/winograd.h"

struct algorithm {
    const char *name;
    int (*create)(struct cpu_device *device, const struct convolution_shape *shape,
                  struct kernel **out, struct error *err);
};

/* x and y are the tensors in their places, w the weight or its gradient. */
static struct convolution_shape shape_of(const struct kernel_spec *spec,
                                         const struct tensor_desc *x, const struct tensor_desc *y,
                                         const struct tensor_desc *weight)
{
    return (struct convolution_shape){
        .kind = spec->kind,
        .n = x->n,
        .x_h = x->shape.dims[0],
        .x_w = x->shape.dims[1],
        .x_c = x->shape.dims[2],
        .y_h = y->shape.dims[0],
        .y_w = y->shape.dims[1],
        .y_c = y->shape.dims[2],
        .x_type = x->dtype,
        .y_type = y->dtype,
        .k_h = weight->shape.dims[2],
        .k_w = weight->shape.dims[3],
        .groups = 1,
        .stride = spec->attributes.window.stride,
        .pad = spec->attributes.window.pad,
        .pad_top = spec->attributes.window.pad,
    };
}

/* x and y of a convolution or a gradient of one. */
static struct convolution_shape shape_of_spec(const struct kernel_spec *spec)
{
    struct convolution_shape shape;

    switch (spec->kind) {
    case OP_CONVOLUTION_GRAD_DATA:
        return shape_of(spec, &spec->outputs[0], &spec->inputs[0], &spec->inputs[1]);
    case OP_CONVOLUTION_GRAD_WEIGHT:
        shape = shape_of(spec, &spec->inputs[0], &spec->inputs[1], &spec->outputs[0]);
        shape.bias = spec->n_outputs > 1 && !spec->outputs[1].absent;
        return shape;
    default:
        shape = shape_of(spec, &spec->inputs[0], &spec->outputs[0], &spec->inputs[1]);
        shape.bias = spec->n_inputs > 2 && !spec->inputs[2].absent;
        shape.residual = spec->kind == OP_CONVOLUTION_ADD;
        shape.scale = spec->attributes.add.scale;
        return shape;
    }
}

int cpu_convolution_general_create(struct cpu_device *device, const struct kernel_spec *spec,
                                   struct kernel **out, struct error *err)
{
    struct convolution_shape shape =
        shape_of(spec, &spec->inputs[0], &spec->outputs[0], &spec->inputs[1]);

    shape.stride = spec->attributes.general.stride;
    shape.pad_top = spec->attributes.general.pad[0];
    shape.pad = spec->attributes.general.pad[2];
    shape.groups = spec->attributes.general.groups;
    shape.bias = spec->n_inputs > 2 && !spec->inputs[2].absent;
    return convolution_forward_create(device, &shape, out, err);
}

static struct algorithm winograd_of(enum op_kind kind)
{
    return (struct algorithm){"winograd",
                              kind == OP_CONVOLUTION_GRAD_DATA     ? winograd_backward_data_create
                              : kind == OP_CONVOLUTION_GRAD_WEIGHT ? winograd_backward_weight_create
                                                                   : winograd_forward_create};
}

static struct algorithm direct_of(enum op_kind kind)
{
    return (struct algorithm){"direct", kind == OP_CONVOLUTION_GRAD_DATA
                                            ? convolution_backward_data_create
                                        : kind == OP_CONVOLUTION_GRAD_WEIGHT
                                            ? convolution_backward_weight_create
                                            : convolution_forward_create};
}

static bool is_forward(enum op_kind kind)
{
    return kind == OP_CONVOLUTION || kind == OP_CONVOLUTION_ADD;
}

/* In the order of preference. Winograd's algorithm saves products, which AMX has plenty of. */
static int algorithms_list(const struct cpu_device *device, const struct convolution_shape *shape,
                           struct algorithm list[DEVICE_ALGORITHMS_MAX])
{
    bool winograd = winograd_suits(shape);
    int n = 0;

    if (winograd && !device->amx)
        list[n++] = winograd_of(shape->kind);
    list[n++] = direct_of(shape->kind);
    if (is_forward(shape->kind) && convolution_has_bands(shape))
        list[n++] = (struct algorithm){"whole", convolution_whole_create};
    if (winograd && device->amx)
        list[n++] = winograd_of(shape->kind);
    if (padded_suits(shape))
        list[n++] = (struct algorithm){"winograd-padded", padded_create};
    return n;
}

static bool is_convolution(enum op_kind kind)
{
    return is_forward(kind) || kind == OP_CONVOLUTION_GRAD_DATA ||
           kind == OP_CONVOLUTION_GRAD_WEIGHT;
}

int cpu_algorithms(struct device *device, const struct kernel_spec *spec,
                   const char *names[DEVICE_ALGORITHMS_MAX])
{
    struct algorithm list[DEVICE_ALGORITHMS_MAX];
    struct convolution_shape shape;
    int n;

    if (!is_convolution(spec->kind))
        return 0;
    shape = shape_of_spec(spec);
    n = algorithms_list((const struct cpu_device *)device, &shape, list);
    for (int i = 0; i < n; i++)
        names[i] = list[i].name;
    return n;
}

int cpu_convolution_create(struct cpu_device *device, const struct kernel_spec *spec,
                           struct kernel **out, struct error *err)
{
    struct convolution_shape shape = shape_of_spec(spec);
    struct algorithm list[DEVICE_ALGORITHMS_MAX];
    const char *names[DEVICE_ALGORITHMS_MAX];
    int n = algorithms_list(device, &shape, list), i;

    for (i = 0; i < n; i++)
        names[i] = list[i].name;
    i = device_algorithm_of((struct device *)device, spec, n, names, err);
    return i < 0 ? i : list[i].create(device, &shape, out, err);
}
