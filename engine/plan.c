/* Making plans, and what goes in and comes out of them. */
#include "engine/plan_steps.h"
#include "engine/base/error.h"
#include "engine/base/pool.h"
#include "engine/layout.h"
#include "engine/parameters.h"
#include "engine/program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static enum dtype dtype_of(const struct plan *plan, enum value_type type)
{
    if (type == VALUE_KEY)
        return DTYPE_U32;
    return type == VALUE_COMPUTE && plan->precision == PRECISION_BF16 ? DTYPE_BF16 : DTYPE_F32;
}

static int allocate(struct plan *plan, size_t bytes, void **out, struct error *err)
{
    int rc = plan->ops->memory_create(plan->device, bytes, out, err);

    if (rc == 0)
        plan->memory_bytes += bytes;
    return rc;
}

/* Marks the operations whose outputs lead to an output of the plan. */
static void mark_needed(const struct program *p, const struct plan_options *options, bool *values,
                        bool *ops)
{
    for (int i = 0; i < options->n_outputs; i++)
        values[options->outputs[i]] = true;
    for (int i = program_n_ops(p) - 1; i >= 0; i--) {
        const struct op *op = program_op(p, i);

        for (int j = 0; j < op->n_outputs; j++)
            ops[i] |= values[op->outputs[j]];
        for (int j = 0; ops[i] && j < op->n_inputs; j++) {
            if (op->inputs[j] >= 0)
                values[op->inputs[j]] = true;
        }
    }
}

static struct tensor_desc describe(const struct plan *plan, const struct program *p, int value)
{
    struct tensor_desc desc = {.absent = value < 0, .n = 1};

    if (value >= 0) {
        const struct value *v = program_value(p, value);

        desc.dtype = dtype_of(plan, v->type);
        desc.parameter = v->role == VALUE_PARAMETER;
        desc.shape = v->shape;
        desc.n = v->shape.batched ? plan->grain : 1;
    }
    return desc;
}

static int make_kernel(struct plan *plan, const struct program *p, const struct op *op,
                       struct kernel **out, struct error *err)
{
    struct kernel_spec spec = {.kind = op->kind,
                               .attributes = op->attributes,
                               .n_inputs = op->n_inputs,
                               .n_outputs = op->n_outputs};

    for (int i = 0; i < op->n_inputs; i++)
        spec.inputs[i] = describe(plan, p, op->inputs[i]);
    for (int i = 0; i < op->n_outputs; i++)
        spec.outputs[i] = describe(plan, p, op->outputs[i]);
    return plan->ops->kernel_create(plan->device, &spec, out, err);
}

/* The last round of a step. */
static int last_round(const struct step *step)
{
    return step->round + (step->kernel->n_stages > 1 ? step->kernel->n_stages - 1 : 0);
}

/* Gives every step the first round after those of the steps it reads from, and none before that
 * of the step before it: so the steps stay in the order they were written in. */
static int make_rounds(struct plan *plan, const struct program *p, const int *steps_of,
                       struct error *err)
{
    int *ready = calloc((size_t)plan->n_values + 1, sizeof(*ready)); /* the round after its maker */
    int round = 0, n_entries = 0;

    if (!ready)
        return error_set(err, -ENOMEM, "out of memory for the rounds of a plan");
    for (int i = 0; i < program_n_ops(p); i++) {
        const struct op *op = program_op(p, i);
        struct step *step;

        if (steps_of[i] < 0)
            continue;
        step = &plan->steps[steps_of[i]];
        for (int j = 0; j < op->n_inputs; j++) {
            if (op->inputs[j] >= 0 && ready[op->inputs[j]] > round)
                round = ready[op->inputs[j]];
        }
        step->round = round;
        for (int j = 0; j < op->n_outputs; j++)
            ready[op->outputs[j]] = last_round(step) + 1;
        if (last_round(step) >= plan->n_rounds)
            plan->n_rounds = last_round(step) + 1;
        n_entries += last_round(step) - step->round + 1;
    }
    free(ready);
    plan->rounds = calloc((size_t)plan->n_rounds + 1, sizeof(*plan->rounds));
    plan->entries = calloc((size_t)n_entries + 1, sizeof(*plan->entries));
    if (!plan->rounds || !plan->entries)
        return error_set(err, -ENOMEM, "out of memory for the rounds of a plan");
    n_entries = 0;
    for (int r = 0; r < plan->n_rounds; r++) {
        plan->rounds[r].first_entry = n_entries;
        for (int i = 0; i < plan->n_steps; i++) {
            const struct step *step = &plan->steps[i];
            int stage = r - step->round;
            struct round_entry entry = {.step = i, .stage = stage, .n_parts = 1};

            if (stage < 0 || r > last_round(step))
                continue;
            if (step->kernel->n_stages > 0)
                entry.n_parts = step->kernel->n_parts[stage];
            plan->rounds[r].n_parts += entry.n_parts;
            plan->entries[n_entries++] = entry;
        }
        plan->rounds[r].n_entries = n_entries - plan->rounds[r].first_entry;
    }
    return 0;
}

