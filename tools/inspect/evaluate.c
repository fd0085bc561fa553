#include "tools/inspect/evaluate.h"
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/whole_file.h"
#include "engine/device.h"
#include "engine/gradient.h"
#include "engine/parameters.h"
#include "engine/executor.h"
#include "engine/plan.h"
#include "engine/program.h"
#include "model/architecture.h"
#include "model/ncsnpp.h"
#include "model/safetensors.h"
#include "model/weights.h"
#include "tools/architecture_file.h"
#include "tools/arguments.h"
#include "tools/stop.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    const char *architecture, *weights, *input, *out, *device, *choices, *precision;
    bool gradients, paced;
    int n_threads;
};

/* The network in a program, with what is read from it. */
struct evaluation {
    struct architecture architecture;
    struct device *device;
    struct program *program;
    struct parameters *parameters;
    struct plan *plan;
    struct executor *executor;
    int x, time_cond, cotangent, phi; /* values; cotangent -1 without gradients */
    int n_gradients;                  /* 0, or 1 + parameters: of x, then of each parameter */
    int *gradients;                   /* values, -1: phi does not depend on it */
    int n;                            /* images */
    /* What goes to the output file; names and data are owned. */
    int n_tensors;
    struct safetensors_tensor *tensors;
};

static int build_program(struct evaluation *e, bool gradients, struct error *err)
{
    const struct architecture *a = &e->architecture;
    struct shape images = shape_images(a->image_size, a->image_size, a->num_channels);
    struct program *p;
    int *wrt, rc;

    rc = program_create(&e->program, err);
    if (rc < 0)
        return rc;
    p = e->program;
    e->cotangent = -1;
    e->x = program_input(p, "x", images, VALUE_EXACT);
    e->time_cond = program_input(p, "time_cond", shape_vectors(1), VALUE_EXACT);
    rc = ncsnpp_append(p, a, e->x, e->time_cond, -1, -1, -1, NULL, &e->phi, err);
    if (rc == 0)
        rc = parameters_create(e->device, p, &e->parameters, err);
    if (rc < 0 || !gradients)
        return rc;

    e->n_gradients = 1 + parameters_n(e->parameters);
    e->gradients = calloc((size_t)e->n_gradients, sizeof(*e->gradients));
    wrt = calloc((size_t)e->n_gradients, sizeof(*wrt));
    if (!e->gradients || !wrt) {
        free(wrt);
        return error_set(err, -ENOMEM, "out of memory for %d gradients", e->n_gradients);
    }
    wrt[0] = e->x;
    for (int i = 0, next = 1; i < program_n_values(p); i++) {
        if (program_value(p, i)->role == VALUE_PARAMETER)
            wrt[next++] = i;
    }
    e->cotangent = program_input(p, "cotangent", images, VALUE_EXACT);
    rc = gradient_append(p, e->phi, e->cotangent, e->n_gradients, wrt, e->gradients, err);
    free(wrt);
    return rc;
}

static int build_plan(struct evaluation *e, enum precision precision, struct error *err)
{
    /* Gradients are sums over whole chunks: any number of images divides into those of one. */
    struct plan_options options = {
        .precision = precision,
        .batch_max = e->n,
        .size = e->n_gradients ? 1 : 0,
    };
    int *outputs = calloc((size_t)e->n_gradients + 1, sizeof(*outputs)), rc;

    if (!outputs)
        return error_set(err, -ENOMEM, "out of memory for %d outputs", e->n_gradients + 1);
    outputs[options.n_outputs++] = e->phi;
    for (int i = 0; i < e->n_gradients; i++) {
        if (e->gradients[i] >= 0)
            outputs[options.n_outputs++] = e->gradients[i];
    }
    options.outputs = outputs;
    rc = plan_create(e->device, e->program, e->parameters, &options, &e->plan, err);
    if (rc == 0)
        rc = executor_create(e->plan, NULL, &e->executor, err);
    free(outputs);
    return rc;
}

static int load_weights(struct evaluation *e, const char *path, struct error *err)
{
    float *weights = malloc((parameters_count(e->parameters) + 1) * sizeof(*weights));
    int rc = weights ? weights_read(path, "", e->parameters, weights, err)
                     : error_set(err, -ENOMEM, "out of memory for the weights");

    if (rc == 0)
        rc = parameters_load(e->parameters, weights, err);
    free(weights);
    return rc;
}

