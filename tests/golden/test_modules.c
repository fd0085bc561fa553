/* The blocks of the network one by one against the reference implementation, forward and
 * backward.
 */
#include "engine/base/error.h"
#include "engine/gradient.h"
#include "engine/parameters.h"
#include "tests/planned.h"
#include "engine/program.h"
#include "model/layers.h"
#include "model/safetensors.h"
#include "tests/golden/golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A block: builds y from its inputs; second is temb, y_in, mask or -1. */
typedef int builder(struct layers *l, int x, int second);

static int res_plain(struct layers *l, int x, int temb)
{
    return layers_res_block(l, x, program_silu(l->p, temb), 16, false, false);
}

static int res_chan(struct layers *l, int x, int temb)
{
    return layers_res_block(l, x, program_silu(l->p, temb), 32, false, false);
}

static int res_up(struct layers *l, int x, int temb)
{
    return layers_res_block(l, x, program_silu(l->p, temb), 16, true, false);
}

static int res_up_odd(struct layers *l, int x, int temb)
{
    return layers_res_block(l, x, program_silu(l->p, temb), 8, true, false);
}

static int res_down(struct layers *l, int x, int temb)
{
    return layers_res_block(l, x, program_silu(l->p, temb), 16, false, true);
}

static int attention(struct layers *l, int x, int none)
{
    return layers_attention_block(l, x);
}

static int group_norm(struct layers *l, int x, int none)
{
    return layers_group_norm(l, "", x, -1, false);
}

static int nin(struct layers *l, int x, int none)
{
    int w = program_parameter(l->p, "nin.param.W", shape_constant(2, (const int[]){20, 12}));
    int b = program_parameter(l->p, "nin.param.b", shape_constant(1, (const int[]){12}));

    return program_linear(l->p, x, w, b, true);
}

static int conv3x3(struct layers *l, int x, int none)
{
    return layers_convolution(l, "", x, 7, 3, 1, 1, VALUE_COMPUTE);
}

static int conv1x1(struct layers *l, int x, int none)
{
    return layers_convolution(l, "", x, 7, 1, 1, 0, VALUE_COMPUTE);
}

static int downsample_conv(struct layers *l, int x, int none)
{
    return layers_pyramid_down(l, x, 10);
}

static int combine_sum(struct layers *l, int x, int y_in)
{
    return program_add(l->p, layers_convolution(l, "Conv_0.", x, 10, 1, 1, 0, VALUE_COMPUTE), y_in,
                       1.0f);
}

static int combine_cat(struct layers *l, int x, int y_in)
{
    return program_concat(l->p, layers_convolution(l, "Conv_0.", x, 10, 1, 1, 0, VALUE_COMPUTE),
                          y_in);
}

static int temb_mlp(struct layers *l, int x, int none)
{
    return layers_linear(l, "l1.", program_silu(l->p, layers_linear(l, "l0.", x, 48)), 48);
}

static int final(struct layers *l, int x, int none)
{
    return layers_convolution(l, "Conv.", layers_group_norm(l, "GroupNorm.", x, -1, true), 3, 3, 1,
                              1, VALUE_EXACT);
}

struct module_case {
    const char *name;
    builder *build;
    const char *second;
};

static const struct module_case cases[] = {
    {"res_plain", res_plain, "temb"},
    {"res_chan", res_chan, "temb"},
    {"res_up", res_up, "temb"},
    {"res_down", res_down, "temb"},
    {"res_up_odd", res_up_odd, "temb"},
    {"res_dropout", res_plain, "temb"}, /* and an explicit mask */
    {"attn", attention, NULL},
    {"attn_1x", attention, NULL},
    {"gn_c16", group_norm, NULL},
    {"gn_c12", group_norm, NULL},
    {"gn_c384", group_norm, NULL},
    {"gn_smallvar", group_norm, NULL},
    {"nin", nin, NULL},
    {"conv3x3", conv3x3, NULL},
    {"conv1x1", conv1x1, NULL},
    {"downsample_conv", downsample_conv, NULL},
    {"combine_sum", combine_sum, "y_in"},
    {"combine_cat", combine_cat, "y_in"},
    {"temb_mlp", temb_mlp, NULL},
    {"final", final, NULL},
};

static const char *path(const char *module, const char *leaf)
{
    static char name[160];

    snprintf(name, sizeof(name), "%s.%s", module, leaf);
    return name;
}

