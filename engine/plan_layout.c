/* Where the values of a plan lie, and when the steps of a cut run. */
#include "engine/base/error.h"
#include "engine/layout.h"
#include "engine/parameters.h"
#include "engine/plan_steps.h"
#include "engine/program.h"

#include <errno.h>
#include <stdlib.h>

/* From when on a value may be read, and written again if it is state. */
struct hazard {
    int written; /* the round after its last writer */
    int read;    /* the round after its last reader */
};

static void after(int *round, int other)
{
    if (*round < other)
        *round = other;
}

/* Whether the device runs step i of a cut in one launch with the one before; `first` is the round that it
 * would have. */
static bool is_joined(const struct plan *plan, const struct cut *cut, int i, int first)
{
    const struct step *step = &cut->steps[i], *before = step - 1;
    const struct op *op, *op_before;
    struct step_link link = {.n = 1};

    if (i == 0 || !plan->ops->joins)
        return false;
    op = program_op(plan->program, step->op);
    op_before = program_op(plan->program, before->op);
    link.reads = op->inputs[0] == op_before->outputs[0];
    link.shares = op->inputs[0] == op_before->inputs[0];
    link.apart = first == before->round;
    while (before[1 - link.n].joined)
        link.n++;
    return plan->ops->joins(before->kernel, step->kernel, &link);
}

/* Gives every step the first round after those of the steps it reads from, and none before that
 * of the step before it: so the steps stay in the order they were written in. State is memory: who
 * writes it comes after those that read or wrote it before. */
int plan_number_rounds(const struct plan *plan, struct cut *cut, struct error *err)
{
    struct hazard *hazards = calloc((size_t)plan->n_values + 1, sizeof(*hazards));
    int round = 0, last = 0;

    if (!hazards)
        return error_set(err, -ENOMEM, "out of memory for the rounds of a plan");
    for (int i = 0; i < cut->n_steps; i++) {
        struct step *step = &cut->steps[i];
        const struct op *op = program_op(plan->program, step->op);

        for (int j = 0; j < op->n_inputs; j++) {
            if (op->inputs[j] >= 0)
                after(&round, hazards[op->inputs[j]].written);
        }
        for (int j = 0; j < op->n_outputs; j++) {
            after(&round, hazards[op->outputs[j]].written);
            after(&round, hazards[op->outputs[j]].read);
        }
        step->joined = is_joined(plan, cut, i, round);
        if (step->joined)
            round = last;
        step->round = last = round;
        for (int j = 0; j < op->n_inputs; j++) {
            if (op->inputs[j] >= 0)
                after(&hazards[op->inputs[j]].read, step_end(step));
        }
        for (int j = 0; j < op->n_outputs; j++)
            hazards[op->outputs[j]].written = step_end(step);
        after(&cut->n_rounds, step_end(step));
    }
    free(hazards);
    return 0;
}

/* Takes room for a value, all images of it where it is batched, from the end of a block. */
static void take(const struct plan *plan, struct location *at, bool batched, size_t *block)
{
    size_t n = batched ? (size_t)plan->batch_max : 1;

    at->offset = *block;
    *block += layout_align(n * at->count * dtype_size(at->dtype));
}

static void locate_input(struct plan *plan, const struct value *v, struct location *at)
{
    at->memory = MEMORY_INBOX;
    take(plan, at, v->shape.batched, &plan->inbox_bytes);
    if (v->shape.batched)
        plan->row_bytes += at->count * dtype_size(at->dtype);
}

/* Sums come last, so that they can be cleared at once. */
static void locate_outputs(struct plan *plan, const struct plan_options *options)
{
    for (int i = 0; i < options->n_outputs; i++) {
        const struct value *v = program_value(plan->program, options->outputs[i]);
        struct location *at = &plan->locations[options->outputs[i]];

        if (v->role != VALUE_COMPUTED || at->sum >= 0 || at->memory == MEMORY_OUTBOX)
            continue;
        at->memory = MEMORY_OUTBOX;
        take(plan, at, v->shape.batched, &plan->outbox_bytes);
    }
    plan->sums_offset = plan->outbox_bytes;
    for (int i = 0; i < plan->n_values; i++) {
        int sum = plan->locations[i].sum;

        if (sum < 0)
            continue;
        plan->locations[sum].memory = MEMORY_OUTBOX;
        take(plan, &plan->locations[sum], false, &plan->outbox_bytes);
    }
}

