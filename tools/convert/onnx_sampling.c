/* The programs are those that a generator runs. What is written into their inputs before a run is
 * asked for from an executor of the reference device, row by row, which never runs.
 */
#include "tools/convert/onnx_sampling.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/device.h"
#include "engine/executor.h"
#include "engine/parameters.h"
#include "engine/plan.h"
#include "engine/program.h"
#include "engine/state.h"
#include "model/checkpoint.h"
#include "model/start.h"
#include "model/step.h"
#include "tools/convert/onnx_constants.h"
#include "tools/convert/onnx_graph.h"
#include "tools/convert/onnx_noise.h"
#include "tools/convert/onnx_program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct sampling_graph {
    struct onnx *o;
    const struct checkpoint *checkpoint;
    int nfe;
    struct sampler_row *rows; /* [nfe] */
    struct device *device;
    struct parameters *parameters;
    struct onnx_constants *constants;
    struct program *start_program, *step_program;
    struct plan *start_plan, *step_plan;
    struct state *state; /* of nothing */
    struct executor *executor;
    struct start start;
    struct step step;
    int x, m, u; /* of the step's program */
    /* Of the graph: */
    int seed, label, guidance;
    int *tables; /* by value of the step's program: [nfe, size], or -1 */
};

static void fini(struct sampling_graph *g)
{
    executor_destroy(g->executor);
    state_destroy(g->state);
    plan_destroy(g->start_plan);
    plan_destroy(g->step_plan);
    onnx_constants_destroy(g->constants);
    parameters_destroy(g->parameters);
    program_destroy(g->start_program);
    program_destroy(g->step_program);
    device_close(g->device);
    free(g->rows);
    free(g->tables);
}

static int append_step(struct sampling_graph *g, struct error *err)
{
    const struct formulation *f = &g->checkpoint->formulation;
    const struct architecture *a = &f->architecture;
    struct shape images = shape_images(a->image_size, a->image_size, a->num_channels);
    struct program *p = g->step_program;
    struct step_inputs in = {.u = -1, .y = -1, .mask = -1};
    struct noise_values noise;

    in.x = g->x = program_input(p, "x", images, VALUE_EXACT);
    in.m = g->m = program_input(p, "m", images, VALUE_EXACT);
    if (a->n_labels > 0)
        in.u = program_input(p, "u", images, VALUE_EXACT);
    g->u = in.u;
    noise = noise_inputs(p);
    in.eta = program_normal(p, noise.key, noise.weights, noise.other, images, PHILOX_STREAM_ETA);
    return step_append(p, f, &in, &g->step, err);
}

/* Plans, so that the tables have a place, and an executor of the step. */
static int make_plans(struct sampling_graph *g, struct error *err)
{
    struct plan_options options = {.precision = PRECISION_FP32,
                                   .batch_max = 1,
                                   .n_outputs = 1,
                                   .outputs = &g->step.next_x};
    int rc = plan_create(g->device, g->step_program, g->parameters, &options, &g->step_plan, err);

    options.outputs = &g->start.x;
    if (rc == 0)
        rc = plan_create(g->device, g->start_program, g->parameters, &options, &g->start_plan, err);
    if (rc == 0)
        rc = state_create(g->device, 1, &g->state, err);
    if (rc == 0)
        rc = executor_create(g->step_plan, g->state, &g->executor, err);
    if (rc == 0)
        rc = denoiser_write_tables(&g->checkpoint->formulation, g->parameters, err);
    if (rc == 0)
        rc = start_write_tables(&g->checkpoint->formulation.prior, g->parameters, err);
    return rc;
}

static int build(struct sampling_graph *g, const struct sampling_choice *choice, struct error *err)
{
    const struct formulation *f = &g->checkpoint->formulation;
    int rc = device_open("reference", 1, NULL, &g->device, err);

    g->nfe = choice->nfe;
    g->rows = calloc((size_t)g->nfe, sizeof(*g->rows));
    if (rc == 0 && !g->rows)
        rc = error_set(err, -ENOMEM, "out of memory for %d steps", g->nfe);
    if (rc == 0)
        rc = sampler_table(choice->sampler, f, g->nfe, g->rows, err);
    if (rc == 0)
        rc = program_create(&g->start_program, err);
    if (rc == 0)
        rc = program_create(&g->step_program, err);
    if (rc == 0)
        rc = start_append(g->start_program, f, &g->start, err);
    if (rc == 0)
        rc = append_step(g, err);
    if (rc == 0)
        rc = parameters_create(g->device, g->step_program, &g->parameters, err);
    if (rc == 0)
        rc = parameters_declare(g->parameters, g->start_program, err);
    if (rc == 0)
        rc = make_plans(g, err);
    if (rc == 0)
        rc = onnx_constants_create(g->o, g->parameters, g->checkpoint->weights, &g->constants, err);
    return rc;
}

