/* Values are those of the program after its passes, which merge operations: what a plan computes when
 * serving. Where every value of the program as it was written is wanted, the passes find nothing to
 * do, since a value that somebody reads is not merged away.
 */
#include "tools/inspect/compare.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/limits.h"
#include "engine/passes.h"
#include "engine/program.h"
#include "model/checkpoint.h"
#include "model/ncsnpp.h"
#include "tools/arguments.h"
#include "tools/inspect/difference.h"
#include "tools/inspect/side.h"
#include "tools/network.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a limit, which is for one operation on equal inputs, is multiplied by. */
static const double limit_margin = 4;

/* How often more than came in may go out. With the zoo's weights and bfloat16 it was 6 times at most, in
 * group norms. Attention made 82 times as much: an error of large logits is one in an exponent. */
static const double growth_max = 16, growth_max_attention = 1000;

enum { MODULE_BYTES = 64 };

struct options {
    const char *model, *sides[2], *weights, *choices;
    int n_threads, n_images;
    uint64_t seed;
    double tolerance; /* 0: by the limits */
    bool unfused, all;
};

/* A value and how it differs. */
struct row {
    int op; /* of the program */
    int value;
    char module[MODULE_BYTES];
    bool inherited; /* the operation has no parameters: the module is the one before */
    double nmse_in, growth, tolerance;
    struct difference difference;
};

struct comparison {
    const struct options *options;
    struct checkpoint *checkpoint;
    struct program *written, *computed; /* before and after the passes */
    struct side_network network;
    int *kept; /* network.kept */
    struct side *sides[2];
    double *nmse; /* [values of computed] */
    int n_rows;
    struct row *rows; /* [n_kept], in the order of the operations */
};

static int build_program(struct comparison *c, struct error *err)
{
    const struct architecture *a = &c->checkpoint->formulation.architecture;
    struct shape images = shape_images(a->image_size, a->image_size, a->num_channels);
    struct passes passes;
    int rc = program_create(&c->written, err);

    if (rc < 0)
        return rc;
    c->network = (struct side_network){
        .program = c->written,
        .x = program_input(c->written, "x", images, VALUE_EXACT),
        .time_cond = program_input(c->written, "time_cond", shape_vectors(1), VALUE_EXACT),
        .weights = c->checkpoint->weights,
        .n_images = c->options->n_images,
    };
    rc = ncsnpp_append(c->written, a, c->network.x, c->network.time_cond, -1, -1, -1, NULL,
                       &c->network.phi, err);
    if (rc < 0)
        return rc;
    if (c->options->unfused)
        return program_copy(c->written, &c->computed, err);
    return passes_run(c->written, 1, &c->network.phi, &passes, &c->computed, err);
}

/* Lists what is computed in both programs: values keep their numbers. */
static int choose_values(struct comparison *c, struct error *err)
{
    int n_values = program_n_values(c->computed), n_written = program_n_values(c->written);

    c->kept = calloc((size_t)n_values + 1, sizeof(*c->kept));
    c->nmse = calloc((size_t)n_values + 1, sizeof(*c->nmse));
    c->rows = calloc((size_t)n_values + 1, sizeof(*c->rows));
    if (!c->kept || !c->nmse || !c->rows)
        return error_set(err, -ENOMEM, "out of memory for %d values", n_values);
    for (int i = 0; i < program_n_ops(c->computed); i++) {
        const struct op *op = program_op(c->computed, i);

        for (int j = 0; j < op->n_outputs; j++) {
            if (op->outputs[j] < n_written &&
                program_value(c->computed, op->outputs[j])->shape.batched)
                c->kept[c->network.n_kept++] = op->outputs[j];
        }
    }
    c->network.kept = c->kept;
    return 0;
}