void plan_locate(struct plan *plan, const struct plan_options *options, const bool *needed_values,
                 const bool *needed_ops)
{
    const struct program *p = plan->program;

    for (int i = 0; i < plan->n_values; i++) {
        const struct value *v = program_value(p, i);
        struct location *at = &plan->locations[i];

        at->dtype = plan_dtype(plan, v->type);
        at->count = shape_count(&v->shape);
        if (v->role == VALUE_INPUT)
            locate_input(plan, v, at);
        else if (needed_values[i] && v->role == VALUE_STATE)
            at->memory = MEMORY_STATE;
        else if (needed_values[i] && v->role != VALUE_COMPUTED)
            at->memory = MEMORY_CONSTANT;
    }
    locate_outputs(plan, options);
    for (int i = 0; i < program_n_ops(p); i++) {
        const struct op *op = program_op(p, i);

        for (int j = 0; needed_ops[i] && j < op->n_outputs; j++) {
            if (plan->locations[op->outputs[j]].memory == MEMORY_NONE)
                plan->locations[op->outputs[j]].memory = MEMORY_ARENA;
        }
    }
}

/* What lives in the arena of a cut while it runs. */
struct tenants {
    int n;
    struct layout_block *blocks; /* the first n_steps: what a step's stages share */
    int *block_of;               /* [n_values], -1: does not live in the arena */
};

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
                                             .last = step_end(step) - 1};
        for (int j = 0; j < op->n_outputs; j++) {
            const struct location *at = &plan->locations[op->outputs[j]];
            bool batched = program_value(plan->program, op->outputs[j])->shape.batched;
            size_t n = batched ? (size_t)cut->size : 1;

            if (at->memory != MEMORY_ARENA)
                continue;
            t->block_of[op->outputs[j]] = t->n;
            t->blocks[t->n++] =
                (struct layout_block){.bytes = n * at->count * dtype_size(at->dtype),
                                      .first = step->round,
                                      .last = step_end(step) - 1};
        }
        for (int j = 0; j < op->n_inputs; j++) {
            int block = op->inputs[j] < 0 ? -1 : t->block_of[op->inputs[j]];

            if (block >= 0)
                after(&t->blocks[block].last, step_end(step) - 1);
        }
    }
}

/* Where a value is for the steps of a cut. */
static struct span span_of(const struct plan *plan, const struct tenants *t, int value)
{
    const struct location *at = &plan->locations[value];
    bool batched = program_value(plan->program, value)->shape.batched;

    return (struct span){
        .memory = at->memory,
        .value = value,
        .offset = at->memory == MEMORY_ARENA ? t->blocks[t->block_of[value]].offset : at->offset,
        .stride = batched ? at->count * dtype_size(at->dtype) : 0,
    };
}

int plan_connect(const struct plan *plan, struct cut *cut, struct error *err)
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
            step->outputs[j] = span_of(plan, &t, op->outputs[j]);
        if (step->order >= 0 && step->outputs[0].memory == MEMORY_OUTBOX)
            step->cleared_bytes = plan->locations[op->outputs[0]].count * sizeof(float);
        for (int j = 0; rc == 0 && j < op->n_inputs; j++) {
            if (op->inputs[j] < 0)
                continue; /* MEMORY_NONE: absent */
            step->inputs[j] = span_of(plan, &t, op->inputs[j]);
            if (step->inputs[j].memory == MEMORY_CONSTANT)
                rc =
                    parameters_attach(plan->parameters, program_value(plan->program, op->inputs[j]),
                                      step->kernel, j, &step->inputs[j].constant, err);
        }
    }
    cut->arena_bytes = cut->scratch_offset + scratch + LAYOUT_ALIGNMENT;

out:
    free(t.blocks);
    free(t.block_of);
    return rc;
}
