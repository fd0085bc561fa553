#include "tools/eval/gaussian_case.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/choice.h"
#include "engine/base/error.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "model/fit/spectrum.h"

enum { LEVELS = 33, LEVELS_SIDE = 32, MASK_LEVELS = 65 };

/* Stds of a blur at 32 px between which pictures in general change equally much. */
static const double blur_levels[LEVELS] = {
    0.01,  0.388, 0.446, 0.501, 0.564,  0.644,  0.749,  0.884,  1.045,  1.234,  1.451,
    1.700, 1.982, 2.300, 2.658, 3.057,  3.500,  3.990,  4.525,  5.108,  5.737,  6.408,
    7.116, 7.854, 8.619, 9.412, 10.244, 11.133, 12.105, 13.198, 14.471, 16.016, 18,
};

static int schedule_of_blur(int side, struct schedule *out, struct error *err)
{
    double levels[LEVELS];

    for (int i = 0; i < LEVELS; i++)
        levels[i] = blur_levels[i] * side / LEVELS_SIDE;
    return schedule_noise_then_levels(0.01, 0.1, 0.2, LEVELS, levels, out, err);
}

static int schedule_of_mask(int side, struct schedule *out, struct error *err)
{
    double levels[MASK_LEVELS];

    for (int i = 0; i < MASK_LEVELS; i++)
        levels[i] = (double)(side * side) * (MASK_LEVELS - 1 - i) / (MASK_LEVELS - 1);
    return schedule_noise_then_levels(0.01, 0.1, 0.2, MASK_LEVELS, levels, out, err);
}

static int schedule_of_fade(int side, struct schedule *out, struct error *err)
{
    return schedule_noise_then_levels(0.01, 0.1, 0.2, 2, (const double[]){1, 0}, out, err);
}

static int schedule_of_blocks(int side, struct schedule *out, struct error *err)
{
    double levels[2] = {0, 0};

    while (side >> (int)levels[1] > 1 && (side >> (int)levels[1]) % 2 == 0)
        levels[1]++;
    return schedule_noise_then_levels(0.01, 0.1, 0.2, 2, levels, out, err);
}

static int schedule_of_noise(int side, struct schedule *out, struct error *err)
{
    return schedule_noise_then_levels(0.01, 20, 1, 0, NULL, out, err);
}

static int schedule_of_vp(int side, struct schedule *out, struct error *err)
{
    return schedule_vp(0.1, 20, 1, 0, out, err);
}

static int schedule_of_subvp(int side, struct schedule *out, struct error *err)
{
    return schedule_vp(0.1, 20, 1, 1, out, err);
}

static const struct builtin {
    const char *name, *json;
    int (*schedule)(int side, struct schedule *out, struct error *err);
} builtins[] = {
    {"blur", "{\"name\": \"blur\", \"half_size\": 32}", schedule_of_blur},
    {"mask", "{\"name\": \"mask\", \"order\": \"spiral\"}", schedule_of_mask},
    {"noise", "{\"name\": \"noise\"}", schedule_of_noise},
    {"vp", "{\"name\": \"vp\"}", schedule_of_vp},
    {"subvp", "{\"name\": \"subvp\"}", schedule_of_subvp},
    {"fade", "{\"name\": \"fade\"}", schedule_of_fade},
    {"blur-dct", "{\"name\": \"blur-dct\"}", schedule_of_blur},
    {"pixelate", "{\"name\": \"pixelate\"}", schedule_of_blocks},
};

enum { BUILTINS = sizeof(builtins) / sizeof(builtins[0]) };

static int make_spectrum(struct gaussian_case *c, struct error *err)
{
    c->spectrum = malloc((size_t)c->side * (size_t)c->side * sizeof(*c->spectrum));
    return c->spectrum ? 0 : error_set(err, -ENOMEM, "out of memory for a spectrum");
}

