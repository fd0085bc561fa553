/* NCSN++ written down in the order of the reference's forward(), which is also the order of its
 * modules. `next` counts all_modules.
 */
#include "model/ncsnpp.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/parameters.h"
#include "engine/program.h"
#include "model/architecture.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SKIPS_MAX = ARCHITECTURE_LEVELS_MAX * 17 + 1 };

static const float inverse_root_2 = 0.70710678118654752f;

struct build {
    struct program *p;
    const struct architecture *a;
    int next;      /* index of the next module */
    int temb;      /* SiLU(temb) [n, 4nf], what every block's Dense_0 reads */
    int key;       /* of the dropout masks, -1: none */
    int n_dropout; /* masks so far */
    int *modules;  /* outputs, may be NULL */
};

/* Declares a parameter of the module being built, e.g. ("Conv_0.weight", 4, {o, i, 3, 3}). */
static int parameter(struct build *b, const char *leaf, int n_dims, const int *dims)
{
    char name[96];

    snprintf(name, sizeof(name), "all_modules.%d.%s", b->next, leaf);
    return program_parameter(b->p, name, shape_constant(n_dims, dims));
}

/* Ends a module: keeps its output and counts on. */
static int module(struct build *b, int output)
{
    if (b->modules && b->next < NCSNPP_MODULES_MAX)
        b->modules[b->next] = output;
    b->next++;
    return output;
}

static int channels(const struct build *b, int x)
{
    return x < 0 ? 1 : program_value(b->p, x)->shape.dims[2];
}

static int side(const struct build *b, int x)
{
    return x < 0 ? 1 : program_value(b->p, x)->shape.dims[0];
}

static int convolution(struct build *b, const char *leaf, int x, int out, int k, int stride,
                       int pad, enum value_type type)
{
    char name[64];
    int weight, bias;

    snprintf(name, sizeof(name), "%sweight", leaf);
    weight = parameter(b, name, 4, (const int[]){out, channels(b, x), k, k});
    snprintf(name, sizeof(name), "%sbias", leaf);
    bias = parameter(b, name, 1, &out);
    return program_convolution(b->p, x, weight, bias, stride, pad, type);
}

static int group_norm(struct build *b, const char *leaf, int x, int shift, bool silu)
{
    char name[64];
    int c = channels(b, x), groups = c / 4 < 32 ? c / 4 : 32, gamma, beta;

    snprintf(name, sizeof(name), "%sweight", leaf);
    gamma = parameter(b, name, 1, &c);
    snprintf(name, sizeof(name), "%sbias", leaf);
    beta = parameter(b, name, 1, &c);
    return program_group_norm(b->p, x, gamma, beta, shift, groups, 1e-6f, silu);
}

static int linear(struct build *b, const char *leaf, int x, int in, int out)
{
    char name[64];
    int weight, bias;

    snprintf(name, sizeof(name), "%sweight", leaf);
    weight = parameter(b, name, 2, (const int[]){out, in});
    snprintf(name, sizeof(name), "%sbias", leaf);
    bias = parameter(b, name, 1, &out);
    return program_linear(b->p, x, weight, bias, false);
}

/* "network in network": a 1x1 product whose matrix is stored [in,out]. */
static int nin(struct build *b, int i, int x)
{
    char name[64];
    int c = channels(b, x), weight, bias;

    snprintf(name, sizeof(name), "NIN_%d.W", i);
    weight = parameter(b, name, 2, (const int[]){c, c});
    snprintf(name, sizeof(name), "NIN_%d.b", i);
    bias = parameter(b, name, 1, &c);
    return program_linear(b->p, x, weight, bias, true);
}

/* [1,3,3,1] in both directions: up by 2, down by 2, or 1:1 one pixel larger. */
enum fir { FIR_UP, FIR_DOWN, FIR_SMOOTH };