/* [n,c,h,w] to [n,h,w,c] or back. */
static void reorder(const struct architecture *a, int n, bool to_channels_last, const float *src,
                    float *dst)
{
    size_t area = (size_t)a->image_size * (size_t)a->image_size, c = (size_t)a->num_channels;

    for (size_t i = 0; i < (size_t)n; i++) {
        for (size_t j = 0; j < c; j++) {
            for (size_t p = 0; p < area; p++) {
                size_t first = (i * c + j) * area + p, last = (i * area + p) * c + j;

                if (to_channels_last)
                    dst[last] = src[first];
                else
                    dst[first] = src[last];
            }
        }
    }
}

/* Images [n,c,h,w] of the input file into a new array, as they are. Sets n when it is 0. */
static int read_images(struct evaluation *e, const struct safetensors *file, const char *name,
                       float **out, struct error *err)
{
    const struct architecture *a = &e->architecture;
    const struct safetensors_tensor *tensor = safetensors_find(file, name);
    float *values;
    int rc;

    if (!tensor)
        return error_set(err, -EINVAL, "the input has no \"%s\"", name);
    if (tensor->n_dims != 4 || tensor->dims[0] < 1 || tensor->dims[0] > 4096 ||
        tensor->dims[1] != (size_t)a->num_channels || tensor->dims[2] != (size_t)a->image_size ||
        tensor->dims[3] != (size_t)a->image_size || (e->n && tensor->dims[0] != (size_t)e->n))
        return error_set(err, -EINVAL, "\"%s\" in the input is not [n,%d,%d,%d]", name,
                         a->num_channels, a->image_size, a->image_size);
    values = malloc(safetensors_count(tensor) * sizeof(*values));
    if (!values)
        return error_set(err, -ENOMEM, "out of memory for \"%s\"", name);
    rc = safetensors_read_floats(tensor, values, err);
    if (rc < 0) {
        free(values);
        return rc;
    }
    e->n = (int)tensor->dims[0];
    *out = values;
    return 0;
}

static int write_images(struct evaluation *e, int value, const float *src, struct error *err)
{
    size_t count = (size_t)e->n * (size_t)e->architecture.image_size *
                   (size_t)e->architecture.image_size * (size_t)e->architecture.num_channels;
    float *values = malloc(count * sizeof(*values));
    int rc;

    if (!values)
        return error_set(err, -ENOMEM, "out of memory for %d images", e->n);
    reorder(&e->architecture, e->n, true, src, values);
    rc = executor_write(e->executor, value, 0, e->n, values, err);
    free(values);
    return rc;
}

/* Takes values. name: prefix and suffix joined. */
static int keep_tensor(struct evaluation *e, const char *prefix, const char *suffix, int n_dims,
                       const size_t *dims, float *values, struct error *err)
{
    struct safetensors_tensor *tensor = &e->tensors[e->n_tensors];
    char *name;

    if (asprintf(&name, "%s%s", prefix, suffix) < 0) {
        free(values);
        return error_set(err, -ENOMEM, "out of memory for the output");
    }
    *tensor = (struct safetensors_tensor){.name = name,
                                          .dtype = SAFETENSORS_F32,
                                          .n_dims = n_dims,
                                          .data = values};
    memcpy(tensor->dims, dims, (size_t)n_dims * sizeof(*dims));
    e->n_tensors++;
    return 0;
}

/* Reads batched images and keeps them as [n,c,h,w]. */
static int keep_images(struct evaluation *e, const char *name, int value, struct error *err)
{
    const struct architecture *a = &e->architecture;
    size_t dims[] = {(size_t)e->n, (size_t)a->num_channels, (size_t)a->image_size,
                     (size_t)a->image_size};
    size_t count = dims[0] * dims[1] * dims[2] * dims[3];
    float *raw = malloc(count * sizeof(*raw)), *values = malloc(count * sizeof(*values));
    int rc = -ENOMEM;

    if (raw && values)
        rc = executor_read(e->executor, value, 0, e->n, raw, err);
    else
        error_set(err, rc, "out of memory for \"%s\"", name);
    if (rc == 0)
        reorder(a, e->n, false, raw, values);
    free(raw);
    if (rc < 0) {
        free(values);
        return rc;
    }
    return keep_tensor(e, name, "", 4, dims, values, err);
}

