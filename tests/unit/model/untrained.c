#include "tests/unit/model/untrained.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/parameters.h"
#include "engine/program.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "model/ncsnpp.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LEVELS = 5, LANES_MAX = 64, TICKS_MAX = 1000 };

static void *allocate(size_t n, size_t size)
{
    void *memory = calloc(n, size);

    assert_non_null(memory);
    return memory;
}

static void make_weights(struct checkpoint *c)
{
    const struct architecture *a = &c->formulation.architecture;
    struct device *device = untrained_device("reference", 1);
    struct parameters *parameters;
    struct program *p;
    int x, t, label = -1, phi;

    assert_int_equal(program_create(&p, NULL), 0);
    x = program_input(p, "x", shape_images(a->image_size, a->image_size, a->num_channels),
                      VALUE_EXACT);
    t = program_input(p, "t", shape_vectors(1), VALUE_EXACT);
    if (a->n_labels > 0)
        label = program_input(p, "label", shape_vectors(1), VALUE_EXACT);
    assert_int_equal(ncsnpp_append(p, a, x, t, label, -1, -1, NULL, &phi, NULL), 0);
    assert_int_equal(parameters_create(device, p, &parameters, NULL), 0);
    c->n_weights = parameters_count(parameters);
    c->weights = allocate(c->n_weights, sizeof(*c->weights));
    ncsnpp_init(a, parameters, 5, c->weights);
    for (size_t i = 0; i < c->n_weights; i++) {
        float w = c->weights[i];

        c->weights[i] = w > -1e-4f && w < 1e-4f ? 0.05f * (float)((int)(i % 7) - 3) : w;
    }
    parameters_destroy(parameters);
    program_destroy(p);
    device_close(device);
}

/* A mean that is not flat, the colours as they are, and less of a mode the further it is and the
 * earlier. */
static void make_wiener(struct wiener *w, int side, int channels)
{
    size_t pixels = (size_t)side * (size_t)side, size = pixels * (size_t)channels;

    w->side = side;
    w->channels = channels;
    w->mean = allocate(size, sizeof(*w->mean));
    w->colors = allocate((size_t)channels * (size_t)channels, sizeof(*w->colors));
    w->gain = allocate(WIENER_TIMES * size, sizeof(*w->gain));
    w->scale = allocate(2 * WIENER_TIMES, sizeof(*w->scale));
    for (size_t i = 0; i < size; i++)
        w->mean[i] = 0.4f + 0.01f * (float)(i % 11);
    for (int i = 0; i < channels; i++)
        w->colors[i * channels + i] = 1;
    for (size_t t = 0; t < WIENER_TIMES; t++) {
        for (size_t i = 0; i < size; i++)
            w->gain[t * size + i] = 1 / (1 + 0.01f * (float)t * (float)(i % 13));
        w->scale[2 * t] = 1 + 0.01f * (float)t;
        w->scale[2 * t + 1] = 0.3f;
    }
}

/* Orthonormal columns of a cosine transform, modes that go together a little. */
static void make_modes(struct prior *prior, int side, int channels)
{
    int n = channels * PRIOR_PAIRS;
    float *dct = allocate((size_t)side * (size_t)side, sizeof(*dct));

    prior->n_modes = PRIOR_MODES;
    prior->n_coefficients = n;
    prior->basis = allocate((size_t)side * PRIOR_MODES, sizeof(*prior->basis));
    prior->mean = allocate((size_t)n, sizeof(*prior->mean));
    prior->chol = allocate((size_t)n * (size_t)n, sizeof(*prior->chol));
    wiener_dct_matrix(side, dct);
    for (int i = 0; i < side; i++) {
        for (int j = 0; j < PRIOR_MODES; j++)
            prior->basis[i * PRIOR_MODES + j] = dct[j * side + i];
    }
    free(dct);
    for (int i = 0; i < n; i++) {
        prior->mean[i] = i % PRIOR_PAIRS == 0 ? 0.4f * (float)side : 0;
        for (int j = 0; j <= i; j++)
            prior->chol[i * n + j] = i == j ? 1.0f : 0.02f;
    }
}

struct checkpoint *untrained_checkpoint(const struct untrained *u)
{
    const char *corruption =
        u->corruption ? u->corruption : "{\"name\": \"blur\", \"half_size\": 16}";
    double pixels = u->side * u->side, blur[LEVELS] = {0.01, 0.5, 1, 2, 4};
    double mask[LEVELS] = {pixels, pixels / 2, pixels / 4, pixels / 16, 0};
    struct checkpoint *c = allocate(1, sizeof(*c));
    struct formulation *f = &c->formulation;
    json_t *json = json_loads(corruption, 0, NULL);
    struct error err;

    f->architecture = (struct architecture){.image_size = u->side,
                                            .num_channels = 3,
                                            .nf = u->nf,
                                            .n_levels = 2,
                                            .ch_mult = {1, 2},
                                            .num_res_blocks = 1,
                                            .n_attn = 1,
                                            .attn_resolutions = {u->side / 2},
                                            .embedding_type = EMBEDDING_FOURIER,
                                            .fourier_scale = 16,
                                            .n_labels = u->n_labels};
    if (corruption_create(json, u->side, u->side, &f->corruption, &err) < 0 ||
        schedule_noise_then_levels(0.01, 0.1, 0.2, LEVELS,
                                   corruption_kind(f->corruption) == CORRUPTION_DIAGONAL ? mask
                                                                                         : blur,
                                   &f->schedule, &err) < 0)
        fail_msg("%s", err.text);
    json_decref(json);
    f->prior.side = u->side;
    f->prior.channels = 3;
    if (u->modes)
        make_modes(&f->prior, u->side, 3);
    if (u->wiener) {
        f->output = OUTPUT_WIENER;
        make_wiener(&f->wiener, u->side, 3);
    }
    make_weights(c);
    return c;
}

struct device *untrained_device(const char *name, int n_threads)
{
    struct device *device;
    struct error err;

    if (device_open(name, n_threads, NULL, &device, &err) < 0)
        fail_msg("%s", err.text);
    return device;
}

struct generator *untrained_generator(struct device *device, const struct checkpoint *c,
                                      const struct generator_options *options)
{
    struct generator *g;
    struct error err;

    if (generator_create(device, c, options, &g, &err) < 0)
        fail_msg("%s", err.text);
    return g;
}

int untrained_draw(struct generator *g, const struct generator_task *tasks, int n, uint8_t *pixels)
{
    struct generator_image images[LANES_MAX];
    size_t bytes =
        (size_t)generator_side(g) * (size_t)generator_side(g) * (size_t)generator_channels(g);
    int next = 0, done = 0, ticks = 0;
    struct error err;

    assert_true(generator_lanes(g) <= LANES_MAX);
    while (done < n) {
        int n_images;

        while (next < n && generator_busy(g) < generator_lanes(g)) {
            if (generator_submit(g, &tasks[next++], &err) < 0)
                fail_msg("%s", err.text);
        }
        if (generator_tick(g, images, &n_images, &err) < 0)
            fail_msg("%s", err.text);
        for (int i = 0; i < n_images; i++) {
            if (!images[i].finished)
                continue;
            memcpy(pixels + images[i].id * bytes, images[i].pixels, bytes);
            done++;
        }
        assert_true(++ticks < TICKS_MAX);
    }
    assert_int_equal(generator_busy(g), 0);
    return ticks;
}
