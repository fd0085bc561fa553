/* Making plans. */
#include "engine/base/error.h"
#include "engine/parameters.h"
#include "engine/plan_steps.h"
#include "engine/program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum dtype plan_dtype(const struct plan *plan, enum value_type type)
{
    return value_dtype(type, precision_dtype(plan->precision));
}

static bool writes_state(const struct program *p, const struct op *op)
{
    for (int i = 0; i < op->n_outputs; i++) {
        if (program_value(p, op->outputs[i])->role == VALUE_STATE)
            return true;
    }
    return false;
}

/* Whether an operation has anything of an image's. */
static bool has_images(const struct program *p, const struct op *op)
{
    bool found = false;

    for (int i = 0; i < op->n_inputs; i++)
        found |= op->inputs[i] >= 0 && program_value(p, op->inputs[i])->shape.batched;
    for (int i = 0; i < op->n_outputs; i++)
        found |= program_value(p, op->outputs[i])->shape.batched;
    return found;
}

/* Marks the operations that write state or whose outputs lead to an output of the plan. */
static void mark_needed(const struct program *p, const struct plan_options *options, bool *values,
                        bool *ops)
{
    for (int i = 0; i < options->n_outputs; i++)
        values[options->outputs[i]] = true;
    for (int i = program_n_ops(p) - 1; i >= 0; i--) {
        const struct op *op = program_op(p, i);

        ops[i] = writes_state(p, op);
        for (int j = 0; j < op->n_outputs; j++)
            ops[i] |= values[op->outputs[j]];
        for (int j = 0; ops[i] && j < op->n_outputs; j++)
            values[op->outputs[j]] = true;
        for (int j = 0; ops[i] && j < op->n_inputs; j++) {
            if (op->inputs[j] >= 0)
                values[op->inputs[j]] = true;
        }
    }
}

/* Whether a value is summed over the images that a cut has at once. */
static bool is_partial(const struct program *p, int value)
{
    for (int i = 0; i < program_n_ops(p); i++) {
        const struct op *op = program_op(p, i);
        bool made = false, batched = false;

        for (int j = 0; j < op->n_outputs; j++)
            made |= op->outputs[j] == value;
        for (int j = 0; made && j < op->n_inputs; j++)
            batched |= op->inputs[j] >= 0 && program_value(p, op->inputs[j])->shape.batched;
        if (made)
            return batched && !program_value(p, value)->shape.batched;
    }
    return false;
}

/* What has no images would be done once by every cut, side by side: in the arena that is a waste,
 * elsewhere a mistake. */
static int check_unbatched(const struct plan *plan, const bool *needed_ops, struct error *err)
{
    const struct program *p = plan->program;

    for (int i = 0; i < program_n_ops(p) && plan->batch_max > 1; i++) {
        const struct op *op = program_op(p, i);
        bool seen = writes_state(p, op), again;

        for (int j = 0; j < op->n_outputs; j++)
            seen |= plan->locations[op->outputs[j]].memory == MEMORY_OUTBOX;
        again = op->kind == OP_SUM ? !is_partial(p, op->inputs[0]) : seen && !has_images(p, op);
        if (needed_ops[i] && again)
            return error_set(err, -EINVAL, "%s without images in a plan for %d", op_name(op->kind),
                             plan->batch_max);
    }
    return 0;
}

/* Appends a sum over the images of the run for every output that is the sum over a cut's. */
static int append_sums(struct plan *plan, const struct plan_options *options, int *sums,
                       struct error *err)
{
    struct program *p = plan->program;

    for (int i = 0; i < options->n_outputs; i++) {
        int value = options->outputs[i];

        if (sums[value] < 0 && is_partial(p, value))
            sums[value] = program_sum(p, value);
    }
    return program_check(p, err);
}

static int make_kernel(struct plan *plan, int size, const struct op *op, struct kernel **out,
                       struct error *err)
{
    struct kernel_spec spec;
    int rc = device_check_stop(plan->device, err);

    if (rc < 0)
        return rc;
    program_describe(plan->program, op, size, plan_dtype(plan, VALUE_COMPUTE), &spec);
    return plan->ops->kernel_create(plan->device, &spec, out, err);
}

/* Whether an operation is linear on vectors, with weights that are there from the start. */
static bool is_linear_of_vectors(const struct program *p, const struct op *op)
{
    if (op->kind != OP_LINEAR || program_value(p, op->inputs[0])->shape.n_dims != 1)
        return false;
    for (int i = 1; i < op->n_inputs; i++) {
        if (op->inputs[i] >= 0 && program_value(p, op->inputs[i])->role == VALUE_COMPUTED)
            return false;
    }
    return true;
}