static int keep_gradient(struct evaluation *e, int i, struct error *err)
{
    const struct shape *shape = parameters_shape(e->parameters, i);
    size_t dims[SHAPE_DIMS_MAX];
    float *values = malloc(shape_count(shape) * sizeof(*values));
    int rc;

    if (!values)
        return error_set(err, -ENOMEM, "out of memory for a gradient");
    rc = executor_read(e->executor, e->gradients[1 + i], 0, 1, values, err);
    if (rc < 0) {
        free(values);
        return rc;
    }
    for (int d = 0; d < shape->n_dims; d++)
        dims[d] = (size_t)shape->dims[d];
    return keep_tensor(e, "grad.", parameters_name(e->parameters, i), shape->n_dims, dims, values,
                       err);
}

/* loss = sum(phi cotangent); phi is the first tensor kept. */
static int keep_loss(struct evaluation *e, const float *cotangent, struct error *err)
{
    const float *phi = e->tensors[0].data;
    size_t count = safetensors_count(&e->tensors[0]), one = 1;
    float *loss = malloc(sizeof(*loss));
    double sum = 0;

    if (!loss)
        return error_set(err, -ENOMEM, "out of memory for the output");
    for (size_t i = 0; i < count; i++)
        sum += (double)phi[i] * cotangent[i];
    *loss = (float)sum;
    return keep_tensor(e, "loss", "", 1, &one, loss, err);
}

static int keep_outputs(struct evaluation *e, const float *cotangent, struct error *err)
{
    int rc;

    e->tensors = calloc((size_t)e->n_gradients + 2, sizeof(*e->tensors));
    if (!e->tensors)
        return error_set(err, -ENOMEM, "out of memory for the output");
    rc = keep_images(e, "phi", e->phi, err);
    if (rc < 0 || e->n_gradients == 0)
        return rc;
    rc = keep_loss(e, cotangent, err);
    if (rc == 0)
        rc = keep_images(e, "grad.x", e->gradients[0], err);
    for (int i = 0; i + 1 < e->n_gradients && rc == 0; i++) {
        if (e->gradients[1 + i] >= 0)
            rc = keep_gradient(e, i, err);
    }
    return rc;
}

/* Evaluates again, prints the milliseconds it took, and waits for a line, until there is none. */
static int evaluate_paced(struct evaluation *e, struct error *err)
{
    char line[16];
    int rc;

    do {
        double start = clock_seconds();

        rc = executor_run(e->executor, e->n, err);
        if (rc == 0)
            printf("%.4f\n", 1e3 * (clock_seconds() - start));
        fflush(stdout);
    } while (rc == 0 && fgets(line, sizeof(line), stdin));
    return rc;
}

static int run(struct evaluation *e, const struct options *o, enum precision precision,
               struct error *err)
{
    const struct safetensors_tensor *time_cond;
    struct safetensors *input = NULL;
    float *x = NULL, *cotangent = NULL, *times = NULL;
    int rc;

    rc = safetensors_open(o->input, &input, err);
    if (rc == 0)
        rc = read_images(e, input, "x", &x, err);
    if (rc == 0 && o->gradients)
        rc = read_images(e, input, "cotangent", &cotangent, err);
    if (rc < 0)
        goto out;
    time_cond = safetensors_find(input, "time_cond");
    if (!time_cond || safetensors_count(time_cond) != (size_t)e->n) {
        rc = error_set(err, -EINVAL, "the input has no \"time_cond\" for %d images", e->n);
        goto out;
    }
    times = malloc((size_t)e->n * sizeof(*times));
    if (!times) {
        rc = error_set(err, -ENOMEM, "out of memory for %d times", e->n);
        goto out;
    }
    rc = safetensors_read_floats(time_cond, times, err);
    if (rc == 0)
        rc = build_plan(e, precision, err);
    if (rc == 0)
        rc = load_weights(e, o->weights, err);
    if (rc == 0)
        rc = write_images(e, e->x, x, err);
    if (rc == 0)
        rc = executor_write(e->executor, e->time_cond, 0, e->n, times, err);
    if (rc == 0 && cotangent)
        rc = write_images(e, e->cotangent, cotangent, err);
    if (rc == 0)
        rc = executor_run(e->executor, e->n, err);
    if (rc == 0)
        rc = keep_outputs(e, cotangent, err);
    stop_must_not_end(); /* halfway through a file */
    if (rc == 0)
        rc = safetensors_write(o->out, e->n_tensors, e->tensors, 0, NULL, err);
    stop_may_end_again();
    if (rc == 0 && o->paced)
        rc = evaluate_paced(e, err);

out:
    free(x);
    free(cotangent);
    free(times);
    if (input)
        safetensors_close(input);
    return rc;
}

