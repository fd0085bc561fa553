#include "tools/eval/squeezenet.h"
#include "engine/program.h"

#include <stdio.h>

/* The fire modules 2 .. 9: channels after the squeeze and after each half of the expansion, and
 * whether a pool follows. */
static const struct fire {
    int squeeze, expand;
    bool pool;
} fires[] = {
    {16, 64, false},  {16, 64, true},   {32, 128, false}, {32, 128, true},
    {48, 192, false}, {48, 192, false}, {64, 256, false}, {64, 256, false},
};

enum { FIRES = sizeof(fires) / sizeof(fires[0]), FIRE_FIRST = 2 };

static int append_pool(struct program *p, int x)
{
    return program_max_pool(p, x, 3, 2);
}

/* max(0, convolution of x from `in` channels to `out`) */
static int append_convolution(struct program *p, const char *name, int x, int in, int out, int side,
                              int stride, int pad)
{
    char weight_name[64], bias_name[64];
    int weight, bias;

    snprintf(weight_name, sizeof(weight_name), "%s.weight", name);
    snprintf(bias_name, sizeof(bias_name), "%s.bias", name);
    weight =
        program_parameter(p, weight_name, shape_constant(4, (const int[]){out, in, side, side}));
    bias = program_parameter(p, bias_name, shape_constant(1, &out));
    return program_relu(p, program_convolution(p, x, weight, bias, stride, pad, VALUE_COMPUTE));
}

static int append_fire(struct program *p, int number, const struct fire *fire, int x, int in)
{
    char name[32];
    int squeezed, narrow, wide;

    snprintf(name, sizeof(name), "fire%d.squeeze1x1", number);
    squeezed = append_convolution(p, name, x, in, fire->squeeze, 1, 1, 0);
    snprintf(name, sizeof(name), "fire%d.expand1x1", number);
    narrow = append_convolution(p, name, squeezed, fire->squeeze, fire->expand, 1, 1, 0);
    snprintf(name, sizeof(name), "fire%d.expand3x3", number);
    wide = append_convolution(p, name, squeezed, fire->squeeze, fire->expand, 3, 1, 1);
    return program_concat(p, narrow, wide);
}

int squeezenet_append(struct program *p, int x)
{
    int channels = 64;

    x = append_pool(p, append_convolution(p, "conv1", x, 3, channels, 3, 2, 0));
    for (int i = 0; i < FIRES; i++) {
        x = append_fire(p, FIRE_FIRST + i, &fires[i], x, channels);
        channels = 2 * fires[i].expand;
        if (fires[i].pool)
            x = append_pool(p, x);
    }
    return program_mean_pool(p, x);
}
