/* Every width costs in proportion: an operation on c channels takes about as long as, at most, on
 * the next multiple of 32, whatever c is.
 *
 * Both are timed in turns, so that what else the machine does hurts both, and compared by their
 * fastest runs, to which other processes add least.
 */
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "tests/conformance/runner.h"
#include "tests/conformance/tap.h"

#include <string.h>

/* What a width may cost beside the next multiple of 32. In float32 that is 1.4 at most; in bfloat16,
 * where an algorithm may be for multiples of 32 only, 3. The faults that this is for cost a hundred
 * times. */
static const double ratio_max = 6;

enum { RUNS = 15, RUNS_SLOW = 3, SLOW_NS = 20 * 1000 * 1000, MULTIPLE = 32, N_IMAGES = 2 };

static const int widths[] = {1, 3, 4, 5, 12, 20, 24, 28, 33, 36, 40, 44, 48, 52, 60, 72, 100};

static const struct cost_row {
    const char *name;
    enum op_kind kind;
    int side;                /* of the images */
    int window, stride, pad; /* of convolutions */
    int in, out;             /* channels in widths */
} rows[] = {
    {"convolution", OP_CONVOLUTION, 16, 3, 1, 1, 1, 1},
    {"convolution at 32x32", OP_CONVOLUTION, 32, 3, 1, 1, 1, 1},
    {"convolution at 8x8", OP_CONVOLUTION, 8, 3, 1, 1, 1, 1},
    {"convolution to twice as many", OP_CONVOLUTION, 16, 3, 1, 1, 1, 2},
    {"convolution to half as many", OP_CONVOLUTION, 16, 3, 1, 1, 2, 1},
    {"convolution by 1x1", OP_CONVOLUTION, 16, 1, 1, 0, 2, 1},
    {"convolution of stride 2", OP_CONVOLUTION, 17, 3, 2, 0, 1, 1},
    {"sum of a convolution", OP_CONVOLUTION_ADD, 16, 3, 1, 1, 1, 1},
    {"gradient of the data", OP_CONVOLUTION_GRAD_DATA, 16, 3, 1, 1, 1, 1},
    {"gradient of the data, of half as many", OP_CONVOLUTION_GRAD_DATA, 16, 3, 1, 1, 2, 1},
    {"gradient of the data, stride 2", OP_CONVOLUTION_GRAD_DATA, 17, 3, 2, 0, 1, 1},
    {"gradient of the weights", OP_CONVOLUTION_GRAD_WEIGHT, 16, 3, 1, 1, 1, 1},
    {"gradient of the weights, of half as many", OP_CONVOLUTION_GRAD_WEIGHT, 16, 3, 1, 1, 2, 1},
    {"gradient of the weights, stride 2", OP_CONVOLUTION_GRAD_WEIGHT, 17, 3, 2, 0, 1, 1},
    {"attention", OP_ATTENTION, 16, 0, 0, 0, 1, 1},
    {"gradient of attention", OP_ATTENTION_GRAD, 16, 0, 0, 0, 1, 1},
    {"upfirdn", OP_UPFIRDN, 16, 0, 0, 0, 1, 1},
    {"group norm", OP_GROUP_NORM, 16, 0, 0, 0, 1, 1},
    {"gradient of group norm", OP_GROUP_NORM_GRAD, 16, 0, 0, 0, 1, 1},
};

enum { N_WIDTHS = sizeof(widths) / sizeof(widths[0]), N_ROWS = sizeof(rows) / sizeof(rows[0]) };

/* A kernel of one width, ready to run. */
struct subject {
    struct kernel_spec spec;
    struct tensor_set set;
    struct runner *runner;
    long long best_ns;
};

static struct tensor_desc images(enum dtype dtype, int side, int c)
{
    return (struct tensor_desc){
        .dtype = dtype,
        .shape = {.batched = true, .n_dims = 3, .dims = {side, side, c}},
        .n = N_IMAGES,
    };
}

static struct tensor_desc scores(enum dtype dtype, int n_positions)
{
    return (struct tensor_desc){
        .dtype = dtype,
        .shape = {.batched = true, .n_dims = 2, .dims = {n_positions, n_positions}},
        .n = N_IMAGES,
    };
}