static int evaluate(const struct options *o, enum precision precision, struct error *err)
{
    struct evaluation e = {0};
    int rc;

    rc = whole_file_try(o->out, err); /* before the network is run */
    if (rc == 0)
        rc = architecture_file_read(o->architecture, &e.architecture, err);
    if (rc == 0)
        rc = device_open(o->device, o->n_threads, o->choices, &e.device, err);
    if (rc == 0)
        rc = build_program(&e, o->gradients, err);
    if (rc == 0)
        rc = run(&e, o, precision, err);

    for (int i = 0; i < e.n_tensors; i++) {
        free((void *)e.tensors[i].name);
        free((void *)e.tensors[i].data);
    }
    free(e.tensors);
    executor_destroy(e.executor);
    plan_destroy(e.plan);
    parameters_destroy(e.parameters);
    free(e.gradients);
    program_destroy(e.program);
    device_close(e.device);
    return rc;
}

int evaluate_main(int argc, char **argv)
{
    struct options o = {.device = "auto", .choices = arguments_choices(), .precision = "fp32"};
    const struct argument table[] = {
        {"architecture", 'a', ARGUMENT_TEXT, &o.architecture, 0, 0, "FILE", "JSON"},
        {"weights", 'w', ARGUMENT_TEXT, &o.weights, 0, 0, "FILE",
         "safetensors, by the reference's names (all_modules...)"},
        {"input", 'i', ARGUMENT_TEXT, &o.input, 0, 0, "FILE",
         "safetensors: x [n,c,h,w], time_cond [n]; cotangent like x"},
        {"gradients", 0, ARGUMENT_FLAG, &o.gradients, 0, 0, NULL,
         "also loss = sum(phi cotangent), grad.x and grad.<weight>"},
        {"out", 'o', ARGUMENT_TEXT, &o.out, 0, 0, "FILE", "safetensors: phi [n,c,h,w], ..."},
        ARGUMENTS_THREADS(&o.n_threads),
        ARGUMENTS_DEVICE(&o.device),
        ARGUMENTS_CHOICES(&o.choices),
        {"precision", 0, ARGUMENT_TEXT, &o.precision, 0, 0, "P", "fp32 (default), bf16, auto"},
        {"paced", 0, ARGUMENT_FLAG, &o.paced, 0, 0, NULL,
         "then print the ms of another evaluation, and of one more per input line"},
    };
    const struct arguments arguments = {
        .program = "softdiff-inspect run",
        .usage = "--architecture FILE --weights FILE --input FILE --out FILE [options]",
        .about = "Evaluates a network once, for comparison with another implementation.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
    };
    enum precision precision = PRECISION_FP32;
    struct error err;
    int code = arguments_parse(&arguments, argc, argv, NULL), rc;

    if (code >= 0)
        return code;
    rc = precision_parse(o.precision, &precision, &err);
    if (rc == 0 && (!o.architecture || !o.weights || !o.input || !o.out))
        rc = error_set(&err, -EINVAL, "--architecture, --weights, --input and --out are needed");
    if (rc < 0)
        return arguments_refuse(arguments.program, err.text);
    stop_on_signals();
    stop_may_end(EXIT_FAILED, "softdiff-inspect: stopped");
    rc = evaluate(&o, precision, &err);
    return arguments_end(arguments.program, rc, &err);
}
