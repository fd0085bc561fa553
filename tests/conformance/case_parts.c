#include "tests/conformance/case_parts.h"

#include <math.h>

struct fill fill_of(enum content content)
{
    static const struct fill fills[] = {
        [RANDOM] = {1, 0, false, 0, false},      [ZERO] = {0, 0, false, 0, false},
        [CONSTANT] = {0, 0.7f, false, 0, false}, [LARGE] = {1e15f, 0, false, 0, false},
        [SMALL] = {1e-30f, 0, false, 0, false},  [OFFSET] = {1e-2f, 10, false, 0, false},
        [STRONG] = {4, 0, false, 0, false},
    };

    return fills[content];
}

struct fill fill_weight(int fan_in)
{
    struct fill fill = {.scale = 1 / sqrtf((float)fan_in)};

    return fill;
}

const struct fill unit_fill = {1, 0, false, 0, false};

struct tensor_desc desc_batched(enum dtype dtype, int n, int n_dims, int d0, int d1, int d2)
{
    struct tensor_desc desc = {
        .dtype = dtype,
        .shape = {.batched = true, .n_dims = n_dims, .dims = {d0, d1, d2}},
        .n = n,
    };

    return desc;
}

struct tensor_desc desc_images(enum dtype dtype, int n, int h, int w, int c)
{
    return desc_batched(dtype, n, 3, h, w, c);
}

struct tensor_desc desc_vectors(enum dtype dtype, int n, int c)
{
    return desc_batched(dtype, n, 1, c, 0, 0);
}

struct tensor_desc desc_parameter(int n_dims, int d0, int d1, int d2, int d3)
{
    struct tensor_desc desc = {
        .dtype = DTYPE_F32,
        .parameter = true,
        .shape = {.n_dims = n_dims, .dims = {d0, d1, d2, d3}},
        .n = 1,
    };

    return desc;
}

struct tensor_desc desc_sum(struct tensor_desc of_parameter)
{
    of_parameter.parameter = false;
    return of_parameter;
}

void case_input(struct op_case *c, struct tensor_desc desc, struct fill fill)
{
    c->fill[c->spec.n_inputs] = fill;
    c->spec.inputs[c->spec.n_inputs++] = desc;
}

void case_optional_input(struct op_case *c, bool present, struct tensor_desc desc, struct fill fill)
{
    desc.absent = !present;
    case_input(c, desc, fill);
}

void case_output(struct op_case *c, struct tensor_desc desc)
{
    c->spec.outputs[c->spec.n_outputs++] = desc;
}