static struct tensor_desc exact(bool parameter, int n_dims, int d0, int d1, int d2, int d3)
{
    return (struct tensor_desc){
        .dtype = DTYPE_F32,
        .parameter = parameter,
        .shape = {.n_dims = n_dims, .dims = {d0, d1, d2, d3}},
        .n = 1,
    };
}

static void add_input(struct kernel_spec *spec, struct tensor_desc desc)
{
    spec->inputs[spec->n_inputs++] = desc;
}

static void add_output(struct kernel_spec *spec, struct tensor_desc desc)
{
    spec->outputs[spec->n_outputs++] = desc;
}

static void convolution_spec(struct kernel_spec *spec, const struct cost_row *row, int width,
                             enum dtype dtype)
{
    int in = row->in * width, out = row->out * width, k = row->window;
    int y_side = (row->side + 2 * row->pad - k) / row->stride + 1;
    struct tensor_desc x = images(dtype, row->side, in), y = images(dtype, y_side, out);

    spec->attributes.window.stride = row->stride;
    spec->attributes.window.pad = row->pad;
    spec->attributes.window.in[0] = spec->attributes.window.in[1] = row->side;
    spec->attributes.window.side = k;
    spec->attributes.add.scale = 0.7f;
    add_input(spec, row->kind == OP_CONVOLUTION_GRAD_DATA ? y : x);
    if (row->kind == OP_CONVOLUTION_GRAD_WEIGHT) {
        add_input(spec, y);
        add_output(spec, exact(false, 4, out, in, k, k));
        add_output(spec, exact(false, 1, out, 0, 0, 0));
        return;
    }
    add_input(spec, exact(true, 4, out, in, k, k));
    if (row->kind == OP_CONVOLUTION_GRAD_DATA) {
        add_output(spec, x);
        return;
    }
    add_input(spec, exact(true, 1, out, 0, 0, 0));
    if (row->kind == OP_CONVOLUTION_ADD)
        add_input(spec, y);
    add_output(spec, y);
}

static void group_norm_spec(struct kernel_spec *spec, const struct cost_row *row, int width,
                            enum dtype dtype)
{
    int groups = width % 4 == 0 ? width / 4 : 1; /* as NCSN++ has them, where it can */
    struct tensor_desc x = images(dtype, row->side, width);
    struct tensor_desc stats = {
        .dtype = DTYPE_F32,
        .shape = {.batched = true, .n_dims = 2, .dims = {2, groups}},
        .n = N_IMAGES,
    };

    spec->attributes.group_norm.groups = groups;
    spec->attributes.group_norm.eps = 1e-6f;
    spec->attributes.group_norm.silu = true;
    add_input(spec, x);
    for (int i = 0; i < 2; i++)
        add_input(spec, exact(true, 1, width, 0, 0, 0));
    if (row->kind == OP_GROUP_NORM) {
        add_output(spec, x);
        add_output(spec, stats);
        return;
    }
    add_input(spec, stats);
    add_input(spec, x);
    add_output(spec, x);
    for (int i = 0; i < 2; i++)
        add_output(spec, exact(false, 1, width, 0, 0, 0));
}

static void spec_make(struct kernel_spec *spec, const struct cost_row *row, int width,
                      enum dtype dtype)
{
    static const float fir[16] = {1, 3, 3, 1, 3, 9, 9, 3, 3, 9, 9, 3, 1, 3, 3, 1};
    struct tensor_desc x = images(dtype, row->side, width);
    struct tensor_desc p = scores(dtype, row->side * row->side);

    *spec = (struct kernel_spec){.kind = row->kind};
    switch (row->kind) {
    case OP_ATTENTION:
    case OP_ATTENTION_GRAD:
        spec->attributes.attention.scale = 0.1f;
        for (int i = 0; i < 3; i++)
            add_input(spec, x);
        if (row->kind == OP_ATTENTION) {
            add_output(spec, x);
            add_output(spec, p);
            break;
        }
        add_input(spec, p);
        add_input(spec, x);
        for (int i = 0; i < 3; i++)
            add_output(spec, x);
        break;
    case OP_UPFIRDN:
        for (int i = 0; i < 16; i++)
            spec->attributes.upfirdn.kernel[i] = fir[i] / 16;
        spec->attributes.upfirdn.up = 2;
        spec->attributes.upfirdn.down = 1;
        for (int i = 0; i < 4; i++)
            spec->attributes.upfirdn.pad[i] = i % 2 == 0 ? 2 : 1;
        add_input(spec, x);
        add_output(spec, images(dtype, 2 * row->side, width));
        break;
    case OP_GROUP_NORM:
    case OP_GROUP_NORM_GRAD:
        group_norm_spec(spec, row, width, dtype);
        break;
    default:
        convolution_spec(spec, row, width, dtype);
    }
}

