#include "tools/eval/efficientnet.h"

#include <stdio.h>

#include "engine/program.h"

/* Blocks alike, of which the first has the stride. */
static const struct level {
    int n_blocks, side, stride, expansion, channels;
} levels[] = {
    {1, 3, 1, 1, 16},  {2, 3, 2, 6, 24},  {2, 5, 2, 6, 40},  {3, 3, 2, 6, 80},
    {3, 5, 1, 6, 112}, {4, 5, 2, 6, 192}, {1, 3, 1, 6, 320},
};

enum { N_LEVELS = sizeof(levels) / sizeof(levels[0]), STEM_CHANNELS = 32, NAME_MAX_BYTES = 64 };

/* Zeros before and after `size` pixels, so that there are as many windows as strides begin. */
static void pad_same(int size, int side, int stride, int out[2])
{
    int windows = (size + stride - 1) / stride, total = (windows - 1) * stride + side - size;

    total = total > 0 ? total : 0;
    out[0] = total / 2;
    out[1] = total - out[0];
}

/* Of x from `in` channels to `out`; groups: in and out where each channel is for itself. */
static int append_convolution(struct program *p, const char *name, int x, int in, int out, int side,
                              int stride, int groups)
{
    char weight_name[NAME_MAX_BYTES], bias_name[NAME_MAX_BYTES];
    int weight, bias, pads[4] = {0};

    snprintf(weight_name, sizeof(weight_name), "%s.weight", name);
    snprintf(bias_name, sizeof(bias_name), "%s.bias", name);
    weight = program_parameter(p, weight_name,
                               shape_constant(4, (const int[]){out, in / groups, side, side}));
    bias = program_parameter(p, bias_name, shape_constant(1, &out));
    for (int axis = 0; axis < 2 && x >= 0; axis++)
        pad_same(program_value(p, x)->shape.dims[axis], side, stride, &pads[2 * axis]);
    return program_convolution_general(p, x, weight, bias, stride, pads, groups, VALUE_COMPUTE);
}

static int append_block(struct program *p, int number, const struct level *l, int x, int in,
                        int stride)
{
    const int wide = in * l->expansion;
    char name[NAME_MAX_BYTES];
    int y = x;

    if (l->expansion > 1) {
        snprintf(name, sizeof(name), "block%d.expand", number);
        y = program_relu6(p, append_convolution(p, name, y, in, wide, 1, 1, 1));
    }
    snprintf(name, sizeof(name), "block%d.depth", number);
    y = program_relu6(p, append_convolution(p, name, y, wide, wide, l->side, stride, wide));
    snprintf(name, sizeof(name), "block%d.project", number);
    y = append_convolution(p, name, y, wide, l->channels, 1, 1, 1);
    return stride == 1 && in == l->channels ? program_add(p, y, x, 1) : y;
}

int efficientnet_append(struct program *p, int x)
{
    int channels = STEM_CHANNELS, number = 0;

    x = program_relu6(p, append_convolution(p, "stem", x, 3, channels, 3, 2, 1));
    for (int i = 0; i < N_LEVELS; i++) {
        for (int k = 0; k < levels[i].n_blocks; k++) {
            x = append_block(p, number++, &levels[i], x, channels, k == 0 ? levels[i].stride : 1);
            channels = levels[i].channels;
        }
    }
    x = append_convolution(p, "head", x, channels, EFFICIENTNET_FEATURES, 1, 1, 1);
    return program_mean_pool(p, program_relu6(p, x));
}
