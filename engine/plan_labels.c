#include "engine/plan_labels.h"
#include "engine/base/error.h"
#include "engine/base/trace.h"
#include "engine/plan_steps.h"
#include "engine/program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const keys[TRACE_NUMBERS] = {"image", "images", "stage", "part"};

/* "64x64x128 bf16" of a value; nothing where it is absent. */
static void describe(const struct plan *plan, int n, const int *values, char *text, size_t size)
{
    const struct value *v =
        n > 0 && values[0] >= 0 ? program_value(plan->program, values[0]) : NULL;

    text[0] = '\0';
    if (v)
        tensor_text(&v->shape, plan_dtype(plan, v->type), text, size);
}

static int label_op(const struct plan *plan, const struct op *op, struct trace *trace,
                    const struct trace_label **out, struct error *err)
{
    char from[TENSOR_TEXT_BYTES], to[TENSOR_TEXT_BYTES], text[2 * TENSOR_TEXT_BYTES + 8];

    describe(plan, op->n_inputs, op->inputs, from, sizeof(from));
    describe(plan, op->n_outputs, op->outputs, to, sizeof(to));
    snprintf(text, sizeof(text), "%s to %s", from, to);
    return trace_add_label(trace, op_name(op->kind), text, keys, out, err);
}

int plan_label_ops(const struct plan *plan, struct trace *trace, const struct trace_label ***out,
                   struct error *err)
{
    int n_ops = program_n_ops(plan->program), rc = 0;
    const struct trace_label **labels = calloc((size_t)n_ops + 1, sizeof(*labels));

    if (!labels)
        return error_set(err, -ENOMEM, "out of memory for the labels of a plan");
    for (int i = 0; i < n_ops && rc == 0; i++)
        rc = label_op(plan, program_op(plan->program, i), trace, &labels[i], err);
    if (rc < 0) {
        free(labels);
        return rc;
    }
    *out = labels;
    return 0;
}