static int run_sides(struct comparison *c, struct error *err)
{
    const struct formulation *f = &c->checkpoint->formulation;
    size_t pixels = shape_count(&program_value(c->written, c->network.x)->shape);
    size_t n = (size_t)c->options->n_images;
    float *images = malloc(n * pixels * sizeof(*images)), *times = malloc(n * sizeof(*times));
    int rc = images && times ? 0 : error_set(err, -ENOMEM, "out of memory for %zu images", n);

    for (size_t i = 0; i < n && rc == 0; i++) {
        struct philox_key key = philox_key(c->options->seed, (uint32_t)i, 0);

        philox_uniforms(&key, PHILOX_STREAM_START, pixels, images + i * pixels);
        times[i] = formulation_time_cond(f, ((double)i + 0.5) / (double)n);
    }
    for (int i = 0; i < 2 && rc == 0; i++)
        rc = side_run(c->sides[i], images, times, err);
    free(images);
    free(times);
    return rc;
}

/* What the side that rounds a value more makes of it. */
static enum dtype coarser_dtype(const struct comparison *c, int value)
{
    const struct value *v = program_value(c->computed, value);
    enum dtype coarser = DTYPE_F32;

    for (int i = 0; i < 2 && v->type == VALUE_COMPUTE; i++) {
        enum dtype dtype = precision_dtype(side_precision(c->sides[i]));

        if (limit_of_dtype(dtype).nmse > limit_of_dtype(coarser).nmse)
            coarser = dtype;
    }
    return coarser;
}

static double limit_of_value(const struct comparison *c, int value)
{
    return limit_of_dtype(value >= 0 ? coarser_dtype(c, value) : DTYPE_F32).nmse;
}

static double tolerance_of(const struct comparison *c, const struct op *op)
{
    double limit = 0;

    if (c->options->tolerance > 0)
        return c->options->tolerance;
    for (int i = 0; i < op->n_inputs; i++)
        limit = fmax(limit, limit_of_value(c, op->inputs[i]));
    for (int i = 0; i < op->n_outputs; i++)
        limit = fmax(limit, limit_of_value(c, op->outputs[i]));
    return limit_margin * limit;
}

/* Of what an operation reads. */
static double largest_nmse(const struct comparison *c, const struct op *op)
{
    double largest = 0;

    for (int i = 0; i < op->n_inputs; i++) {
        if (op->inputs[i] >= 0)
            largest = fmax(largest, c->nmse[op->inputs[i]]);
    }
    return largest;
}

/* "all_modules.4.Conv_0" of an operation with the weight "all_modules.4.Conv_0.weight"; else false, and
 * module stays. */
static bool find_module(const struct comparison *c, const struct op *op, char module[MODULE_BYTES])
{
    for (int i = 0; i < op->n_inputs; i++) {
        const struct value *v =
            op->inputs[i] >= 0 ? program_value(c->computed, op->inputs[i]) : NULL;

        if (v && v->role == VALUE_PARAMETER) {
            const char *dot = strrchr(v->name, '.');

            snprintf(module, MODULE_BYTES, "%.*s", (int)(dot ? dot - v->name : MODULE_BYTES - 1),
                     v->name);
            return true;
        }
    }
    return false;
}

static int compare_value(struct comparison *c, int value, struct difference *out, struct error *err)
{
    size_t count =
        (size_t)c->options->n_images * shape_count(&program_value(c->computed, value)->shape);
    float *values[2] = {malloc(count * sizeof(float)), malloc(count * sizeof(float))};
    int rc = values[0] && values[1] ? 0 : error_set(err, -ENOMEM, "out of memory for a value");

    for (int i = 0; i < 2 && rc == 0; i++)
        rc = side_read(c->sides[i], value, values[i], err);
    if (rc == 0)
        *out = difference_of(count, values[0], values[1]);
    free(values[0]);
    free(values[1]);
    return rc;
}