/* Declares the tensor "<module>.<leaf>" of the file as an input; n receives its images. */
static int declare(struct program *p, const struct safetensors *file, const char *module,
                   const char *leaf, int *n)
{
    const struct safetensors_tensor *t = safetensors_find(file, path(module, leaf));

    if (!t)
        fail_msg("no golden tensor %s.%s", module, leaf);
    *n = (int)t->dims[0];
    if (t->n_dims == 2)
        return program_input(p, leaf, shape_vectors((int)t->dims[1]), VALUE_EXACT);
    return program_input(p, leaf, shape_images((int)t->dims[2], (int)t->dims[3], (int)t->dims[1]),
                         VALUE_COMPUTE);
}

static void write_input(struct planned *plan, int value, int n, const struct safetensors *file,
                        const char *module, const char *leaf)
{
    float *values = golden_read(file, path(module, leaf));

    golden_write(plan, value, n, values);
    free(values);
}

/* Compares one value with "<module>.<leaf>": absolutely in float32, by relative L2 in types of 16 bits. */
static void compare(struct planned *plan, int value, int n, const struct safetensors *file,
                    const struct place *place, const char *module, const char *leaf,
                    double tolerance, double relative)
{
    const char *name = path(module, leaf);
    size_t count = golden_count(file, name);
    /* Weights lie as the reference has them, images do not. */
    float *expected =
        strncmp(leaf, "grad.", 5) == 0 ? golden_read_raw(file, name) : golden_read(file, name);
    float *actual = golden_output(plan, value, n, count / (size_t)n);

    if (!golden_is_half(place)) {
        golden_close_to(name, place, actual, expected, count, tolerance);
    } else if (golden_largest(expected, count) > 1e-4) { /* not the zero gradient of NIN_1.b */
        double distance = golden_relative_l2(actual, expected, count);
        double allowed = golden_allowed(place, relative);

        if (!(distance <= allowed))
            fail_msg("%s on %s: off by %.3g relative, allowed %.3g", name, golden_place_name(place),
                     distance, allowed);
    }
    free(expected);
    free(actual);
}

static void run_case(const struct module_case *c, const struct safetensors *file,
                     const struct place *place)
{
    struct layers l = {.key = -1, .mask = -1};
    struct parameters *parameters = NULL;
    struct program *p;
    struct planned *plan;
    struct error err;
    int n, x, second = -1, mask = -1, y, cotangent, n_wrt = 0, wrt[16], gradients[16], outputs[17];
    bool smallvar = strcmp(c->name, "gn_smallvar") == 0;

    if (smallvar && golden_is_half(place))
        return; /* its input, 10 +- 0.001, does not exist in a type of 16 bits */
    assert_int_equal(program_create(&p, &err), 0);
    l.p = p;
    snprintf(l.prefix, sizeof(l.prefix), "%s.param.", c->name);
    x = declare(p, file, c->name, "x", &n);
    if (c->second)
        second = declare(p, file, c->name, c->second, &n);
    if (strcmp(c->name, "res_dropout") == 0) {
        mask = declare(p, file, c->name, "mask", &n);
        l.mask = program_affine(p, mask, 1.0f / 0.9f, 0.0f, VALUE_COMPUTE);
    }
    y = c->build(&l, x, second);
    if (program_check(p, &err) < 0)
        fail_msg("%s: %s", c->name, err.text);
    cotangent = program_input(p, "cot", program_value(p, y)->shape, program_value(p, y)->type);
    wrt[n_wrt++] = x;
    if (second >= 0)
        wrt[n_wrt++] = second;
    for (int i = 0; i < program_n_values(p); i++) {
        if (program_value(p, i)->role == VALUE_PARAMETER)
            wrt[n_wrt++] = i;
    }
    if (gradient_append(p, y, cotangent, n_wrt, wrt, gradients, &err) < 0 ||
        parameters_create(place->opened, p, &parameters, &err) < 0)
        fail_msg("%s: %s", c->name, err.text);
    golden_load(parameters, file, "");
    outputs[0] = y;
    memcpy(outputs + 1, gradients, (size_t)n_wrt * sizeof(int));
    plan = golden_plan(place, p, parameters, n, n, n_wrt + 1, outputs);
    write_input(plan, x, n, file, c->name, "x");
    if (second >= 0)
        write_input(plan, second, n, file, c->name, c->second);
    if (mask >= 0)
        write_input(plan, mask, n, file, c->name, "mask");
    write_input(plan, cotangent, n, file, c->name, "cot");
    golden_run(plan, n);
    compare(plan, y, n, file, place, c->name, smallvar ? "y_f64" : "y", smallvar ? 5e-3 : 1e-5,
            2e-2);
    for (int i = 0; i < n_wrt; i++) {
        const struct value *v = program_value(p, wrt[i]);
        char leaf[96];
        float *expected;
        double tolerance = 2e-5;

        if (v->role == VALUE_INPUT)
            snprintf(leaf, sizeof(leaf), "grad_%s", v->name);
        else
            snprintf(leaf, sizeof(leaf), "grad.%s", v->name + strlen(l.prefix));
        /* The golden gradients are float32 sums and reach 40: they end at 1e-6 of that. Where 1/std
         * is 1000 they are as coarse as the golden output. */
        expected = golden_read(file, path(c->name, leaf));
        tolerance =
            fmax(tolerance, (smallvar ? 5e-3 : 1e-6) *
                                golden_largest(expected, golden_count(file, path(c->name, leaf))));
        free(expected);
        compare(plan, gradients[i], v->shape.batched ? n : 1, file, place, c->name, leaf, tolerance,
                5e-2);
    }
    planned_destroy(plan);
    parameters_destroy(parameters);
    program_destroy(p);
}

