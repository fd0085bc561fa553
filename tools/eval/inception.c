#include "tools/eval/inception.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "engine/program.h"

enum { NAME_MAX_BYTES = 64 };

/* Windows. Strides of 2 go without padding, as does VALID; the others keep the size. */
enum window { ONE, SQUARE, FIVE, WIDE, HIGH, WIDE_7, HIGH_7, HALVING, VALID };

static const struct {
    int h, w, stride;
    bool padded;
} windows[] = {
    [ONE] = {1, 1, 1, true},    [SQUARE] = {3, 3, 1, true},   [FIVE] = {5, 5, 1, true},
    [WIDE] = {1, 3, 1, true},   [HIGH] = {3, 1, 1, true},     [WIDE_7] = {1, 7, 1, true},
    [HIGH_7] = {7, 1, 1, true}, [HALVING] = {3, 3, 2, false}, [VALID] = {3, 3, 1, false},
};

/* Where layers are appended; block: what their names begin with. */
struct place {
    struct program *p;
    const char *block;
};

/* max(0, convolution of x to `out` channels) */
static int layer(const struct place *at, const char *name, int x, enum window which, int out)
{
    const int h = windows[which].h, w = windows[which].w;
    const int top = windows[which].padded ? h / 2 : 0, left = windows[which].padded ? w / 2 : 0;
    const int pads[4] = {top, top, left, left};
    const int in = x < 0 ? 1 : program_value(at->p, x)->shape.dims[2];
    char weight_name[NAME_MAX_BYTES], bias_name[NAME_MAX_BYTES];
    int weight, bias;

    snprintf(weight_name, sizeof(weight_name), "%s%s.weight", at->block, name);
    snprintf(bias_name, sizeof(bias_name), "%s%s.bias", at->block, name);
    weight = program_parameter(at->p, weight_name, shape_constant(4, (const int[]){out, in, h, w}));
    bias = program_parameter(at->p, bias_name, shape_constant(1, &out));
    return program_relu(at->p,
                        program_convolution_general(at->p, x, weight, bias, windows[which].stride,
                                                    pads, 1, VALUE_COMPUTE));
}

static int join(const struct place *at, int n, ...)
{
    va_list branches;
    int x;

    va_start(branches, n);
    x = va_arg(branches, int);
    for (int i = 1; i < n; i++)
        x = program_concat(at->p, x, va_arg(branches, int));
    va_end(branches);
    return x;
}

/* The largest of the 3 x 3 places around each, for x >= 0: there a frame of zeros changes nothing. */
static int largest_around(struct program *p, int x)
{
    static const int frame[4] = {1, 4, 1, 4};
    float kernel[16] = {0};

    kernel[15] = 1; /* a true convolution: it meets the first pixel of a window */
    return program_max_pool(p, program_upfirdn(p, x, kernel, 1, 1, frame), 3, 1);
}

static int append_stem(struct program *p, int x)
{
    const struct place at = {p, ""};

    x = layer(&at, "Conv2d_1a_3x3", x, HALVING, 32);
    x = layer(&at, "Conv2d_2a_3x3", x, VALID, 32);
    x = layer(&at, "Conv2d_2b_3x3", x, SQUARE, 64);
    x = program_max_pool(p, x, 3, 2);
    x = layer(&at, "Conv2d_3b_1x1", x, ONE, 80);
    x = layer(&at, "Conv2d_4a_3x3", x, VALID, 192);
    return program_max_pool(p, x, 3, 2);
}

/* Blocks of 35 x 35 places. */
static int append_35(struct program *p, const char *block, int x, int pool_channels)
{
    const struct place at = {p, block};
    int one = layer(&at, "branch1x1", x, ONE, 64);
    int five = layer(&at, "branch5x5_1", x, ONE, 48);
    int three = layer(&at, "branch3x3dbl_1", x, ONE, 64);
    int pool = layer(&at, "branch_pool", program_average_pool(p, x), ONE, pool_channels);

    five = layer(&at, "branch5x5_2", five, FIVE, 64);
    three = layer(&at, "branch3x3dbl_2", three, SQUARE, 96);
    three = layer(&at, "branch3x3dbl_3", three, SQUARE, 96);
    return join(&at, 4, one, five, three, pool);
}