/* Decides where every needed value lives and lays out the arena. steps_of[i] is the number of the
 * step of operation i, or -1. */
static int locate(struct plan *plan, const struct program *p, const struct plan_options *options,
                  const bool *needed, const int *steps_of, struct error *err)
{
    int n_chunks_max = (plan->batch_max + plan->grain - 1) / plan->grain;
    struct layout_block *blocks =
        calloc((size_t)plan->n_steps + (size_t)plan->n_values + 1, sizeof(*blocks));
    int *block_of = malloc((size_t)plan->n_values * sizeof(*block_of) + 1);
    int n_blocks = plan->n_steps, rc = 0; /* the first of them: what the steps' stages share */

    if (!blocks || !block_of) {
        rc = error_set(err, -ENOMEM, "out of memory to lay out a plan");
        goto out;
    }
    for (int i = 0; i < plan->n_values; i++) {
        const struct value *v = program_value(p, i);
        struct location *at = &plan->locations[i];

        block_of[i] = -1;
        at->dtype = dtype_of(plan, v->type);
        at->count = shape_count(&v->shape);
        at->input = v->role == VALUE_INPUT;
        if (needed[i] && v->role == VALUE_PARAMETER)
            at->place = PLACE_PARAMETER;
        if (needed[i] && v->role == VALUE_INPUT)
            at->place = v->shape.batched ? PLACE_BATCH : PLACE_CONSTANT;
    }
    for (int i = 0; i < options->n_outputs; i++) {
        const struct value *v = program_value(p, options->outputs[i]);
        struct location *at = &plan->locations[options->outputs[i]];

        if (v->role != VALUE_COMPUTED)
            continue;
        if (at->place == PLACE_NONE && !v->shape.batched) {
            at->offset = plan->sum_bytes;
            plan->sum_bytes += (at->count * sizeof(float) + LAYOUT_ALIGNMENT - 1) /
                               LAYOUT_ALIGNMENT * LAYOUT_ALIGNMENT;
        }
        at->place = v->shape.batched ? PLACE_BATCH : PLACE_SUM;
    }
    for (int i = 0; i < plan->n_steps; i++)
        blocks[i] = (struct layout_block){.bytes = plan->steps[i].kernel->shared_bytes,
                                          .first = plan->steps[i].round,
                                          .last = last_round(&plan->steps[i])};
    /* What is left is made and used inside a chunk. So are sums while they are added. */
    for (int i = 0; i < program_n_ops(p); i++) {
        const struct op *op = program_op(p, i);

        for (int j = 0; steps_of[i] >= 0 && j < op->n_outputs; j++) {
            struct location *at = &plan->locations[op->outputs[j]];
            const struct value *v = program_value(p, op->outputs[j]);

            if (at->place == PLACE_BATCH)
                continue;
            if (at->place == PLACE_NONE)
                at->place = PLACE_ARENA;
            block_of[op->outputs[j]] = n_blocks;
            blocks[n_blocks].bytes =
                at->count * dtype_size(at->dtype) * (size_t)(v->shape.batched ? plan->grain : 1);
            blocks[n_blocks].first = plan->steps[steps_of[i]].round;
            blocks[n_blocks].last = last_round(&plan->steps[steps_of[i]]);
            n_blocks++;
        }
        for (int j = 0; steps_of[i] >= 0 && j < op->n_inputs; j++) {
            int value = op->inputs[j];

            if (value < 0 || program_value(p, value)->role != VALUE_COMPUTED)
                continue;
            if (!program_value(p, value)->shape.batched) {
                rc = error_set(err, -EINVAL, "%s uses a sum over images, which ends a program",
                               op_name(op->kind));
                goto out;
            }
            if (block_of[value] >= 0 &&
                blocks[block_of[value]].last < last_round(&plan->steps[steps_of[i]]))
                blocks[block_of[value]].last = last_round(&plan->steps[steps_of[i]]);
        }
    }
    rc = layout_place(n_blocks, blocks, &plan->scratch_offset, err);
    if (rc < 0)
        goto out;
    for (int i = 0; i < plan->n_steps; i++)
        plan->steps[i].shared_offset = blocks[i].offset;
    for (int i = 0; i < plan->n_values; i++) {
        struct location *at = &plan->locations[i];
        size_t bytes = at->count * dtype_size(at->dtype);

        if (at->place == PLACE_ARENA)
            at->offset = blocks[block_of[i]].offset;
        if (at->place == PLACE_BATCH)
            bytes *= (size_t)n_chunks_max * (size_t)plan->grain;
        if (at->place == PLACE_BATCH || at->place == PLACE_CONSTANT) {
            rc = allocate(plan, bytes, &at->memory, err);
            if (rc < 0)
                goto out;
        }
    }
    for (int i = 0; i < program_n_ops(p); i++) {
        const struct op *op = program_op(p, i);

        for (int j = 0; steps_of[i] >= 0 && j < op->n_outputs; j++) {
            struct operand *operand = &plan->steps[steps_of[i]].outputs[j];
            const struct location *at = &plan->locations[op->outputs[j]];

            operand->place = at->place;
            operand->base = at->memory;
            operand->offset = at->offset;
            operand->bytes = at->count * dtype_size(at->dtype);
            operand->stride = operand->bytes * (size_t)plan->grain;
            if (at->place == PLACE_SUM)
                operand->spare = blocks[block_of[op->outputs[j]]].offset;
        }
    }

out:
    free(blocks);
    free(block_of);
    return rc;
}