static void test_blocks(void **state)
{
    struct place places[3];
    int n_places = golden_places(places);
    struct safetensors *file = golden_open("modules");

    for (int i = 0; i < n_places; i++) {
        for (size_t j = 0; j < sizeof(cases) / sizeof(cases[0]); j++)
            run_case(&cases[j], file, &places[i]);
    }
    safetensors_close(file);
    golden_close(places, n_places);
}

/* Resampling by [1,3,3,1] and by an asymmetric kernel, which pins the flip and the padding. */
struct fir_case {
    const char *x, *y, *cot, *grad;
    bool asymmetric;
    int up, down, pad[4];
};

static const struct fir_case fir_cases[] = {
    {"upfirdn.even.x",
     "upfirdn.even.up2.y",
     "upfirdn.even.up2.cot",
     "upfirdn.even.up2.grad_x",
     false,
     2,
     1,
     {2, 1, 2, 1}},
    {"upfirdn.even.x",
     "upfirdn.even.down2.y",
     "upfirdn.even.down2.cot",
     "upfirdn.even.down2.grad_x",
     false,
     1,
     2,
     {1, 1, 1, 1}},
    {"upfirdn.odd.x",
     "upfirdn.odd.up2.y",
     "upfirdn.odd.up2.cot",
     "upfirdn.odd.up2.grad_x",
     false,
     2,
     1,
     {2, 1, 2, 1}},
    {"upfirdn.odd.x",
     "upfirdn.odd.down2.y",
     "upfirdn.odd.down2.cot",
     "upfirdn.odd.down2.grad_x",
     false,
     1,
     2,
     {1, 1, 1, 1}},
    {"upfirdn.asym.x", "upfirdn.asym.up2_pad2_1.y", NULL, NULL, true, 2, 1, {2, 1, 2, 1}},
    {"upfirdn.asym.x", "upfirdn.asym.down2_pad1_1.y", NULL, NULL, true, 1, 2, {1, 1, 1, 1}},
    {"upfirdn.asym.x", "upfirdn.asym.pad3_2.y", NULL, NULL, true, 1, 1, {3, 2, 3, 2}},
    {"impulse.x", "impulse.up2", NULL, NULL, false, 2, 1, {2, 1, 2, 1}},
    {"impulse.x", "impulse.down2", NULL, NULL, false, 1, 2, {1, 1, 1, 1}},
    {"ones.x", "ones.up2", NULL, NULL, false, 2, 1, {2, 1, 2, 1}},
    {"ones.x", "ones.down2", NULL, NULL, false, 1, 2, {1, 1, 1, 1}},
};

static void run_fir(const struct fir_case *c, const struct safetensors *file,
                    const struct place *place)
{
    const struct safetensors_tensor *t = safetensors_find(file, c->x);
    float *x = golden_read(file, c->x), *y = golden_read(file, c->y), *cot = NULL, *actual;
    float *kernel = golden_read_raw(file, c->asymmetric ? "upfirdn.asym.kernel" : "fir.kernel2d");
    struct parameters *parameters = NULL;
    struct program *p;
    struct planned *plan;
    struct error err;
    int n = (int)t->dims[0], input, output, cotangent = -1, outputs[2], n_outputs = 1;
    size_t count = golden_count(file, c->y);

    for (int i = 0; i < 16 && !c->asymmetric && c->up == 2; i++)
        kernel[i] *= 4;
    assert_int_equal(program_create(&p, &err), 0);
    input = program_input(p, "x", shape_images((int)t->dims[2], (int)t->dims[3], (int)t->dims[1]),
                          VALUE_COMPUTE);
    output = outputs[0] = program_upfirdn(p, input, kernel, c->up, c->down, c->pad);
    if (program_check(p, &err) < 0)
        fail_msg("%s: %s", c->y, err.text);
    if (c->cot) {
        cotangent = program_input(p, "cot", program_value(p, output)->shape, VALUE_COMPUTE);
        if (gradient_append(p, output, cotangent, 1, &input, &outputs[1], &err) < 0)
            fail_msg("%s: %s", c->y, err.text);
        n_outputs = 2;
    }
    assert_int_equal(parameters_create(place->opened, p, &parameters, &err), 0);
    plan = golden_plan(place, p, parameters, n, n, n_outputs, outputs);
    golden_write(plan, input, n, x);
    if (c->cot) {
        cot = golden_read(file, c->cot);
        golden_write(plan, cotangent, n, cot);
    }
    golden_run(plan, n);
    actual = golden_output(plan, output, n, count / (size_t)n);
    if (golden_is_half(place))
        assert_true(golden_relative_l2(actual, y, count) <= golden_allowed(place, 5e-3));
    else
        golden_close_to(c->y, place, actual, y, count, 1e-5);
    if (c->cot && !golden_is_half(place)) {
        float *grad = golden_read(file, c->grad);
        size_t n_grad = golden_count(file, c->grad);
        float *actual_grad = golden_output(plan, outputs[1], n, n_grad / (size_t)n);

        golden_close_to(c->grad, place, actual_grad, grad, n_grad, 2e-5);
        free(grad);
        free(actual_grad);
    }
    planned_destroy(plan);
    parameters_destroy(parameters);
    program_destroy(p);
    free(x);
    free(y);
    free(cot);
    free(kernel);
    free(actual);
}