/* From 35 to 17. */
static int append_halving_35(struct program *p, int x)
{
    const struct place at = {p, "Mixed_6a."};
    int three = layer(&at, "branch3x3", x, HALVING, 384);
    int twice = layer(&at, "branch3x3dbl_1", x, ONE, 64);

    twice = layer(&at, "branch3x3dbl_2", twice, SQUARE, 96);
    twice = layer(&at, "branch3x3dbl_3", twice, HALVING, 96);
    return join(&at, 3, three, twice, program_max_pool(p, x, 3, 2));
}

/* Blocks of 17 x 17 places. */
static int append_17(struct program *p, const char *block, int x, int channels)
{
    const struct place at = {p, block};
    int one = layer(&at, "branch1x1", x, ONE, 192);
    int seven = layer(&at, "branch7x7_1", x, ONE, channels);
    int twice = layer(&at, "branch7x7dbl_1", x, ONE, channels);
    int pool = layer(&at, "branch_pool", program_average_pool(p, x), ONE, 192);

    seven = layer(&at, "branch7x7_2", seven, WIDE_7, channels);
    seven = layer(&at, "branch7x7_3", seven, HIGH_7, 192);
    twice = layer(&at, "branch7x7dbl_2", twice, HIGH_7, channels);
    twice = layer(&at, "branch7x7dbl_3", twice, WIDE_7, channels);
    twice = layer(&at, "branch7x7dbl_4", twice, HIGH_7, channels);
    twice = layer(&at, "branch7x7dbl_5", twice, WIDE_7, 192);
    return join(&at, 4, one, seven, twice, pool);
}

/* From 17 to 8. */
static int append_halving_17(struct program *p, int x)
{
    const struct place at = {p, "Mixed_7a."};
    int three = layer(&at, "branch3x3_1", x, ONE, 192);
    int seven = layer(&at, "branch7x7x3_1", x, ONE, 192);

    three = layer(&at, "branch3x3_2", three, HALVING, 320);
    seven = layer(&at, "branch7x7x3_2", seven, WIDE_7, 192);
    seven = layer(&at, "branch7x7x3_3", seven, HIGH_7, 192);
    seven = layer(&at, "branch7x7x3_4", seven, HALVING, 192);
    return join(&at, 3, three, seven, program_max_pool(p, x, 3, 2));
}

/* Blocks of 8 x 8 places. */
static int append_8(struct program *p, const char *block, int x, bool largest)
{
    const struct place at = {p, block};
    int one = layer(&at, "branch1x1", x, ONE, 320);
    int three = layer(&at, "branch3x3_1", x, ONE, 384);
    int twice = layer(&at, "branch3x3dbl_1", x, ONE, 448);
    int pool = largest ? largest_around(p, x) : program_average_pool(p, x);
    int three_wide = layer(&at, "branch3x3_2a", three, WIDE, 384);
    int three_high = layer(&at, "branch3x3_2b", three, HIGH, 384);
    int twice_wide, twice_high;

    twice = layer(&at, "branch3x3dbl_2", twice, SQUARE, 384);
    twice_wide = layer(&at, "branch3x3dbl_3a", twice, WIDE, 384);
    twice_high = layer(&at, "branch3x3dbl_3b", twice, HIGH, 384);
    pool = layer(&at, "branch_pool", pool, ONE, 192);
    return join(&at, 6, one, three_wide, three_high, twice_wide, twice_high, pool);
}

int inception_append(struct program *p, int x)
{
    x = append_stem(p, x);
    x = append_35(p, "Mixed_5b.", x, 32);
    x = append_35(p, "Mixed_5c.", x, 64);
    x = append_35(p, "Mixed_5d.", x, 64);
    x = append_halving_35(p, x);
    x = append_17(p, "Mixed_6b.", x, 128);
    x = append_17(p, "Mixed_6c.", x, 160);
    x = append_17(p, "Mixed_6d.", x, 160);
    x = append_17(p, "Mixed_6e.", x, 192);
    x = append_halving_17(p, x);
    x = append_8(p, "Mixed_7b.", x, false);
    x = append_8(p, "Mixed_7c.", x, true);
    return program_mean_pool(p, x);
}