static int append_step(struct plan *plan, struct cut *cut, int op, struct error *err)
{
    const struct op *o = program_op(plan->program, op);
    struct step *step = &cut->steps[cut->n_steps];
    int rc = make_kernel(plan, cut->size, o, &step->kernel, err);

    if (rc < 0)
        return rc;
    step->op = op;
    step->order = o->kind == OP_SUM ? plan->n_ordered++ : -1;
    step->n_inputs = o->n_inputs;
    step->n_outputs = o->n_outputs;
    cut->n_steps++;
    return 0;
}

/* The steps are in the order of the program; but where the device joins steps, the linear operations that
 * read one vector, which all blocks of a network have, follow the first of them. left [n_ops]: the
 * operations that are needed, which become none. */
static int append_steps(struct plan *plan, struct cut *cut, bool *left, struct error *err)
{
    const struct program *p = plan->program;
    int n_ops = program_n_ops(p), rc = 0;

    for (int i = 0; i < n_ops && rc == 0; i++) {
        const struct op *op = program_op(p, i);

        if (!left[i])
            continue;
        rc = append_step(plan, cut, i, err);
        if (!plan->ops->joins || !is_linear_of_vectors(p, op))
            continue;
        for (int j = i + 1; j < n_ops && rc == 0; j++) {
            const struct op *other = program_op(p, j);

            if (!left[j] || !is_linear_of_vectors(p, other) || other->inputs[0] != op->inputs[0])
                continue;
            rc = append_step(plan, cut, j, err);
            left[j] = false;
        }
    }
    return rc;
}

static int make_cut(struct plan *plan, int size, const bool *needed_ops, struct error *err)
{
    struct cut *cut = &plan->cuts[plan->n_cuts++];
    size_t n_ops = (size_t)program_n_ops(plan->program);
    bool *left = malloc((n_ops + 1) * sizeof(*left));
    int rc;

    cut->size = size;
    cut->steps = calloc(n_ops + 1, sizeof(*cut->steps));
    plan->n_ordered = 0;
    if (left && cut->steps) {
        memcpy(left, needed_ops, n_ops * sizeof(*left));
        rc = append_steps(plan, cut, left, err);
    } else {
        rc = error_set(err, -ENOMEM, "out of memory for the steps of a plan");
    }
    free(left);
    if (rc == 0)
        rc = plan_number_rounds(plan, cut, err);
    return rc < 0 ? rc : plan_connect(plan, cut, err);
}

static struct plan_outline outline_of(const struct plan *plan, const bool *needed_ops)
{
    struct plan_outline outline = {.batch_max = plan->batch_max};

    for (int i = 0; i < program_n_ops(plan->program); i++) {
        const struct op *op = program_op(plan->program, i);
        size_t count;

        if (!needed_ops[i])
            continue;
        outline.sums |= op->kind == OP_SUM;
        if (op->kind != OP_CONVOLUTION && op->kind != OP_CONVOLUTION_ADD)
            continue;
        count = shape_count(&program_value(plan->program, op->outputs[0])->shape);
        if (count > outline.widest)
            outline.widest = count;
    }
    return outline;
}

/* Images of the largest cut. */
static int choose_size(const struct plan *plan, const struct plan_options *options,
                       const struct plan_outline *outline)
{
    struct plan_outline whole = *outline;

    if (options->size)
        return options->size;
    if (outline->sums && options->whole > plan->batch_max) {
        int size;

        whole.batch_max = options->whole;
        size = plan->ops->size(plan->device, &whole);
        if (plan->batch_max % size == 0)
            return size;
    }
    return plan->ops->size(plan->device, outline);
}

static int make_cuts(struct plan *plan, const struct plan_options *options, const bool *needed_ops,
                     struct error *err)
{
    struct plan_outline outline = outline_of(plan, needed_ops);
    int size = choose_size(plan, options, &outline);
    int rc = make_cut(plan, size, needed_ops, err);

    while (rc == 0 && size > 1 && plan->ops->halves && !outline.sums) {
        size /= 2;
        rc = make_cut(plan, size, needed_ops, err);
    }
    return rc;
}