static int fir(struct build *b, int x, enum fir kind)
{
    static const float taps[4] = {1, 3, 3, 1};
    static const int pads[3][4] = {{2, 1, 2, 1}, {1, 1, 1, 1}, {2, 2, 2, 2}};
    float kernel[16];

    for (int i = 0; i < 16; i++)
        kernel[i] = taps[i / 4] * taps[i % 4] / (kind == FIR_UP ? 16.0f : 64.0f);
    return program_upfirdn(b->p, x, kernel, kind == FIR_UP ? 2 : 1, kind == FIR_DOWN ? 2 : 1,
                           pads[kind]);
}

/* ResnetBlockBigGANpp, with resampling or without. */
static int res_block(struct build *b, int x, int out, bool up, bool down)
{
    int in = channels(b, x);
    int h = group_norm(b, "GroupNorm_0.", x, -1, true), shift;

    if (up || down) {
        h = fir(b, h, up ? FIR_UP : FIR_DOWN);
        x = fir(b, x, up ? FIR_UP : FIR_DOWN);
    }
    h = convolution(b, "Conv_0.", h, out, 3, 1, 1, VALUE_COMPUTE);
    shift = linear(b, "Dense_0.", b->temb, 4 * b->a->nf, out);
    h = group_norm(b, "GroupNorm_1.", h, shift, true);
    if (b->key >= 0 && b->a->dropout > 0 && h >= 0) {
        int mask =
            program_dropout_mask(b->p, b->key, program_value(b->p, h)->shape,
                                 (uint32_t)(PHILOX_STREAM_DROPOUT + b->n_dropout++), b->a->dropout);

        h = program_multiply(b->p, h, mask);
    }
    h = convolution(b, "Conv_1.", h, out, 3, 1, 1, VALUE_COMPUTE);
    if (in != out || up || down)
        x = convolution(b, "Conv_2.", x, out, 1, 1, 0, VALUE_COMPUTE);
    return module(b, program_add(b->p, x, h, inverse_root_2));
}

/* AttnBlockpp: one head as wide as the image has channels. */
static int attention_block(struct build *b, int x)
{
    int h = group_norm(b, "GroupNorm_0.", x, -1, false);
    int q = nin(b, 0, h), k = nin(b, 1, h), v = nin(b, 2, h);

    h = program_attention(b->p, q, k, v, 1.0f / sqrtf((float)channels(b, x)));
    h = nin(b, 3, h);
    return module(b, program_add(b->p, x, h, inverse_root_2));
}

static int embedding(struct build *b, int time_cond)
{
    const struct architecture *a = b->a;
    int temb, dim;

    if (a->embedding_type == EMBEDDING_FOURIER) {
        int frequencies = parameter(b, "W", 1, &a->nf);

        temb = module(b, program_fourier(b->p, time_cond, frequencies));
        dim = 2 * a->nf;
    } else {
        temb = program_positional(b->p, time_cond, a->nf);
        dim = a->nf;
    }
    temb = module(b, linear(b, "", temb, dim, 4 * a->nf));
    temb = module(b, linear(b, "", program_silu(b->p, temb), 4 * a->nf, 4 * a->nf));
    return program_silu(b->p, temb);
}

static bool has_attention(const struct architecture *a, int resolution)
{
    for (int i = 0; i < a->n_attn; i++) {
        if (a->attn_resolutions[i] == resolution)
            return true;
    }
    return false;
}