/* An operation whose output is not kept, because the passes made it, hands on what came in. */
static int compare_op(struct comparison *c, int index, char module[MODULE_BYTES], struct error *err)
{
    const struct op *op = program_op(c->computed, index);
    double nmse_in = largest_nmse(c, op);
    bool has_module = find_module(c, op, module);

    for (int i = 0; i < op->n_outputs; i++) {
        struct row *row = &c->rows[c->n_rows];
        int value = op->outputs[i], rc;

        c->nmse[value] = nmse_in;
        if (c->n_rows == c->network.n_kept || c->kept[c->n_rows] != value)
            continue;
        *row = (struct row){.op = index,
                            .value = value,
                            .inherited = !has_module,
                            .nmse_in = nmse_in,
                            .growth = op->kind == OP_ATTENTION ? growth_max_attention : growth_max,
                            .tolerance = tolerance_of(c, op)};
        memcpy(row->module, module, MODULE_BYTES);
        rc = compare_value(c, value, &row->difference, err);
        if (rc < 0)
            return rc;
        c->nmse[value] = row->difference.nmse;
        c->n_rows++;
    }
    return 0;
}

static int compare(struct comparison *c, struct error *err)
{
    const struct options *o = c->options;
    char module[MODULE_BYTES] = "";
    int rc = network_load(o->model, o->weights, &c->checkpoint, err);

    if (rc == 0)
        rc = build_program(c, err);
    if (rc == 0)
        rc = choose_values(c, err);
    for (int i = 0; i < 2 && rc == 0; i++)
        rc = side_create(o->sides[i], o->n_threads, o->choices, &c->network, &c->sides[i], err);
    if (rc == 0)
        rc = run_sides(c, err);
    for (int i = 0; rc == 0 && i < program_n_ops(c->computed); i++)
        rc = compare_op(c, i, module, err);
    return rc;
}

static void fini(struct comparison *c)
{
    side_destroy(c->sides[0]);
    side_destroy(c->sides[1]);
    program_destroy(c->written);
    program_destroy(c->computed);
    checkpoint_destroy(c->checkpoint);
    free(c->kept);
    free(c->nmse);
    free(c->rows);
}

static bool exceeds(const struct row *row)
{
    return difference_exceeds(&row->difference, row->nmse_in, row->growth, row->tolerance);
}

static void print_row(const struct comparison *c, const struct row *row)
{
    const struct op *op = program_op(c->computed, row->op);
    const struct value *v = program_value(c->computed, row->value);
    char shape[TENSOR_TEXT_BYTES], module[MODULE_BYTES + 2];

    tensor_text(&v->shape, coarser_dtype(c, row->value), shape, sizeof(shape));
    snprintf(module, sizeof(module), row->inherited ? "(%s)" : "%s", row->module);
    printf("%5d %s %-18s %-30s %-18s %10.2g %10.2g %10.2g\n", row->op, exceeds(row) ? "!" : " ",
           op_name(op->kind), module, shape, row->nmse_in, row->difference.nmse,
           row->difference.worst);
}

static void print_titles(void)
{
    printf("%5s   %-18s %-30s %-18s %10s %10s %10s\n", "step", "operation", "module", "result",
           "nmse in", "nmse", "worst");
}

/* "[0, 12, 3, 5]": image, then as its shape says. */
static void place_text(const struct shape *shape, size_t index, char *text, size_t size)
{
    size_t count = shape_count(shape), n = (size_t)snprintf(text, size, "[%zu", index / count);

    index %= count;
    for (int i = 0; i < shape->n_dims && n < size; i++) {
        count /= (size_t)shape->dims[i];
        n += (size_t)snprintf(text + n, size - n, ", %zu", index / count);
        index %= count;
    }
    if (n < size)
        snprintf(text + n, size - n, "]");
}

static void print_details(const struct comparison *c, const struct row *row)
{
    const struct value *v = program_value(c->computed, row->value);
    char place[64];

    place_text(&v->shape, row->difference.index, place, sizeof(place));
    printf("%7s worst at %s: %.9g and %.9g; an NMSE above %.2g is too much\n", "", place,
           (double)row->difference.a, (double)row->difference.b,
           row->tolerance + row->growth * row->nmse_in);
}

static void print_head(const struct comparison *c)
{
    struct passes passes = side_passes(c->sides[0]);
    char names[2][64];

    for (int i = 0; i < 2; i++)
        side_describe(c->sides[i], names[i], sizeof(names[i]));
    printf("%s and %s; images: %d; values: %d; ", names[0], names[1], c->options->n_images,
           c->n_rows);
    if (c->options->unfused)
        puts("passes: off, since every value is read");
    else
        printf("passes as when serving: %d upsamplings behind 1x1 convolutions, %d sums in "
               "convolutions\n",
               passes.n_up_after, passes.n_add_into);
}

