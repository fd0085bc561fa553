#include "tools/eval/face_network.h"

#include <stdio.h>

#include "engine/program.h"

/* Blocks of two convolutions beside a shortcut; of a level that begins with `down`, the first has
 * stride 2. */
static const struct level {
    int channels, n_blocks;
    bool down;
} levels[] = {
    {32, 3, false}, {64, 4, true}, {128, 3, true}, {256, 3, true}, {256, 1, true},
};

enum { N_LEVELS = sizeof(levels) / sizeof(levels[0]), FIRST_CHANNELS = 32, NAME_MAX_BYTES = 64 };

static int append_convolution(struct program *p, const char *name, int x, int in, int out, int k,
                              int stride, int pad)
{
    char weight_name[NAME_MAX_BYTES], bias_name[NAME_MAX_BYTES];
    const int pads[4] = {pad, pad, pad, pad};
    int weight, bias;

    snprintf(weight_name, sizeof(weight_name), "%s.weight", name);
    snprintf(bias_name, sizeof(bias_name), "%s.bias", name);
    weight = program_parameter(p, weight_name, shape_constant(4, (const int[]){out, in, k, k}));
    bias = program_parameter(p, bias_name, shape_constant(1, &out));
    return program_convolution_general(p, x, weight, bias, stride, pads, 1, VALUE_COMPUTE);
}

/* h or w of a value of images; 0 after an error. */
static int extent(const struct program *p, int x, int axis)
{
    return x < 0 ? 0 : program_value(p, x)->shape.dims[axis];
}

/* Means of 2 x 2 pixels. An odd row or column at the end is dropped. */
static int append_halving(struct program *p, int x)
{
    static const int pad[4] = {0, 2, 0, 2};
    float kernel[16] = {0};

    /* A true convolution: the last taps of the kernel meet the first pixels of a window. */
    kernel[10] = kernel[11] = kernel[14] = kernel[15] = 0.25f;
    return program_upfirdn(p, x, kernel, 1, 2, pad);
}

/* Zeros below and to the right, up to h x w. */
static int append_zeros(struct program *p, int x, int h, int w)
{
    const int bottom = h - extent(p, x, 0), right = w - extent(p, x, 1);
    const int pad[4] = {0, 3 + bottom, 0, 3 + right};
    float kernel[16] = {0};

    if (bottom == 0 && right == 0)
        return x;
    kernel[15] = 1;
    return program_upfirdn(p, x, kernel, 1, 1, pad);
}

/* x with as many channels again that are 0. */
static int append_empty_channels(struct program *p, int x)
{
    return program_concat(p, x, program_affine(p, x, 0, 0, VALUE_COMPUTE));
}

/* Sums are of the larger size in each dimension, with zeros where one of the terms ends. */
static int append_block(struct program *p, int number, int x, int in, int out, bool down)
{
    char name[NAME_MAX_BYTES];
    int y, h, w;

    snprintf(name, sizeof(name), "block%d.conv1", number);
    y = program_relu(p, append_convolution(p, name, x, in, out, 3, down ? 2 : 1, down ? 0 : 1));
    snprintf(name, sizeof(name), "block%d.conv2", number);
    y = append_convolution(p, name, y, out, out, 3, 1, 1);
    if (down)
        x = append_halving(p, x);
    if (in < out)
        x = append_empty_channels(p, x);
    h = extent(p, x, 0) > extent(p, y, 0) ? extent(p, x, 0) : extent(p, y, 0);
    w = extent(p, x, 1) > extent(p, y, 1) ? extent(p, x, 1) : extent(p, y, 1);
    return program_relu(p, program_add(p, append_zeros(p, y, h, w), append_zeros(p, x, h, w), 1));
}

int face_network_append(struct program *p, int x)
{
    int channels = FIRST_CHANNELS, number = 1, weight;

    x = program_relu(p, append_convolution(p, "first", x, 3, channels, 7, 2, 0));
    x = program_max_pool(p, x, 3, 2);
    for (int i = 0; i < N_LEVELS; i++) {
        for (int k = 0; k < levels[i].n_blocks; k++) {
            x = append_block(p, number++, x, channels, levels[i].channels,
                             levels[i].down && k == 0);
            channels = levels[i].channels;
        }
    }
    x = program_mean_pool(p, x);
    weight = program_parameter(p, "fc.weight",
                               shape_constant(2, (const int[]){channels, FACE_NETWORK_FEATURES}));
    return program_linear(p, x, weight, -1, true);
}
