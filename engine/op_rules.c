#include "engine/op_rules.h"
#include "engine/signature.h"

enum { FIR_SIDE = 4, WINDOW_MAX = 7 };

static bool absent(const struct kernel_spec *spec, int input)
{
    return input >= spec->n_inputs || spec->inputs[input].absent;
}

/* Windows of side k over x [h,w] that give y [H,W]. */
static int windows_rule(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    int k = s->size['k'], stride = spec->attributes.window.stride;
    int pad = spec->attributes.window.pad, h = s->size['h'], w = s->size['w'];
    long long bottom = (long long)h + 2 * pad - k, right = (long long)w + 2 * pad - k;

    if (stride != 1 && stride != 2)
        return signature_mismatch(spec, err, "stride %d, not 1 or 2", stride);
    if (bottom < 0 || right < 0)
        return signature_mismatch(spec, err, "a window of side %d is larger than a %dx%d image", k,
                                  h, w);
    if (!signature_bind(s, 'H', bottom / stride + 1) || !signature_bind(s, 'W', right / stride + 1))
        return signature_mismatch(spec, err,
                                  "a window of side %d, stride %d, padding %d over %dx%d does not "
                                  "give %dx%d",
                                  k, stride, pad, h, w, s->size['H'], s->size['W']);
    return 0;
}

int op_rule_convolution(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    int k = s->size['k'], pad = spec->attributes.window.pad;

    if (k != 1 && k != 3)
        return signature_mismatch(spec, err, "a window of side %d, not 1 or 3", k);
    if (pad != 0 && pad != 1)
        return signature_mismatch(spec, err, "padding %d, not 0 or 1", pad);
    return windows_rule(spec, s, err);
}

/* Along one axis: the outputs of windows of k over size numbers with zeros in front and behind. 0 where
 * there is none. */
static long long outputs_of(int size, int k, int stride, const int pad[2])
{
    long long free = (long long)size + pad[0] + pad[1] - k;

    return free < 0 ? 0 : free / stride + 1;
}

int op_rule_convolution_general(const struct kernel_spec *spec, struct signature *s,
                                struct error *err)
{
    int kh = s->size['k'], kw = s->size['l'], groups = spec->attributes.general.groups;
    int stride = spec->attributes.general.stride;
    const int *pad = spec->attributes.general.pad;

    if (kh > WINDOW_MAX || kw > WINDOW_MAX)
        return signature_mismatch(spec, err, "a window of %dx%d, not 1x1 to %dx%d", kh, kw,
                                  WINDOW_MAX, WINDOW_MAX);
    if (stride != 1 && stride != 2)
        return signature_mismatch(spec, err, "stride %d, not 1 or 2", stride);
    for (int i = 0; i < 4; i++) {
        if (pad[i] < 0 || pad[i] >= (i < 2 ? kh : kw))
            return signature_mismatch(spec, err, "padding %d of a window of %dx%d", pad[i], kh, kw);
    }
    if (groups < 1 || s->size['o'] % groups != 0 ||
        s->size['i'] != (long long)s->size['j'] * groups)
        return signature_mismatch(spec, err, "%d channels, %d of them to each of %d, in %d groups",
                                  s->size['i'], s->size['j'], s->size['o'], groups);
    if (!signature_bind(s, 'H', outputs_of(s->size['h'], kh, stride, pad)) ||
        !signature_bind(s, 'W', outputs_of(s->size['w'], kw, stride, pad + 2)))
        return signature_mismatch(spec, err,
                                  "a window of %dx%d, stride %d over %dx%d does not give "
                                  "%dx%d",
                                  kh, kw, stride, s->size['h'], s->size['w'], s->size['H'],
                                  s->size['W']);
    return 0;
}

int op_rule_convolution_grad_data(const struct kernel_spec *spec, struct signature *s,
                                  struct error *err)
{
    const int *in = spec->attributes.window.in;

    if (!signature_bind(s, 'h', in[0]) || !signature_bind(s, 'w', in[1]))
        return signature_mismatch(spec, err, "window.in is %dx%d, the output %dx%d", in[0], in[1],
                                  s->size['h'], s->size['w']);
    return op_rule_convolution(spec, s, err);
}

int op_rule_convolution_grad_weight(const struct kernel_spec *spec, struct signature *s,
                                    struct error *err)
{
    if (!signature_bind(s, 'k', spec->attributes.window.side))
        return signature_mismatch(spec, err, "window.side is %d, the output has %d",
                                  spec->attributes.window.side, s->size['k']);
    return op_rule_convolution(spec, s, err);
}

int op_rule_max_pool(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    int side = spec->attributes.window.side;

    if (side != 2 && side != 3)
        return signature_mismatch(spec, err, "a window of side %d, not 2 or 3", side);
    if (spec->attributes.window.pad != 0)
        return signature_mismatch(spec, err, "padding %d, not 0", spec->attributes.window.pad);
    signature_bind(s, 'k', side);
    return windows_rule(spec, s, err);
}

int op_rule_relu(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    if (!(spec->attributes.relu.top > 0))
        return signature_mismatch(spec, err, "%g as the largest, not more than 0",
                                  (double)spec->attributes.relu.top);
    return 0;
}

int op_rule_linear(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    if (s->any != DTYPE_F32 && !spec->inputs[1].parameter)
        return signature_mismatch(spec, err,
                                  "a matrix that is no parameter multiplies exact "
                                  "values only");
    return 0;
}