/* Everything after the program is there. */
static int build(struct plan *plan, const struct plan_options *options, struct error *err)
{
    const struct program *p = plan->program;
    int rc = plan->ops->precision(plan->device, options->precision, &plan->precision, err);
    int n_values = program_n_values(p), *sums;
    bool *needed_values, *needed_ops;

    if (rc < 0)
        return rc;
    sums = malloc(((size_t)n_values + 1) * sizeof(*sums));
    needed_values = calloc(2 * (size_t)n_values + 1, sizeof(*needed_values)); /* with sums */
    needed_ops = calloc((size_t)program_n_ops(p) + (size_t)n_values + 1, sizeof(*needed_ops));
    plan->locations = calloc(2 * (size_t)n_values + 1, sizeof(*plan->locations));
    if (!plan->locations || !needed_values || !needed_ops || !sums) {
        rc = error_set(err, -ENOMEM, "out of memory for a plan");
        goto out;
    }
    for (int i = 0; i < n_values; i++)
        sums[i] = -1;
    rc = append_sums(plan, options, sums, err);
    if (rc < 0)
        goto out;
    plan->n_values = program_n_values(p);
    for (int i = 0; i < plan->n_values; i++) {
        plan->locations[i].sum = i < n_values ? sums[i] : -1;
        needed_values[i] |= i >= n_values;
    }
    mark_needed(p, options, needed_values, needed_ops);
    plan_locate(plan, options, needed_values, needed_ops);
    rc = check_unbatched(plan, needed_ops, err);
    if (rc == 0)
        rc = make_cuts(plan, options, needed_ops, err);

out:
    free(sums);
    free(needed_values);
    free(needed_ops);
    return rc;
}

int plan_create(struct device *device, const struct program *p, struct parameters *parameters,
                const struct plan_options *options, struct plan **out, struct error *err)
{
    struct plan *plan;
    int rc;

    if (options->batch_max < 1 || options->size < 0 || options->size > options->batch_max ||
        options->size >= 1 << CUTS_MAX)
        return error_set(err, -EINVAL, "a plan for %d images cannot have cuts of %d",
                         options->batch_max, options->size);
    plan = calloc(1, sizeof(*plan));
    if (!plan)
        return error_set(err, -ENOMEM, "out of memory for a plan");
    plan->device = device;
    plan->ops = device_base(device)->ops;
    plan->parameters = parameters;
    plan->batch_max = options->batch_max;
    rc = passes_run(p, options->n_outputs, options->outputs, &plan->passes, &plan->program, err);
    if (rc == 0)
        rc = build(plan, options, err);
    if (rc < 0) {
        plan_destroy(plan);
        return rc;
    }
    *out = plan;
    return 0;
}

void plan_destroy(struct plan *plan)
{
    if (!plan)
        return;
    for (int i = 0; i < plan->n_cuts; i++) {
        struct cut *cut = &plan->cuts[i];

        for (int j = 0; j < cut->n_steps; j++) {
            parameters_release(plan->parameters, cut->steps[j].kernel);
            cut->steps[j].kernel->ops->destroy(cut->steps[j].kernel);
        }
        free(cut->steps);
    }
    free(plan->locations);
    program_destroy(plan->program);
    free(plan);
}

int step_end(const struct step *step)
{
    return step->round + step->kernel->n_stages;
}

int plan_n_steps(const struct plan *plan)
{
    return plan->cuts[0].n_steps;
}

int plan_n_rounds(const struct plan *plan)
{
    return plan->cuts[0].n_rounds;
}

int plan_n_launches(const struct plan *plan)
{
    const struct cut *cut = &plan->cuts[0];
    int n = 0;

    for (int i = 0; i < cut->n_steps; i++)
        n += !cut->steps[i].joined;
    return n;
}

struct passes plan_passes(const struct plan *plan)
{
    return plan->passes;
}

struct plan_step plan_step(const struct plan *plan, int i)
{
    const struct step *step = &plan->cuts[0].steps[i];
    const struct op *op = program_op(plan->program, step->op);
    const struct value *x = program_value(plan->program, op->inputs[0]);
    const struct value *y = program_value(plan->program, op->outputs[0]);
    struct kernel_spec spec;

    program_describe(plan->program, op, 1, plan_dtype(plan, VALUE_COMPUTE), &spec);
    return (struct plan_step){
        .op = op,
        .x = x->shape,
        .y = y->shape,
        .x_type = plan_dtype(plan, x->type),
        .y_type = plan_dtype(plan, y->type),
        .products = op_products(&spec),
        .round = step->round,
        .n_parts = step->kernel->n_parts[0],
        .joined = step->joined,
    };
}

void plan_step_spec(const struct plan *plan, int i, struct kernel_spec *out)
{
    const struct cut *cut = &plan->cuts[0];

    program_describe(plan->program, program_op(plan->program, cut->steps[i].op), cut->size,
                     plan_dtype(plan, VALUE_COMPUTE), out);
}

int plan_size(const struct plan *plan)
{
    return plan->cuts[0].size;
}

int plan_batch_max(const struct plan *plan)
{
    return plan->batch_max;
}

enum precision plan_precision(const struct plan *plan)
{
    return plan->precision;
}