int ncsnpp_append(struct program *p, const struct architecture *a, int x, int time_cond, int key,
                  int *modules, int *phi, struct error *err)
{
    struct build b = {.p = p, .a = a, .key = key, .modules = modules};
    int skips[SKIPS_MAX], n_skips = 0, h, pyramid, rc;

    for (int i = 0; modules && i < NCSNPP_MODULES_MAX; i++)
        modules[i] = -1;
    b.temb = embedding(&b, time_cond);
    pyramid =
        program_affine(p, x, a->centered ? 1.0f : 2.0f, a->centered ? 0.0f : -1.0f, VALUE_COMPUTE);
    h = module(&b, convolution(&b, "", pyramid, a->nf, 3, 1, 1, VALUE_COMPUTE));
    skips[n_skips++] = h;
    for (int level = 0; level < a->n_levels; level++) {
        for (int i = 0; i < a->num_res_blocks; i++) {
            h = res_block(&b, h, a->nf * a->ch_mult[level], false, false);
            if (has_attention(a, side(&b, h)))
                h = attention_block(&b, h);
            skips[n_skips++] = h;
        }
        if (level == a->n_levels - 1)
            break;
        h = res_block(&b, h, channels(&b, h), false, true);
        pyramid = module(&b, convolution(&b, "Conv2d_0.", fir(&b, pyramid, FIR_SMOOTH),
                                         channels(&b, h), 3, 2, 0, VALUE_COMPUTE));
        h = pyramid = program_add(p, pyramid, h, inverse_root_2);
        skips[n_skips++] = h;
    }
    h = res_block(&b, h, channels(&b, h), false, false);
    h = attention_block(&b, h);
    h = res_block(&b, h, channels(&b, h), false, false);
    for (int level = a->n_levels - 1; level >= 0; level--) {
        for (int i = 0; i <= a->num_res_blocks; i++)
            h = res_block(&b, program_concat(p, h, skips[--n_skips]), a->nf * a->ch_mult[level],
                          false, false);
        if (has_attention(a, side(&b, h)))
            h = attention_block(&b, h);
        if (level > 0)
            h = res_block(&b, h, channels(&b, h), true, false);
    }
    h = group_norm(&b, "", h, -1, true);
    h = module(&b, h);
    h = module(&b, convolution(&b, "", h, a->num_channels, 3, 1, 1, VALUE_EXACT));
    rc = program_check(p, err);
    if (rc < 0) {
        error_prefix(err, "building the network: ");
        return rc;
    }
    *phi = h;
    return 0;
}

/* The scale of default_init() for a weight, by its name and place. */
static double init_scale(const char *name, bool last)
{
    if (last || strstr(name, ".Conv_1.") || strstr(name, ".NIN_3."))
        return 1e-10;
    return strstr(name, ".NIN_") ? 0.1 : 1.0;
}

void ncsnpp_init(const struct architecture *a, struct parameters *parameters, uint64_t seed)
{
    int n = parameters_n(parameters), last = -1;

    for (int i = 0; i < n; i++) {
        if (parameters_shape(parameters, i)->n_dims == 4)
            last = i;
    }
    for (int i = 0; i < n; i++) {
        struct philox_key key = philox_key(seed, (uint32_t)i, 0);
        const char *name = parameters_name(parameters, i);
        const char *leaf = strrchr(name, '.') + 1;
        const struct shape *shape = parameters_shape(parameters, i);
        float *values = parameters_values(parameters) + parameters_offset(parameters, i);
        size_t count = shape_count(shape);

        if (shape->n_dims > 1) {
            double taps = shape->n_dims == 4 ? shape->dims[2] * shape->dims[3] : 1;
            double fan = taps * (shape->dims[0] + shape->dims[1]) / 2;
            float bound = (float)sqrt(3.0 * init_scale(name, i == last) / fan);

            philox_uniforms(&key, PHILOX_STREAM_INIT, count, values);
            for (size_t j = 0; j < count; j++)
                values[j] = bound * (2.0f * values[j] - 1.0f);
        } else if (strcmp(leaf, "W") == 0) {
            philox_normals(&key, PHILOX_STREAM_INIT, count, values);
            for (size_t j = 0; j < count; j++)
                values[j] *= a->fourier_scale;
        } else {
            for (size_t j = 0; j < count; j++)
                values[j] = strcmp(leaf, "weight") == 0 ? 1.0f : 0.0f;
        }
    }
}