/* Whether keeping values changes phi on a side: then some are overwritten while they are needed. */
static int check_sides(const struct comparison *c, bool *good, struct error *err)
{
    for (int i = 0; i < 2 && !c->options->unfused; i++) {
        char name[64];
        bool same = false;
        int rc = side_check(c->sides[i], &same, err);

        if (rc < 0)
            return rc;
        if (same)
            continue;
        side_describe(c->sides[i], name, sizeof(name));
        printf("%s gives another phi where no value is kept\n", name);
        *good = false;
    }
    return 0;
}

/* *good: nothing is wrong. */
static int report(const struct comparison *c, bool *good, struct error *err)
{
    const struct row *first = NULL;

    print_head(c);
    for (int i = 0; i < c->n_rows && !first; i++) {
        if (exceeds(&c->rows[i]))
            first = &c->rows[i];
    }
    print_titles();
    for (int i = 0; i < c->n_rows; i++) {
        const struct row *row = &c->rows[i];

        if (c->options->all || row == first || row->value == c->network.phi)
            print_row(c, row);
        if (row == first)
            print_details(c, row);
    }
    if (!first)
        puts("no operation differs by more than rounding explains");
    *good = first == NULL;
    return check_sides(c, good, err);
}

int compare_main(int argc, char **argv)
{
    struct options o = {.choices = arguments_choices(), .n_images = 1};
    const struct argument table[] = {
        {"weights", 'w', ARGUMENT_TEXT, &o.weights, 0, 0, "FILE",
         "of an architecture: safetensors, by the reference's names; default: initial ones"},
        {"images", 'n', ARGUMENT_INT, &o.n_images, 1, 4096, "N", "of random pixels; default 1"},
        {"seed", 's', ARGUMENT_U64, &o.seed, 0, 0, "N", "of these; default 0"},
        {"tolerance", 0, ARGUMENT_NUMBER, &o.tolerance, 0, 1e30, "X",
         "NMSE that an operation may add; default: by the limits of the conformance tests"},
        {"unfused", 0, ARGUMENT_FLAG, &o.unfused, 0, 0, NULL,
         "every operation as the network is written; else as they are merged when serving"},
        {"all", 'a', ARGUMENT_FLAG, &o.all, 0, 0, NULL, "print all operations"},
        ARGUMENTS_THREADS(&o.n_threads),
        ARGUMENTS_CHOICES(&o.choices),
    };
    const struct arguments arguments = {
        .program = "softdiff-inspect compare",
        .usage = "MODEL|ARCHITECTURE.json DEVICE[:P] DEVICE[:P] [options]",
        .about = "Evaluates a network on two devices or in two precisions, such as reference and "
                 "cpu:bf16, and names\nthe first operation whose result differs by more than it "
                 "should; exit code 1 if there is one. A\nmodule in parentheses is that of an "
                 "operation before.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
        .n_operands_min = 3,
        .n_operands_max = 3,
    };
    const char *operands[3];
    struct comparison c = {.options = &o};
    struct error err;
    bool good = false;
    int code = arguments_parse(&arguments, argc, argv, operands), rc;

    if (code >= 0)
        return code;
    o.model = operands[0];
    o.sides[0] = operands[1];
    o.sides[1] = operands[2];
    for (int i = 0; i < 2; i++) {
        if (side_check_name(o.sides[i], &err) < 0)
            return arguments_refuse(arguments.program, err.text);
    }
    rc = compare(&c, &err);
    if (rc == 0)
        rc = report(&c, &good, &err);
    fini(&c);
    if (rc < 0)
        fprintf(stderr, "softdiff-inspect: %s\n", err.text);
    else if (!good)
        fprintf(stderr, "softdiff-inspect: the two differ\n");
    return rc < 0 || !good ? EXIT_FAILED : EXIT_DONE;
}