int op_rule_group_norm(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    int groups = spec->attributes.group_norm.groups, c = s->size['c'];

    if (groups < 1 || c % groups != 0)
        return signature_mismatch(spec, err, "%d channels do not make %d groups", c, groups);
    if (!signature_bind(s, 'g', groups))
        return signature_mismatch(spec, err, "statistics of %d groups, not %d", s->size['g'],
                                  groups);
    if (!(spec->attributes.group_norm.eps > 0))
        return signature_mismatch(spec, err, "eps is %g, not above 0",
                                  (double)spec->attributes.group_norm.eps);
    return 0;
}

int op_rule_group_norm_grad(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    if (absent(spec, 5) != (spec->n_outputs < 4))
        return signature_mismatch(spec, err, "the gradient of a shift goes with the shift");
    return op_rule_group_norm(spec, s, err);
}

int op_rule_upfirdn(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    int up = spec->attributes.upfirdn.up, down = spec->attributes.upfirdn.down;
    const int *pad = spec->attributes.upfirdn.pad;
    long long bottom = (long long)s->size['h'] * up + pad[0] + pad[1] - FIR_SIDE;
    long long right = (long long)s->size['w'] * up + pad[2] + pad[3] - FIR_SIDE;

    if ((up != 1 && up != 2) || (down != 1 && down != 2))
        return signature_mismatch(spec, err, "up %d and down %d, not 1 or 2", up, down);
    if (bottom < 0 || right < 0)
        return signature_mismatch(spec, err, "its padding leaves nothing of a %dx%d image",
                                  s->size['h'], s->size['w']);
    if (!signature_bind(s, 'H', bottom / down + 1) || !signature_bind(s, 'W', right / down + 1))
        return signature_mismatch(spec, err, "up %d, down %d of %dx%d does not give %dx%d", up,
                                  down, s->size['h'], s->size['w'], s->size['H'], s->size['W']);
    return 0;
}

int op_rule_concat(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    if (!signature_bind(s, 'k', (long long)s->size['i'] + s->size['j']))
        return signature_mismatch(spec, err, "%d and %d channels do not make %d", s->size['i'],
                                  s->size['j'], s->size['k']);
    return 0;
}

int op_rule_slice(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    int first = spec->attributes.slice.first, count = spec->attributes.slice.count;

    if (first < 0 || count < 1 || count > s->size['c'] - first || !signature_bind(s, 'k', count))
        return signature_mismatch(spec, err, "%d channels from %d of %d do not make %d", count,
                                  first, s->size['c'], s->size['k']);
    return 0;
}

int op_rule_attention(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    if (!signature_bind(s, 'p', (long long)s->size['h'] * s->size['w']))
        return signature_mismatch(spec, err, "%d positions of p for an image of %dx%d",
                                  s->size['p'], s->size['h'], s->size['w']);
    return 0;
}

int op_rule_fourier(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    if (!signature_bind(s, 'e', 2LL * s->size['f']))
        return signature_mismatch(spec, err, "%d frequencies do not make %d features", s->size['f'],
                                  s->size['e']);
    return 0;
}

int op_rule_positional(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    if (s->size['e'] < 4 || s->size['e'] % 2 != 0)
        return signature_mismatch(spec, err, "%d features are odd or fewer than four",
                                  s->size['e']);
    return 0;
}

int op_rule_mix(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    int first = spec->attributes.mix.first, count = spec->n_inputs - 1;

    if (first < 0 || count > s->size['k'] - first)
        return signature_mismatch(spec, err, "%d coefficients from %d of %d", count, first,
                                  s->size['k']);
    return 0;
}

int op_rule_multiply(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    if (s->size['d'] != 1 && s->size['d'] != s->size['c'])
        return signature_mismatch(spec, err, "%d channels times %d", s->size['c'], s->size['d']);
    return 0;
}

int op_rule_toeplitz(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    if (absent(spec, 2) && s->size['h'] != s->size['w'])
        return signature_mismatch(spec, err, "one row of weights for an image of %dx%d",
                                  s->size['h'], s->size['w']);
    return 0;
}

int op_rule_multiply_table(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    if (s->size['k'] < 2)
        return signature_mismatch(spec, err, "a table of fewer than two entries");
    return op_rule_multiply(spec, s, err);
}

int op_rule_modes(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    long long m = s->size['m'], count = s->size['c'] * m * (m + 1) / 2;

    if (count != s->size['k'])
        return signature_mismatch(spec, err, "%d coefficients for %d channels of %lld modes",
                                  s->size['k'], s->size['c'], m);
    return 0;
}

int op_rule_lookup_grad(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    if (!signature_bind(s, 'r', spec->attributes.slice.count))
        return signature_mismatch(spec, err, "slice.count is %d, the table has %d rows",
                                  spec->attributes.slice.count, s->size['r']);
    return 0;
}

int op_rule_normal(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    if (absent(spec, 1) != absent(spec, 2))
        return signature_mismatch(spec, err, "another key goes with weights");
    return 0;
}

int op_rule_dropout_mask(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    float rate = spec->attributes.draw.rate;

    if (!(rate >= 0 && rate < 1))
        return signature_mismatch(spec, err, "rate %g is not in [0, 1)", (double)rate);
    return 0;
}

int op_rule_sum(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    double count = signature_product(s, "*");
    int first = spec->attributes.slice.first;

    if (s->size['k'] == 0)
        signature_bind(s, 'k', (long long)count);
    if (first < 0 || first + count > s->size['k'])
        return signature_mismatch(spec, err, "%g elements from %d on leave a sum of %d", count,
                                  first, s->size['k']);
    return 0;
}

int op_rule_average(const struct kernel_spec *spec, struct signature *s, struct error *err)
{
    int first = spec->attributes.slice.first;

    if (first < 0 || first >= s->size['j'])
        return signature_mismatch(spec, err, "number %d of %d", first, s->size['j']);
    return 0;
}