/* Room for what stands for each value of a program. */
static int create_values(const struct program *p, int **out, struct error *err)
{
    int n = program_n_values(p);
    int *values = malloc((size_t)n * sizeof(*values));

    if (!values)
        return error_set(err, -ENOMEM, "out of memory for %d values", n);
    for (int i = 0; i < n; i++)
        values[i] = -1;
    *out = values;
    return 0;
}

/* What is written into an input for each of the steps, as a constant [nfe, size]. */
static int make_table(struct sampling_graph *g, int value, struct error *err)
{
    size_t bytes = executor_row_size(g->executor, value);
    const int dims[] = {g->nfe, (int)(bytes / sizeof(float))};
    char *rows = malloc((size_t)g->nfe * bytes);

    if (!rows)
        return error_set(err, -ENOMEM, "out of memory for the tables of %d steps", g->nfe);
    for (int i = 0; i < g->nfe; i++) {
        step_write(&g->step, &g->checkpoint->formulation, g->executor, 0, &g->rows[i], NULL);
        memcpy(rows + (size_t)i * bytes, executor_row(g->executor, value, 0), bytes);
    }
    g->tables[value] = onnx_floats(g->o, 2, dims, (const void *)rows);
    free(rows);
    return 0;
}

static int make_tables(struct sampling_graph *g, struct error *err)
{
    const struct program *p = g->step_program;
    int rc = create_values(p, &g->tables, err);

    for (int i = 0; i < program_n_values(p) && rc == 0; i++) {
        const struct value *v = program_value(p, i);

        if (v->role == VALUE_INPUT && v->type == VALUE_EXACT && v->shape.n_dims == 1)
            rc = make_table(g, i, err);
    }
    return rc;
}

/* c = mean + L z of model/prior.h. */
static int prior_coefficients_node(struct sampling_graph *g, const struct onnx_key *key)
{
    const struct prior *prior = &g->checkpoint->formulation.prior;
    const struct onnx_attribute turned[] = {ONNX_INTEGER("transB", 1), {0}};
    const int dims[] = {prior->n_coefficients, prior->n_coefficients};
    int z = onnx_normals(g->o, key, PHILOX_STREAM_PRIOR, prior->n_coefficients);
    int lower = onnx_floats(g->o, 2, dims, prior->chol);

    lower = onnx_node(g->o, "Trilu", 1, &lower,
                      (const struct onnx_attribute[]){ONNX_INTEGER("upper", 0), {0}});
    return onnx_node(g->o, "Gemm", 3,
                     (const int[]){z, lower, onnx_floats(g->o, 1, dims, prior->mean)}, turned);
}

/* x_1. */
static int append_start(struct sampling_graph *g, int *x, struct error *err)
{
    struct onnx_key key = onnx_key(g->o, g->seed, onnx_integer(g->o, 0));
    int *values = NULL, rc = create_values(g->start_program, &values, err);

    if (rc < 0)
        return rc;
    if (g->start.coefficients >= 0)
        values[g->start.coefficients] = prior_coefficients_node(g, &key);
    rc = onnx_append_program(g->o, g->start_program, g->constants, &key, values, err);
    *x = values[g->start.x];
    free(values);
    return rc;
}

/* The step's program once, with inputs from the tables. */
static int append_evaluation(struct sampling_graph *g, const struct onnx_key *key, int round,
                             int *values, struct error *err)
{
    for (int i = 0; i < program_n_values(g->step_program); i++) {
        if (g->tables[i] >= 0 && values[i] < 0)
            values[i] = onnx_2(g->o, "Gather", g->tables[i], round);
    }
    return onnx_append_program(g->o, g->step_program, g->constants, key, values, err);
}

/* With labels: first what the network predicts without one, which leads the rest. */
static int append_unlabelled(struct sampling_graph *g, const struct onnx_key *key, int round,
                             const int *given, int *u, struct error *err)
{
    int *values = NULL, rc = create_values(g->step_program, &values, err);

    if (rc < 0)
        return rc;
    values[g->x] = values[g->u] = given[g->x];
    values[g->m] = given[g->m];
    rc = append_evaluation(g, key, round, values, err); /* labels of the tables are 0 */
    *u = values[g->step.u];
    free(values);
    return rc;
}

