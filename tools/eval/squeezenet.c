#include "tools/eval/squeezenet.h"
#include "engine/program.h"

#include <stdio.h>

/* The fire modules 2 .. 9: channels after the squeeze and after each half of the expansion, and
 * whether a pool follows and whether it is one of the maps. */
static const struct fire {
    int squeeze, expand;
    bool pool, map;
} fires[] = {
    {16, 64, false, false}, {16, 64, true, true},   {32, 128, false, false}, {32, 128, true, true},
    {48, 192, false, true}, {48, 192, false, true}, {64, 256, false, true},  {64, 256, false, true},
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

/* Returns the last map. */
static int append_layers(struct program *p, int x, int maps[SQUEEZENET_MAPS])
{
    int channels = 64, n = 0;

    x = maps[n++] = append_convolution(p, "conv1", x, 3, channels, 3, 2, 0);
    x = append_pool(p, x);
    for (int i = 0; i < FIRES; i++) {
        x = append_fire(p, FIRE_FIRST + i, &fires[i], x, channels);
        channels = 2 * fires[i].expand;
        if (fires[i].map)
            maps[n++] = x;
        if (fires[i].pool)
            x = append_pool(p, x);
    }
    return x;
}

int squeezenet_append(struct program *p, int x)
{
    int maps[SQUEEZENET_MAPS];

    return program_mean_pool(p, append_layers(p, x, maps));
}

void squeezenet_append_maps(struct program *p, int x, int maps[SQUEEZENET_MAPS])
{
    append_layers(p, x, maps);
}