static void test_resampling(void **state)
{
    struct place places[3];
    int n_places = golden_places(places);
    struct safetensors *file = golden_open("modules");

    for (int i = 0; i < n_places; i++) {
        for (size_t j = 0; j < sizeof(fir_cases) / sizeof(fir_cases[0]); j++)
            run_fir(&fir_cases[j], file, &places[i]);
    }
    safetensors_close(file);
    golden_close(places, n_places);
}

/* Positional arguments t f reach 999, where neighbouring float32 numbers are 6e-5 apart and the
 * golden frequencies are rounded by another exp: an element may be off by one such step. */
static void check_positional(const struct place *place, const float *actual, const float *y,
                             const float *t, int n, int dim)
{
    int half = dim / 2;

    for (int i = 0; i < n * dim; i++) {
        double frequency = exp(-(i % half) * log(10000) / (half - 1));
        double step = t[i / dim] * frequency * 0x1p-23;

        golden_close_to("positional", place, &actual[i], &y[i], 1, fmax(1e-5, step));
    }
}

/* One embedding: times [n] in, features [n,dim] out. */
static void run_embedding(const struct safetensors *file, const struct place *place,
                          const char *times, const char *features, int dim, bool fourier)
{
    int n = (int)golden_count(file, times), input, output;
    float *t = golden_read_raw(file, times), *y = golden_read_raw(file, features), *actual;
    struct parameters *parameters = NULL;
    struct program *p;
    struct planned *plan;
    struct error err;

    assert_int_equal(program_create(&p, &err), 0);
    input = program_input(p, "t", shape_vectors(1), VALUE_EXACT);
    if (fourier)
        output = program_fourier(p, input,
                                 program_parameter(p, "fourier.W",
                                                   shape_constant(1, (const int[]){dim / 2})));
    else
        output = program_positional(p, input, dim);
    if (program_check(p, &err) < 0 || parameters_create(place->opened, p, &parameters, &err) < 0)
        fail_msg("%s: %s", features, err.text);
    golden_load(parameters, file, "");
    plan = golden_plan(place, p, parameters, n, 1, 1, &output);
    golden_write(plan, input, n, t);
    golden_run(plan, n);
    actual = golden_output(plan, output, n, (size_t)dim);
    if (fourier)
        golden_close_to(features, place, actual, y, (size_t)n * (size_t)dim, 1e-4);
    else
        check_positional(place, actual, y, t, n, dim);
    planned_destroy(plan);
    parameters_destroy(parameters);
    program_destroy(p);
    free(t);
    free(y);
    free(actual);
}

static void test_embeddings(void **state)
{
    struct place places[3];
    int n_places = golden_places(places);
    struct safetensors *file = golden_open("modules");

    for (int i = 0; i < n_places; i++) {
        run_embedding(file, &places[i], "fourier.sigma", "fourier.y", 64, true);
        run_embedding(file, &places[i], "fourier.sigma", "fourier.y_f64", 64, true);
        run_embedding(file, &places[i], "positional.t", "positional.y_d32", 32, false);
        run_embedding(file, &places[i], "positional.t", "positional.y_d128", 128, false);
    }
    safetensors_close(file);
    golden_close(places, n_places);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_resampling),
        cmocka_unit_test(test_embeddings),
    };

    return cmocka_run_group_tests_name("modules", tests, NULL, NULL);
}
