/* Making plans, and what goes in and comes out of them. */
#include "engine/plan_steps.h"
#include "engine/base/bf16.h"
#include "engine/base/error.h"
#include "engine/base/pool.h"
#include "engine/layout.h"
#include "engine/parameters.h"
#include "engine/program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { GRAIN_MAX = (1 << CUTS_MAX) - 1 };

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

static int make_kernel(struct plan *plan, int grain, const struct op *op, struct kernel **out,
                       struct error *err)
{
    struct kernel_spec spec;

    program_describe(plan->program, op, grain, dtype_of(plan, VALUE_COMPUTE), &spec);
    return plan->ops->kernel_create(plan->device, &spec, out, err);
}

/* The last round of a step. */
static int last_round(const struct step *step)
{
    return step->round + step->kernel->n_stages - 1;
}

/* Gives every step the first round after those of the steps it reads from, and none before that
 * of the step before it: so the steps stay in the order they were written in. */
static int number_rounds(const struct plan *plan, struct cut *cut, struct error *err)
{
    int *ready = calloc((size_t)plan->n_values + 1, sizeof(*ready)); /* the round after its maker */
    int round = 0;

    if (!ready)
        return error_set(err, -ENOMEM, "out of memory for the rounds of a plan");
    for (int i = 0; i < cut->n_steps; i++) {
        struct step *step = &cut->steps[i];
        const struct op *op = program_op(plan->program, step->op);

        for (int j = 0; j < op->n_inputs; j++) {
            if (op->inputs[j] >= 0 && ready[op->inputs[j]] > round)
                round = ready[op->inputs[j]];
        }
        step->round = round;
        for (int j = 0; j < op->n_outputs; j++)
            ready[op->outputs[j]] = last_round(step) + 1;
        if (last_round(step) >= cut->n_rounds)
            cut->n_rounds = last_round(step) + 1;
    }
    free(ready);
    return 0;
}

/* Lists the stages of each round. */
static int make_rounds(struct cut *cut, struct error *err)
{
    int n_entries = 0;

    for (int i = 0; i < cut->n_steps; i++)
        n_entries += last_round(&cut->steps[i]) - cut->steps[i].round + 1;
    cut->rounds = calloc((size_t)cut->n_rounds + 1, sizeof(*cut->rounds));
    cut->entries = calloc((size_t)n_entries + 1, sizeof(*cut->entries));
    if (!cut->rounds || !cut->entries)
        return error_set(err, -ENOMEM, "out of memory for the rounds of a plan");
    n_entries = 0;
    for (int r = 0; r < cut->n_rounds; r++) {
        cut->rounds[r].first_entry = n_entries;
        for (int i = 0; i < cut->n_steps; i++) {
            const struct step *step = &cut->steps[i];
            struct round_entry entry = {.step = i, .stage = r - step->round};

            if (entry.stage < 0 || r > last_round(step))
                continue;
            entry.n_parts = step->kernel->n_parts[entry.stage];
            cut->rounds[r].n_parts += entry.n_parts;
            cut->entries[n_entries++] = entry;
        }
        cut->rounds[r].n_entries = n_entries - cut->rounds[r].first_entry;
    }
    return 0;
}