/* Connects the inputs of a step to where the values live. */
static int connect(struct plan *plan, const struct program *p, const struct op *op,
                   struct step *step, struct error *err)
{
    for (int j = 0; j < op->n_inputs; j++) {
        struct operand *operand = &step->inputs[j];
        const struct location *at;
        int rc, found;

        if (op->inputs[j] < 0)
            continue; /* PLACE_NONE: absent */
        at = &plan->locations[op->inputs[j]];
        operand->place = at->place;
        operand->base = at->memory;
        operand->offset = at->offset;
        operand->stride = at->count * dtype_size(at->dtype) * (size_t)plan->grain;
        if (at->place != PLACE_PARAMETER)
            continue;
        found = parameters_find(plan->parameters, program_value(p, op->inputs[j])->name);
        if (found < 0 || !shape_equal(parameters_shape(plan->parameters, found),
                                      &program_value(p, op->inputs[j])->shape))
            return error_set(err, -EINVAL, "no parameter \"%s\" of that shape",
                             program_value(p, op->inputs[j])->name);
        rc = parameters_attach(plan->parameters, found, step->kernel, j, &operand->base, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int make_workers(struct plan *plan, struct error *err)
{
    int n_chunks = (plan->batch_max + plan->grain - 1) / plan->grain;
    int n_threads = pool_threads(device_base(plan->device)->pool), rc;
    size_t scratch = 0;

    plan->n_workers = n_threads < n_chunks ? n_threads : n_chunks;
    plan->workers = calloc((size_t)n_threads, sizeof(*plan->workers));
    if (!plan->workers)
        return error_set(err, -ENOMEM, "out of memory for the workers of a plan");
    for (int i = 0; i < plan->n_steps; i++) {
        if (plan->steps[i].kernel->scratch_bytes > scratch)
            scratch = plan->steps[i].kernel->scratch_bytes;
    }
    plan->arena_bytes = plan->scratch_offset + scratch + LAYOUT_ALIGNMENT;
    /* Without sums any thread of the pool may take any chunk. */
    for (int i = 0; i < (plan->sum_bytes ? plan->n_workers : n_threads); i++) {
        rc = allocate(plan, plan->arena_bytes, &plan->workers[i].arena, err);
        if (rc == 0 && plan->sum_bytes)
            rc = allocate(plan, plan->sum_bytes, &plan->workers[i].sums, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int plan_create(struct device *device, const struct program *original,
                struct parameters *parameters, const struct plan_options *options,
                struct plan **out, struct error *err)
{
    const struct program *p;
    bool *needed_values = NULL, *needed_ops = NULL;
    int *steps_of = NULL, n_ops, rc;
    struct plan *plan = NULL;

    if (options->batch_max < 1 || options->grain < 1 || options->grain > options->batch_max)
        return error_set(err, -EINVAL, "a plan for %d images cannot have chunks of %d",
                         options->batch_max, options->grain);
    plan = calloc(1, sizeof(*plan));
    if (!plan)
        return error_set(err, -ENOMEM, "out of memory for a plan");
    plan->device = device;
    plan->ops = device_base(device)->ops;
    rc = passes_run(original, options->n_outputs, options->outputs, &plan->passes, &plan->program,
                    err);
    if (rc < 0)
        goto out;
    p = plan->program;
    n_ops = program_n_ops(p);
    needed_values = calloc((size_t)program_n_values(p) + 1, sizeof(*needed_values));
    needed_ops = calloc((size_t)n_ops + 1, sizeof(*needed_ops));
    steps_of = malloc(((size_t)n_ops + 1) * sizeof(*steps_of));
    if (!needed_values || !needed_ops || !steps_of) {
        rc = error_set(err, -ENOMEM, "out of memory for a plan");
        goto out;
    }
    plan->parameters = parameters;
    plan->batch_max = options->batch_max;
    plan->grain = options->grain;
    plan->n_values = program_n_values(p);
    plan->locations = calloc((size_t)plan->n_values + 1, sizeof(*plan->locations));
    plan->steps = calloc((size_t)n_ops + 1, sizeof(*plan->steps));
    if (!plan->locations || !plan->steps) {
        rc = error_set(err, -ENOMEM, "out of memory for a plan");
        goto out;
    }
    rc = plan->ops->precision(device, options->precision, &plan->precision, err);
    if (rc < 0)
        goto out;
    mark_needed(p, options, needed_values, needed_ops);
    for (int i = 0; i < n_ops; i++) {
        const struct op *op = program_op(p, i);

        steps_of[i] = -1;
        if (!needed_ops[i])
            continue;
        rc = make_kernel(plan, p, op, &plan->steps[plan->n_steps].kernel, err);
        if (rc < 0)
            goto out;
        plan->steps[plan->n_steps].op = i;
        plan->steps[plan->n_steps].n_inputs = op->n_inputs;
        plan->steps[plan->n_steps].n_outputs = op->n_outputs;
        steps_of[i] = plan->n_steps++;
    }
    rc = make_rounds(plan, p, steps_of, err);
    if (rc == 0)
        rc = locate(plan, p, options, needed_values, steps_of, err);
    for (int i = 0; rc == 0 && i < n_ops; i++) {
        if (steps_of[i] >= 0)
            rc = connect(plan, p, program_op(p, i), &plan->steps[steps_of[i]], err);
    }
    if (rc == 0)
        rc = make_workers(plan, err);
    if (rc == 0 && pool_threads(device_base(device)->pool) > 1 && !plan->sum_bytes)
        rc = team_create(plan, &plan->team, err);
    if (rc == 0) {
        *out = plan;
        plan = NULL;
    }

out:
    free(needed_values);
    free(needed_ops);
    free(steps_of);
    plan_destroy(plan);
    return rc;
}

void plan_destroy(struct plan *plan)
{
    if (!plan)
        return;
    for (int i = 0; i < plan->n_steps; i++) {
        parameters_release(plan->parameters, plan->steps[i].kernel);
        plan->steps[i].kernel->ops->destroy(plan->steps[i].kernel);
    }
    for (int i = 0; plan->locations && i < plan->n_values; i++)
        plan->ops->memory_destroy(plan->device, plan->locations[i].memory);
    for (int i = 0; plan->workers && i < pool_threads(device_base(plan->device)->pool); i++) {
        plan->ops->memory_destroy(plan->device, plan->workers[i].arena);
        plan->ops->memory_destroy(plan->device, plan->workers[i].sums);
    }
    team_destroy(plan->team);
    free(plan->workers);
    free(plan->rounds);
    free(plan->entries);
    free(plan->steps);
    free(plan->locations);
    program_destroy(plan->program);
    free(plan);
}

/* Checks images [first, first + n) of a value that has memory of its own. */
static int check_range(const struct plan *plan, int value, int first, int n, struct error *err)
{
    const struct location *at;

    if (value < 0 || value >= plan->n_values)
        return error_set(err, -EINVAL, "value %d is not of the plan's program", value);
    at = &plan->locations[value];
    if ((at->place != PLACE_BATCH && at->place != PLACE_CONSTANT && at->place != PLACE_SUM))
        return error_set(err, -EINVAL, "value %d is neither input nor output of the plan", value);
    if (first < 0 || n < 0 || first + n > (at->place == PLACE_BATCH ? plan->batch_max : 1))
        return error_set(err, -EINVAL, "images %d .. %d are not in the plan's batch", first,
                         first + n - 1);
    return 0;
}

enum { CONVERSION_BLOCK = 512 };

int plan_write(struct plan *plan, int value, int first, int n, const void *src, struct error *err)
{
    const struct location *at;
    int rc = 0;
    size_t count, size;
    char *dst;
    const float *floats = src;
    uint16_t block[CONVERSION_BLOCK];

    if (value >= 0 && value < plan->n_values && plan->locations[value].input &&
        plan->locations[value].place == PLACE_NONE)
        return 0;
    rc = check_range(plan, value, first, n, err);
    if (rc < 0)
        return rc;
    at = &plan->locations[value];
    count = at->count * (size_t)n;
    size = dtype_size(at->dtype);
    dst = (char *)at->memory + at->count * (size_t)first * size;
    if (at->dtype != DTYPE_BF16)
        return plan->ops->upload(plan->device, dst, src, count * size, err);
    for (size_t i = 0; rc == 0 && i < count; i += CONVERSION_BLOCK) {
        size_t m = count - i < CONVERSION_BLOCK ? count - i : CONVERSION_BLOCK;

        for (size_t j = 0; j < m; j++)
            block[j] = bf16_from_float(floats[i + j]);
        rc = plan->ops->upload(plan->device, dst + i * size, block, m * size, err);
    }
    return rc;
}

int plan_read(struct plan *plan, int value, int first, int n, void *dst, struct error *err)
{
    const struct location *at;
    int rc = check_range(plan, value, first, n, err);
    size_t count, size;
    const char *src;
    float *floats = dst;
    uint16_t block[CONVERSION_BLOCK];

    if (rc < 0)
        return rc;
    at = &plan->locations[value];
    count = at->count * (size_t)n;
    size = dtype_size(at->dtype);
    if (at->place == PLACE_SUM)
        src = (const char *)plan->workers[0].sums + at->offset;
    else
        src = (const char *)at->memory + at->count * (size_t)first * size;
    if (at->dtype != DTYPE_BF16)
        return plan->ops->download(plan->device, dst, src, count * size, err);
    for (size_t i = 0; rc == 0 && i < count; i += CONVERSION_BLOCK) {
        size_t m = count - i < CONVERSION_BLOCK ? count - i : CONVERSION_BLOCK;

        rc = plan->ops->download(plan->device, block, src + i * size, m * size, err);
        for (size_t j = 0; j < m; j++)
            floats[i + j] = bf16_to_float(block[j]);
    }
    return rc;
}

int plan_n_steps(const struct plan *plan)
{
    return plan->n_steps;
}

int plan_n_rounds(const struct plan *plan)
{
    return plan->n_rounds;
}

struct passes plan_passes(const struct plan *plan)
{
    return plan->passes;
}

/* Multiply-adds of an operation for one image. */
static double count_products(const struct program *p, const struct op *op)
{
    const struct shape *x = &program_value(p, op->inputs[0])->shape;
    const struct shape *y = &program_value(p, op->outputs[0])->shape;
    const struct shape *weight;

    switch (op->kind) {
    case OP_CONVOLUTION:
    case OP_CONVOLUTION_ADD:
    case OP_LINEAR:
        weight = &program_value(p, op->inputs[1])->shape;
        return (double)shape_count(y) * (double)shape_count(weight) / y->dims[y->n_dims - 1];
    case OP_CONVOLUTION_GRAD_DATA:
    case OP_LINEAR_GRAD_DATA:
        weight = &program_value(p, op->inputs[1])->shape;
        return (double)shape_count(x) * (double)shape_count(weight) / x->dims[x->n_dims - 1];
    case OP_CONVOLUTION_GRAD_WEIGHT:
    case OP_LINEAR_GRAD_WEIGHT: {
        const struct shape *dy = &program_value(p, op->inputs[1])->shape;

        return (double)shape_count(dy) * (double)shape_count(y) / dy->dims[dy->n_dims - 1];
    }
    case OP_ATTENTION:
        return 2.0 * (double)shape_count(x) * x->dims[0] * x->dims[1];
    case OP_ATTENTION_GRAD:
        return 4.0 * (double)shape_count(x) * x->dims[0] * x->dims[1];
    default:
        return 0;
    }
}

struct plan_step plan_step(const struct plan *plan, int i)
{
    const struct step *step = &plan->steps[i];
    const struct op *op = program_op(plan->program, step->op);
    const struct value *x = program_value(plan->program, op->inputs[0]);
    const struct value *y = program_value(plan->program, op->outputs[0]);

    return (struct plan_step){
        .op = op,
        .x = x->shape,
        .y = y->shape,
        .x_type = dtype_of(plan, x->type),
        .y_type = dtype_of(plan, y->type),
        .products = count_products(plan->program, op),
        .round = step->round,
        .n_parts = step->kernel->n_stages > 0 ? step->kernel->n_parts[0] : 1,
    };
}

enum precision plan_precision(const struct plan *plan)
{
    return plan->precision;
}

size_t plan_memory_bytes(const struct plan *plan)
{
    return plan->memory_bytes;
}
