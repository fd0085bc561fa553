/* The networks written down in the order of the reference's forward(), which is also the order of its
 * modules. `next` counts all_modules.
 */
#include "model/ncsnpp.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/parameters.h"
#include "engine/program.h"
#include "model/architecture.h"
#include "model/augmentation.h"
#include "model/layers.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SKIPS_MAX = ARCHITECTURE_LEVELS_MAX * 17 + 1 };

struct build {
    struct layers layers;
    const struct architecture *a;
    int next;     /* index of the next module */
    int temb;     /* SiLU(temb) [n,4nf], what every block's Dense_0 reads */
    int *modules; /* their outputs; may be NULL */
};

/* Names the parameters of the next module. */
static struct layers *begin(struct build *b)
{
    snprintf(b->layers.prefix, sizeof(b->layers.prefix), "all_modules.%d.", b->next);
    return &b->layers;
}

/* Ends a module: keeps its output and counts on. */
static int end(struct build *b, int output)
{
    if (b->modules && b->next < NCSNPP_MODULES_MAX)
        b->modules[b->next] = output;
    b->next++;
    return output;
}

static int res_block(struct build *b, int x, int out, bool up, bool down)
{
    return end(b, layers_res_block(begin(b), x, b->temb, out, up, down));
}

static int attention_block(struct build *b, int x)
{
    return end(b, layers_attention_block(begin(b), x));
}

/* To half the size, and in NCSN++ with the picture of that size. */
static int down(struct build *b, int x, int c, int *pyramid)
{
    int h;

    if (network_is_ddpm(b->a->network))
        return end(b, layers_down(begin(b), x));
    h = res_block(b, x, c, false, true);
    if (b->a->network == NETWORK_NCSNPP) {
        *pyramid = end(b, layers_pyramid_down(begin(b), *pyramid, c));
        h = *pyramid = program_add(b->layers.p, *pyramid, h, 0.70710678118654752f);
    }
    return h;
}

static int up(struct build *b, int x, int c)
{
    if (network_is_ddpm(b->a->network))
        return end(b, layers_up(begin(b), x));
    return res_block(b, x, c, true, false);
}

static int embedding(struct build *b, int time_cond, int label, int augment)
{
    const struct architecture *a = b->a;
    struct program *p = b->layers.p;
    char name[96];
    int temb;

    if (a->embedding_type == EMBEDDING_FOURIER) {
        snprintf(name, sizeof(name), "%sW", begin(b)->prefix);
        temb = end(b, program_fourier(p, time_cond,
                                      program_parameter(p, name, shape_constant(1, &a->nf))));
    } else {
        temb = program_positional(p, time_cond, a->nf);
    }
    temb = end(b, layers_linear(begin(b), "", temb, 4 * a->nf));
    temb = end(b, layers_linear(begin(b), "", program_silu(p, temb), 4 * a->nf));
    if (a->n_labels > 0) {
        const int dims[] = {a->n_labels + 1, 4 * a->nf};
        int table = program_parameter(p, "labels.weight", shape_constant(2, dims));

        temb = program_add(p, temb, program_lookup(p, table, label), 1.0f);
    }
    if (a->augment) {
        const int dims[] = {4 * a->nf, AUGMENTATION_NUMBERS};
        int weight = program_parameter(p, "augment.weight", shape_constant(2, dims));

        if (augment >= 0)
            temb = program_add(p, temb, program_linear(p, augment, weight, -1, false), 1.0f);
    }
    return program_silu(p, temb);
}

static bool has_attention(const struct architecture *a, int resolution)
{
    for (int i = 0; i < a->n_attn; i++) {
        if (a->attn_resolutions[i] == resolution)
            return true;
    }
    return false;
}

int ncsnpp_append(struct program *p, const struct architecture *a, int x, int time_cond, int label,
                  int augment, int key, int *modules, int *phi, struct error *err)
{
    struct build b =
        {.layers = {.p = p, .network = a->network, .dropout = a->dropout, .key = key, .mask = -1},
         .a = a,
         .modules = modules};
    int skips[SKIPS_MAX], n_skips = 0, side = a->image_size, c = a->nf, h, pyramid, rc;

    for (int i = 0; modules && i < NCSNPP_MODULES_MAX; i++)
        modules[i] = -1;
    b.temb = embedding(&b, time_cond, label, augment);
    pyramid =
        program_affine(p, x, a->centered ? 1.0f : 2.0f, a->centered ? 0.0f : -1.0f, VALUE_COMPUTE);
    h = end(&b, layers_convolution(begin(&b), "", pyramid, c, 3, 1, 1, VALUE_COMPUTE));
    skips[n_skips++] = h;
    for (int level = 0; level < a->n_levels; level++) {
        c = a->nf * a->ch_mult[level];
        for (int i = 0; i < a->num_res_blocks; i++) {
            h = res_block(&b, h, c, false, false);
            if (has_attention(a, side))
                h = attention_block(&b, h);
            skips[n_skips++] = h;
        }
        if (level == a->n_levels - 1)
            break;
        h = down(&b, h, c, &pyramid);
        skips[n_skips++] = h;
        side /= 2;
    }
    h = res_block(&b, h, c, false, false);
    h = attention_block(&b, h);
    h = res_block(&b, h, c, false, false);
    for (int level = a->n_levels - 1; level >= 0; level--) {
        c = a->nf * a->ch_mult[level];
        for (int i = 0; i <= a->num_res_blocks; i++) {
            h = res_block(&b, program_concat(p, h, skips[--n_skips]), c, false, false);
            if (has_attention(a, side) &&
                (i == a->num_res_blocks || a->network == NETWORK_DDPM_ORIGINAL))
                h = attention_block(&b, h);
        }
        if (level > 0) {
            h = up(&b, h, c);
            side *= 2;
        }
    }
    h = end(&b, layers_group_norm(begin(&b), "", h, -1, true));
    h = end(&b, layers_convolution(begin(&b), "", h, a->num_channels, 3, 1, 1, VALUE_EXACT));
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

void ncsnpp_init(const struct architecture *a, const struct parameters *parameters, uint64_t seed,
                 float *values)
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
        float *weight = values + parameters_offset(parameters, i);
        size_t count = shape_count(shape);

        if (strcmp(name, "labels.weight") == 0 || strcmp(name, "augment.weight") == 0) {
            memset(weight, 0, count * sizeof(*weight));
        } else if (shape->n_dims > 1) {
            double taps = shape->n_dims == 4 ? shape->dims[2] * shape->dims[3] : 1;
            double fan = taps * (shape->dims[0] + shape->dims[1]) / 2;
            float bound = (float)sqrt(3.0 * init_scale(name, i == last) / fan);

            philox_uniforms(&key, PHILOX_STREAM_INIT, count, weight);
            for (size_t j = 0; j < count; j++)
                weight[j] = bound * (2.0f * weight[j] - 1.0f);
        } else if (strcmp(leaf, "W") == 0) {
            philox_normals(&key, PHILOX_STREAM_INIT, count, weight);
            for (size_t j = 0; j < count; j++)
                weight[j] *= a->fourier_scale;
        } else {
            for (size_t j = 0; j < count; j++)
                weight[j] = strcmp(leaf, "weight") == 0 ? 1.0f : 0.0f;
        }
    }
}