/* Decides where the needed values live, and gives those that outlive a chunk their memory. */
static int locate(struct plan *plan, const struct plan_options *options, const bool *needed_values,
                  const bool *needed_ops, struct error *err)
{
    const struct program *p = plan->program;

    for (int i = 0; i < plan->n_values; i++) {
        const struct value *v = program_value(p, i);
        struct location *at = &plan->locations[i];

        at->dtype = dtype_of(plan, v->type);
        at->count = shape_count(&v->shape);
        at->input = v->role == VALUE_INPUT;
        if (needed_values[i] && v->role == VALUE_PARAMETER)
            at->place = PLACE_PARAMETER;
        if (needed_values[i] && v->role == VALUE_INPUT)
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
    for (int i = 0; i < program_n_ops(p); i++) {
        const struct op *op = program_op(p, i);

        for (int j = 0; needed_ops[i] && j < op->n_outputs; j++) {
            if (plan->locations[op->outputs[j]].place == PLACE_NONE)
                plan->locations[op->outputs[j]].place = PLACE_ARENA;
        }
        for (int j = 0; needed_ops[i] && j < op->n_inputs; j++) {
            const struct value *v = op->inputs[j] < 0 ? NULL : program_value(p, op->inputs[j]);

            if (v && v->role == VALUE_COMPUTED && !v->shape.batched)
                return error_set(err, -EINVAL, "%s uses a sum over images, which ends a program",
                                 op_name(op->kind));
        }
    }
    for (int i = 0; i < plan->n_values; i++) {
        struct location *at = &plan->locations[i];
        size_t bytes = at->count * dtype_size(at->dtype);
        int rc = 0;

        if (at->place == PLACE_BATCH)
            rc = allocate(plan, bytes * (size_t)plan->batch_max, &at->memory, err);
        if (at->place == PLACE_CONSTANT)
            rc = allocate(plan, bytes, &at->memory, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* What lives in the arena of a cut while a chunk runs. */
struct tenants {
    int n;
    struct layout_block *blocks; /* the first n_steps: what a step's stages share */
    int *block_of;               /* [n_values], -1: does not live in the arena */
};

static void live_until(struct tenants *t, int block, const struct step *step)
{
    if (t->blocks[block].last < last_round(step))
        t->blocks[block].last = last_round(step);
}

/* Values that are made and used inside a chunk. So are sums while they are added. */
static void find_tenants(const struct plan *plan, const struct cut *cut, struct tenants *t)
{
    for (int i = 0; i < plan->n_values; i++)
        t->block_of[i] = -1;
    t->n = cut->n_steps;
    for (int i = 0; i < cut->n_steps; i++) {
        const struct step *step = &cut->steps[i];
        const struct op *op = program_op(plan->program, step->op);

        t->blocks[i] = (struct layout_block){.bytes = step->kernel->shared_bytes,
                                             .first = step->round,
                                             .last = last_round(step)};
        for (int j = 0; j < op->n_outputs; j++) {
            const struct location *at = &plan->locations[op->outputs[j]];
            size_t bytes = at->count * dtype_size(at->dtype);

            if (at->place != PLACE_ARENA && at->place != PLACE_SUM)
                continue;
            t->block_of[op->outputs[j]] = t->n;
            t->blocks[t->n++] =
                (struct layout_block){.bytes = at->place == PLACE_ARENA ? bytes * (size_t)cut->grain
                                                                        : bytes,
                                      .first = step->round,
                                      .last = last_round(step)};
        }
        for (int j = 0; j < op->n_inputs; j++) {
            if (op->inputs[j] >= 0 && t->block_of[op->inputs[j]] >= 0)
                live_until(t, t->block_of[op->inputs[j]], step);
        }
    }
}

/* Where a value is for the steps of a cut. */
static struct operand operand_of(const struct plan *plan, const struct tenants *t, int value)
{
    const struct location *at = &plan->locations[value];
    size_t bytes = at->count * dtype_size(at->dtype);
    int block = t->block_of[value];

    return (struct operand){
        .place = at->place,
        .base = at->memory,
        .stride = bytes,
        .offset = at->place == PLACE_ARENA ? t->blocks[block].offset : at->offset,
        .bytes = bytes,
        .spare = at->place == PLACE_SUM ? t->blocks[block].offset : 0,
    };
}

/* Attaches an input that is a parameter. */
static int attach(const struct plan *plan, const struct value *v, const struct step *step,
                  int input, const void **out, struct error *err)
{
    int found = parameters_find(plan->parameters, v->name);

    if (found < 0 || !shape_equal(parameters_shape(plan->parameters, found), &v->shape))
        return error_set(err, -EINVAL, "no parameter \"%s\" of that shape", v->name);
    return parameters_attach(plan->parameters, found, step->kernel, input, out, err);
}

/* Lays the arena of a cut out and tells its steps where everything is. */
static int connect(const struct plan *plan, struct cut *cut, struct error *err)
{
    struct tenants t = {0};
    size_t scratch = 0;
    int rc = 0;

    t.blocks = calloc((size_t)cut->n_steps + (size_t)plan->n_values + 1, sizeof(*t.blocks));
    t.block_of = malloc((size_t)plan->n_values * sizeof(*t.block_of) + 1);
    if (!t.blocks || !t.block_of) {
        rc = error_set(err, -ENOMEM, "out of memory to lay out a plan");
        goto out;
    }
    find_tenants(plan, cut, &t);
    rc = layout_place(t.n, t.blocks, &cut->scratch_offset, err);
    for (int i = 0; rc == 0 && i < cut->n_steps; i++) {
        struct step *step = &cut->steps[i];
        const struct op *op = program_op(plan->program, step->op);

        step->shared_offset = t.blocks[i].offset;
        if (step->kernel->scratch_bytes > scratch)
            scratch = step->kernel->scratch_bytes;
        for (int j = 0; j < op->n_outputs; j++)
            step->outputs[j] = operand_of(plan, &t, op->outputs[j]);
        for (int j = 0; rc == 0 && j < op->n_inputs; j++) {
            if (op->inputs[j] < 0)
                continue; /* PLACE_NONE: absent */
            step->inputs[j] = operand_of(plan, &t, op->inputs[j]);
            if (step->inputs[j].place == PLACE_PARAMETER)
                rc = attach(plan, program_value(plan->program, op->inputs[j]), step, j,
                            &step->inputs[j].base, err);
        }
    }
    cut->arena_bytes = cut->scratch_offset + scratch + LAYOUT_ALIGNMENT;

out:
    free(t.blocks);
    free(t.block_of);
    return rc;
}

static int make_cut(struct plan *plan, int grain, const bool *needed_ops, struct error *err)
{
    struct cut *cut = &plan->cuts[plan->n_cuts++];
    int n_ops = program_n_ops(plan->program), rc;

    cut->grain = grain;
    cut->steps = calloc((size_t)n_ops + 1, sizeof(*cut->steps));
    if (!cut->steps)
        return error_set(err, -ENOMEM, "out of memory for the steps of a plan");
    for (int i = 0; i < n_ops; i++) {
        const struct op *op = program_op(plan->program, i);
        struct step *step = &cut->steps[cut->n_steps];

        if (!needed_ops[i])
            continue;
        rc = make_kernel(plan, grain, op, &step->kernel, err);
        if (rc < 0)
            return rc;
        step->op = i;
        step->n_inputs = op->n_inputs;
        step->n_outputs = op->n_outputs;
        cut->n_steps++;
    }
    rc = number_rounds(plan, cut, err);
    if (rc == 0)
        rc = make_rounds(cut, err);
    if (rc == 0)
        rc = connect(plan, cut, err);
    return rc;
}

static int make_workers(struct plan *plan, struct error *err)
{
    int n_chunks = (plan->batch_max + plan->cuts[0].grain - 1) / plan->cuts[0].grain;
    int n_threads = pool_threads(device_base(plan->device)->pool), rc;
    size_t arena_bytes = 0;

    plan->n_workers = n_threads < n_chunks ? n_threads : n_chunks;
    plan->workers = calloc((size_t)n_threads, sizeof(*plan->workers));
    plan->chunks = calloc((size_t)plan->batch_max, sizeof(*plan->chunks));
    if (!plan->workers || !plan->chunks)
        return error_set(err, -ENOMEM, "out of memory for the workers of a plan");
    for (int i = 0; i < plan->n_cuts; i++) {
        if (plan->cuts[i].arena_bytes > arena_bytes)
            arena_bytes = plan->cuts[i].arena_bytes;
    }
    /* Without sums any thread of the pool may take any chunk. */
    for (int i = 0; i < (plan->sum_bytes ? plan->n_workers : n_threads); i++) {
        rc = allocate(plan, arena_bytes, &plan->workers[i].arena, err);
        if (rc == 0 && plan->sum_bytes)
            rc = allocate(plan, plan->sum_bytes, &plan->workers[i].sums, err);
        if (rc < 0)
            return rc;
    }
    if (n_threads == 1 || plan->sum_bytes)
        return 0;
    return team_create(&plan->cuts[plan->n_cuts - 1], n_threads, &plan->team, err);
}

/* Everything after the program is there. */
static int build(struct plan *plan, const struct plan_options *options, struct error *err)
{
    const struct program *p = plan->program;
    bool *needed_values, *needed_ops;
    int rc = plan->ops->precision(plan->device, options->precision, &plan->precision, err);

    if (rc < 0)
        return rc;
    plan->n_values = program_n_values(p);
    plan->locations = calloc((size_t)plan->n_values + 1, sizeof(*plan->locations));
    needed_values = calloc((size_t)plan->n_values + 1, sizeof(*needed_values));
    needed_ops = calloc((size_t)program_n_ops(p) + 1, sizeof(*needed_ops));
    if (!plan->locations || !needed_values || !needed_ops) {
        rc = error_set(err, -ENOMEM, "out of memory for a plan");
    } else {
        mark_needed(p, options, needed_values, needed_ops);
        rc = locate(plan, options, needed_values, needed_ops, err);
    }
    if (rc == 0)
        rc = make_cut(plan, options->grain, needed_ops, err);
    for (int grain = options->grain / 2; rc == 0 && grain > 0 && !plan->sum_bytes; grain /= 2)
        rc = make_cut(plan, grain, needed_ops, err);
    free(needed_values);
    free(needed_ops);
    return rc == 0 ? make_workers(plan, err) : rc;
}

int plan_create(struct device *device, const struct program *p, struct parameters *parameters,
                const struct plan_options *options, struct plan **out, struct error *err)
{
    struct plan *plan;
    int rc;

    if (options->batch_max < 1 || options->grain < 1 || options->grain > options->batch_max ||
        options->grain > GRAIN_MAX)
        return error_set(err, -EINVAL, "a plan for %d images cannot have chunks of %d",
                         options->batch_max, options->grain);
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

static void cut_fini(struct plan *plan, struct cut *cut)
{
    for (int i = 0; i < cut->n_steps; i++) {
        parameters_release(plan->parameters, cut->steps[i].kernel);
        cut->steps[i].kernel->ops->destroy(cut->steps[i].kernel);
    }
    free(cut->steps);
    free(cut->rounds);
    free(cut->entries);
}

void plan_destroy(struct plan *plan)
{
    if (!plan)
        return;
    for (int i = 0; i < plan->n_cuts; i++)
        cut_fini(plan, &plan->cuts[i]);
    for (int i = 0; plan->locations && i < plan->n_values; i++)
        plan->ops->memory_destroy(plan->device, plan->locations[i].memory);
    for (int i = 0; plan->workers && i < pool_threads(device_base(plan->device)->pool); i++) {
        plan->ops->memory_destroy(plan->device, plan->workers[i].arena);
        plan->ops->memory_destroy(plan->device, plan->workers[i].sums);
    }
    team_destroy(plan->team);
    free(plan->workers);
    free(plan->chunks);
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
    return plan->cuts[0].n_steps;
}

int plan_n_rounds(const struct plan *plan)
{
    return plan->cuts[0].n_rounds;
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

    program_describe(plan->program, op, 1, dtype_of(plan, VALUE_COMPUTE), &spec);
    return (struct plan_step){
        .op = op,
        .x = x->shape,
        .y = y->shape,
        .x_type = dtype_of(plan, x->type),
        .y_type = dtype_of(plan, y->type),
        .products = op_products(&spec),
        .round = step->round,
        .n_parts = step->kernel->n_parts[0],
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
