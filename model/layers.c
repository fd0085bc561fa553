#include "model/layers.h"
#include "engine/base/philox.h"
#include "engine/program.h"

#include <math.h>
#include <stdio.h>

static int parameter(struct layers *l, const char *leaf, const char *name, int n_dims,
                     const int *dims)
{
    char full[160];

    snprintf(full, sizeof(full), "%s%s%s", l->prefix, leaf, name);
    return program_parameter(l->p, full, shape_constant(n_dims, dims));
}

/* The last dimension of a value; 1 when the program is in error already. */
static int channels(const struct layers *l, int x)
{
    const struct shape *shape;

    if (x < 0)
        return 1;
    shape = &program_value(l->p, x)->shape;
    return shape->dims[shape->n_dims - 1];
}

int layers_convolution(struct layers *l, const char *leaf, int x, int out, int k, int stride,
                       int pad, enum value_type type)
{
    int weight = parameter(l, leaf, "weight", 4, (const int[]){out, channels(l, x), k, k});
    int bias = parameter(l, leaf, "bias", 1, &out);

    return program_convolution(l->p, x, weight, bias, stride, pad, type);
}

int layers_group_norm(struct layers *l, const char *leaf, int x, int shift, bool silu)
{
    int c = channels(l, x), groups = c / 4 < 32 ? c / 4 : 32;
    int gamma = parameter(l, leaf, "weight", 1, &c);
    int beta = parameter(l, leaf, "bias", 1, &c);

    return program_group_norm(l->p, x, gamma, beta, shift, groups, 1e-6f, silu);
}

int layers_linear(struct layers *l, const char *leaf, int x, int out)
{
    int weight = parameter(l, leaf, "weight", 2, (const int[]){out, channels(l, x)});
    int bias = parameter(l, leaf, "bias", 1, &out);

    return program_linear(l->p, x, weight, bias, false);
}

int layers_nin(struct layers *l, int i, int x, int out)
{
    char leaf[16];
    int weight, bias;

    snprintf(leaf, sizeof(leaf), "NIN_%d.", i);
    weight = parameter(l, leaf, "W", 2, (const int[]){channels(l, x), out});
    bias = parameter(l, leaf, "b", 1, &out);
    return program_linear(l->p, x, weight, bias, true);
}

/* (a + b) / sqrt 2, or a + b */
static int sum(struct layers *l, int a, int b)
{
    return program_add(l->p, a, b, network_is_ddpm(l->network) ? 1.0f : 0.70710678118654752f);
}

int layers_fir(struct layers *l, int x, enum layers_fir kind)
{
    static const float smooth[4] = {1, 3, 3, 1}, pair[4] = {0, 1, 1, 0}, one[4] = {0, 1, 0, 0};
    static const int pads[4][4] = {{2, 1, 2, 1}, {1, 1, 1, 1}, {2, 2, 2, 2}, {2, 2, 2, 2}};
    const float *taps = kind == LAYERS_FIR_PAD ? one : l->network == NETWORK_NCSNPP ? smooth : pair;
    float total = taps[0] + taps[1] + taps[2] + taps[3], kernel[16];

    if (kind == LAYERS_FIR_UP)
        total /= 2;
    for (int i = 0; i < 16; i++)
        kernel[i] = taps[i / 4] * taps[i % 4] / (total * total);
    return program_upfirdn(l->p, x, kernel, kind == LAYERS_FIR_UP ? 2 : 1,
                           kind == LAYERS_FIR_DOWN ? 2 : 1, pads[kind]);
}

static int dropout(struct layers *l, int x)
{
    int mask;

    if (l->mask >= 0)
        return program_multiply(l->p, x, l->mask);
    if (x < 0 || l->key < 0 || l->dropout == 0)
        return x;
    mask = program_dropout_mask(l->p, l->key, program_value(l->p, x)->shape,
                                (uint32_t)(PHILOX_STREAM_DROPOUT + l->n_dropout++), l->dropout);
    return program_multiply(l->p, x, mask);
}

int layers_res_block(struct layers *l, int x, int temb, int out, bool up, bool down)
{
    int in = channels(l, x);
    int h = layers_group_norm(l, "GroupNorm_0.", x, -1, true), shift;

    if (up || down) {
        h = layers_fir(l, h, up ? LAYERS_FIR_UP : LAYERS_FIR_DOWN);
        x = layers_fir(l, x, up ? LAYERS_FIR_UP : LAYERS_FIR_DOWN);
    }
    h = layers_convolution(l, "Conv_0.", h, out, 3, 1, 1, VALUE_COMPUTE);
    shift = layers_linear(l, "Dense_0.", temb, out);
    h = layers_group_norm(l, "GroupNorm_1.", h, shift, true);
    h = layers_convolution(l, "Conv_1.", dropout(l, h), out, 3, 1, 1, VALUE_COMPUTE);
    if (network_is_ddpm(l->network) && in != out)
        x = layers_nin(l, 0, x, out);
    else if (in != out || up || down)
        x = layers_convolution(l, "Conv_2.", x, out, 1, 1, 0, VALUE_COMPUTE);
    return sum(l, x, h);
}

int layers_attention_block(struct layers *l, int x)
{
    int c = channels(l, x), h = layers_group_norm(l, "GroupNorm_0.", x, -1, false);
    int q = layers_nin(l, 0, h, c), k = layers_nin(l, 1, h, c), v = layers_nin(l, 2, h, c);

    h = program_attention(l->p, q, k, v, 1.0f / sqrtf((float)c));
    return sum(l, x, layers_nin(l, 3, h, c));
}

int layers_pyramid_down(struct layers *l, int x, int out)
{
    return layers_convolution(l, "Conv2d_0.", layers_fir(l, x, LAYERS_FIR_SMOOTH), out, 3, 2, 0,
                              VALUE_COMPUTE);
}

int layers_down(struct layers *l, int x)
{
    return layers_convolution(l, "Conv_0.", layers_fir(l, x, LAYERS_FIR_PAD), channels(l, x), 3, 2,
                              0, VALUE_COMPUTE);
}

int layers_up(struct layers *l, int x)
{
    return layers_convolution(l, "Conv_0.", layers_fir(l, x, LAYERS_FIR_UP), channels(l, x), 3, 1,
                              1, VALUE_COMPUTE);
}