static void subject_fini(struct subject *s)
{
    runner_destroy(s->runner);
    tensor_set_fini(&s->set);
}

static int subject_init(struct subject *s, struct device *device, const struct cost_row *row,
                        int width, enum dtype dtype, struct error *err)
{
    *s = (struct subject){.best_ns = -1};
    spec_make(&s->spec, row, width, dtype);
    for (int i = 0; i < s->spec.n_inputs; i++) {
        struct tensor *t = &s->set.inputs[i];

        tensor_init(t, &s->spec.inputs[i]);
        for (size_t j = 0; j < tensor_count(&t->desc); j++)
            tensor_store(t, j, (float)(j * 7919 % 13) / 13 - 0.5f);
    }
    return runner_create(device, &s->spec, &s->set, &s->runner, err);
}

static int subject_time(struct subject *s, struct error *err)
{
    double start = clock_seconds();
    int rc = runner_run(s->runner, err);
    long long ns = (long long)(1e9 * (clock_seconds() - start));

    if (s->best_ns < 0 || ns < s->best_ns)
        s->best_ns = ns;
    return rc;
}

/* What width takes beside the multiple of 32. */
static int ratio_measure(struct device *device, const struct cost_row *row, int width,
                         enum dtype dtype, double *out, struct error *err)
{
    int wide = (width + MULTIPLE - 1) / MULTIPLE * MULTIPLE;
    struct subject subjects[2] = {{.best_ns = -1}, {.best_ns = -1}};
    int rc = subject_init(&subjects[0], device, row, width, dtype, err);

    if (rc == 0)
        rc = subject_init(&subjects[1], device, row, wide, dtype, err);
    for (int i = 0; i < RUNS && rc == 0; i++) {
        if (i >= RUNS_SLOW && subjects[0].best_ns > SLOW_NS)
            break;
        for (int j = 0; j < 2 && rc == 0; j++)
            rc = subject_time(&subjects[j], err);
    }
    if (rc == 0)
        *out = (double)subjects[0].best_ns / (double)subjects[1].best_ns;
    for (int i = 0; i < 2; i++)
        subject_fini(&subjects[i]);
    return rc;
}

static void check_row(struct device *device, const struct cost_row *row, enum precision precision)
{
    const char *name = device_base(device)->ops->name;
    enum dtype dtype = precision_dtype(precision);
    double worst = 0;
    int worst_width = 0;

    for (int i = 0; i < N_WIDTHS; i++) {
        struct error err;
        double ratio = 0;

        if (ratio_measure(device, row, widths[i], dtype, &ratio, &err) < 0) {
            tap_result(false, "%s %s %s: %s", name, precision_name(precision), row->name, err.text);
            return;
        }
        if (ratio > worst) {
            worst = ratio;
            worst_width = widths[i];
        }
    }
    tap_result(worst <= ratio_max, "%s %s %s: %.2f of the next multiple of %d at most, at %d", name,
               precision_name(precision), row->name, worst, MULTIPLE, worst_width);
}

int main(void)
{
    static const enum precision precisions[] = {PRECISION_FP32, PRECISION_BF16};

    for (int i = 0; device_name_at(i); i++) {
        const struct device_ops *ops;
        struct device *device;
        struct error err;

        if (strcmp(device_name_at(i), "reference") == 0)
            continue; /* plain loops */
        if (device_open(device_name_at(i), 1, NULL, &device, &err) < 0) {
            tap_skip(err.text, "device %s", device_name_at(i));
            continue;
        }
        ops = device_base(device)->ops;
        for (size_t p = 0; p < 2; p++) {
            enum precision precision;

            if (ops->precision(device, precisions[p], &precision, &err) < 0)
                continue;
            for (int row = 0; row < N_ROWS; row++)
                check_row(device, &rows[row], precision);
        }
        device_close(device);
    }
    return tap_finish();
}