int gaussian_case_of_name(const char *name, int side, struct gaussian_case *out, struct error *err)
{
    struct gaussian_case c = {.formulation = {.sampling = {.refining_grid = true}}, .side = side};
    const char *names[BUILTINS];
    json_t *json;
    int i, rc;

    for (i = 0; i < BUILTINS; i++)
        names[i] = builtins[i].name;
    i = choice_parse("corruption", name, BUILTINS, names, err);
    if (i < 0)
        return i;
    json = json_loads(builtins[i].json, 0, NULL);
    rc = corruption_create(json, side, side, &c.formulation.corruption, err);
    json_decref(json);
    if (rc == 0)
        rc = builtins[i].schedule(side, &c.formulation.schedule, err);
    if (rc == 0)
        rc = make_spectrum(&c, err);
    if (rc < 0) {
        gaussian_case_fini(&c);
        return rc;
    }
    spectrum_of_pictures(side, c.spectrum);
    *out = c;
    return 0;
}

/* Brings lengths to a picture whose side is `ratio` times what it was. */
static int resize(struct formulation *f, int side, double ratio, struct error *err)
{
    enum corruption_kind kind = corruption_kind(f->corruption);
    bool blocks = strcmp(corruption_name(f->corruption), "pixelate") == 0;
    double scale = blocks                         ? 1
                   : kind == CORRUPTION_SEPARABLE ? ratio
                   : kind == CORRUPTION_DIAGONAL  ? ratio * ratio
                                                  : 1;
    json_t *json = corruption_to_json(f->corruption), *half;
    int rc = json ? 0 : error_set(err, -ENOMEM, "out of memory for a corruption");

    half = json_object_get(json, "half_size");
    if (half)
        json_integer_set(half, (json_int_t)ceil(ratio * (double)json_integer_value(half)));
    corruption_destroy(f->corruption);
    f->corruption = NULL;
    if (rc == 0)
        rc = corruption_create(json, side, side, &f->corruption, err);
    json_decref(json);
    for (int i = 0; i < f->schedule.level.n; i++)
        f->schedule.level.value[i] *= scale;
    return rc;
}

/* The spectrum of a model, brought to c->side: the modes that are left of a smaller picture, whose
 * coefficients fall with the side. */
static int take_spectrum(const struct formulation *f, struct gaussian_case *c, struct error *err)
{
    int own = f->architecture.image_size;
    double ratio = (double)c->side / own;
    double *all = malloc((size_t)own * (size_t)own * sizeof(*all));
    int rc = all ? spectrum_of_estimate(&f->wiener, f->corruption, &f->schedule, all, err)
                 : error_set(err, -ENOMEM, "out of memory for a spectrum");

    for (int i = 0; rc == 0 && i < c->side * c->side; i++)
        c->spectrum[i] = ratio * ratio * all[i / c->side * own + i % c->side];
    free(all);
    c->measured = true;
    return rc;
}

int gaussian_case_of_model(const char *path, int side, struct gaussian_case *out, struct error *err)
{
    struct checkpoint *model;
    struct gaussian_case c = {.side = side};
    int rc = checkpoint_load(path, &model, err), own;

    if (rc < 0)
        return rc;
    own = model->formulation.architecture.image_size;
    if (model->formulation.sampling.noiseless)
        rc =
            error_set(err, -EINVAL,
                      "\"%s\" is a model without noise, of which there is no exact denoiser", path);
    c.side = side ? side : own;
    if (rc == 0 && c.side > own)
        rc = error_set(err, -EINVAL, "the model has %d px a side, not %d", own, side);
    if (rc == 0)
        rc = make_spectrum(&c, err);
    if (rc == 0 && model->formulation.output == OUTPUT_WIENER)
        rc = take_spectrum(&model->formulation, &c, err);
    else if (rc == 0)
        spectrum_of_pictures(c.side, c.spectrum);
    c.formulation = model->formulation;
    model->formulation = (struct formulation){0};
    checkpoint_destroy(model);
    if (rc == 0 && c.side != own)
        rc = resize(&c.formulation, c.side, (double)c.side / own, err);
    if (rc < 0) {
        gaussian_case_fini(&c);
        return rc;
    }
    *out = c;
    return 0;
}

void gaussian_case_fini(struct gaussian_case *c)
{
    formulation_fini(&c->formulation);
    free(c->spectrum);
    *c = (struct gaussian_case){0};
}