static int append_labelled(struct sampling_graph *g, const struct onnx_key *key, int round,
                           int *values, struct error *err)
{
    const struct onnx_attribute columns[] = {ONNX_INTEGER("axis", 1), {0}};
    int weight = onnx_reshape(g->o, g->guidance, 2, (const int64_t[]){-1, 1});
    int rest = onnx_2(g->o, "Sub", onnx_number(g->o, 1), weight);
    int rc = append_unlabelled(g, key, round, values, &values[g->u], err);

    if (rc < 0)
        return rc;
    values[g->step.label] =
        onnx_cast(g->o, onnx_reshape(g->o, g->label, 2, (const int64_t[]){-1, 1}), ONNX_FLOAT);
    values[g->step.guidance] = onnx_node(g->o, "Concat", 2, (const int[]){weight, rest}, columns);
    return append_evaluation(g, key, round, values, err);
}

/* One round of the Loop. */
static int append_body(struct sampling_graph *g, const int images[4], int steps, struct error *err)
{
    struct onnx *o = g->o;
    int round = onnx_input(o, "round", ONNX_INT64, 0, NULL);
    int go_on = onnx_input(o, "go_on", ONNX_BOOL, 0, NULL), rc, *values = NULL;
    struct onnx_key key = onnx_key(o, g->seed, onnx_2(o, "Gather", steps, round));

    rc = create_values(g->step_program, &values, err);
    if (rc < 0)
        return rc;
    round = onnx_reshape(o, round, 1, (const int64_t[]){1}); /* rows stay rows */
    values[g->x] = onnx_input(o, "x_before", ONNX_FLOAT, 4, images);
    values[g->m] = onnx_input(o, "m_before", ONNX_FLOAT, 4, images);
    rc = g->u >= 0 ? append_labelled(g, &key, round, values, err)
                   : append_evaluation(g, &key, round, values, err);
    if (rc == 0) {
        onnx_output(o, go_on, "go_on_after", ONNX_BOOL, 0, NULL);
        onnx_output(o, values[g->step.next_x], "x_after", ONNX_FLOAT, 4, images);
        onnx_output(o, values[g->step.next_m], "m_after", ONNX_FLOAT, 4, images);
    }
    free(values);
    return rc;
}

static int append_loop(struct sampling_graph *g, int x, int *out, struct error *err)
{
    const struct architecture *a = &g->checkpoint->formulation.architecture;
    const int images[4] = {-1, a->num_channels, a->image_size, a->image_size};
    int64_t *steps = malloc((size_t)g->nfe * sizeof(*steps));
    int carried[2] = {x, onnx_2(g->o, "Mul", x, onnx_number(g->o, 0))}, last[2], numbers, rc;

    if (!steps)
        return error_set(err, -ENOMEM, "out of memory for %d steps", g->nfe);
    for (int i = 0; i < g->nfe; i++)
        steps[i] = g->rows[i].step;
    numbers = onnx_integers(g->o, g->nfe, steps);
    free(steps);
    onnx_body_begin(g->o);
    rc = append_body(g, images, numbers, err);
    if (rc < 0)
        return rc;
    onnx_body_end(g->o, onnx_integer(g->o, g->nfe), 2, carried, last);
    *out = last[0];
    return 0;
}

static int append(struct sampling_graph *g, struct error *err)
{
    const struct architecture *a = &g->checkpoint->formulation.architecture;
    const int n = -1, images[4] = {-1, a->num_channels, a->image_size, a->image_size};
    const int rows[4] = {-1, a->image_size, a->image_size, a->num_channels};
    int x = -1, rc;

    g->seed = onnx_input(g->o, "seed", ONNX_INT64, 1, &n);
    if (a->n_labels > 0) {
        g->label = onnx_input(g->o, "label", ONNX_INT64, 1, &n);
        g->guidance = onnx_input(g->o, "guidance", ONNX_FLOAT, 1, &n);
    }
    rc = make_tables(g, err);
    if (rc == 0)
        rc = append_start(g, &x, err);
    if (rc == 0)
        rc = append_loop(g, x, &x, err);
    if (rc < 0)
        return rc;
    onnx_output(g->o, onnx_pixels(g->o, x), "images", ONNX_UINT8, 4, rows);
    onnx_output(g->o, x, "x", ONNX_FLOAT, 4, images);
    return 0;
}

int onnx_append_sampling(struct onnx *o, const struct checkpoint *c,
                         const struct sampling_choice *choice, struct error *err)
{
    struct sampling_graph g = {.o = o, .checkpoint = c, .label = -1, .guidance = -1};
    int rc = build(&g, choice, err);

    if (rc == 0)
        rc = append(&g, err);
    fini(&g);
    return rc;
}
