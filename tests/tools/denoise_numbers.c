/* What a model predicts, as numbers: denoise_numbers MODEL T... reads images x_t from standard input,
 * float32 [n,h,w,c], one for every T, and writes the clean ones that are expected; in fp32 on the cpu.
 */
#include "engine/base/error.h"
#include "engine/device.h"
#include "engine/parameters.h"
#include "engine/program.h"
#include "model/checkpoint.h"
#include "model/denoiser.h"
#include "tests/planned.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct work {
    struct device *device;
    struct program *program;
    struct parameters *parameters;
    struct planned *plan;
    int x;
    struct denoiser denoiser;
};

static int build(struct work *w, const struct checkpoint *c, struct error *err)
{
    const struct formulation *f = &c->formulation;
    const struct architecture *a = &f->architecture;
    struct plan_options options = {.precision = PRECISION_FP32, .batch_max = 1, .n_outputs = 1};
    struct operator_values c_t;
    int rc = program_create(&w->program, err);

    if (rc < 0)
        return rc;
    w->x = program_input(w->program, "x",
                         shape_images(a->image_size, a->image_size, a->num_channels), VALUE_EXACT);
    c_t = corruption_inputs(f->corruption, w->program, "c_t", false);
    rc = denoiser_append(w->program, f, w->x, &c_t, -1, -1, -1, &w->denoiser, err);
    if (rc == 0)
        rc = parameters_create(w->device, w->program, &w->parameters, err);
    options.outputs = &w->denoiser.h;
    if (rc == 0)
        rc = planned_create(w->device, w->program, w->parameters, &options, &w->plan, err);
    if (rc == 0)
        rc = parameters_load(w->parameters, c->weights, err);
    return rc < 0 ? rc : denoiser_write_tables(f, w->parameters, err);
}

/* One image after the other. */
static int denoise(struct work *w, const struct checkpoint *c, int n, char **times,
                   struct error *err)
{
    const struct architecture *a = &c->formulation.architecture;
    size_t count = (size_t)a->image_size * (size_t)a->image_size * (size_t)a->num_channels;
    float *x = malloc(count * sizeof(*x));
    int rc = x ? 0 : error_set(err, -ENOMEM, "out of memory");

    for (int i = 0; i < n && rc == 0; i++) {
        if (fread(x, sizeof(*x), count, stdin) != count) {
            rc = error_set(err, -EINVAL, "there is no image for every time");
            break;
        }
        rc = planned_write(w->plan, w->x, 0, 1, x, err);
        if (rc < 0)
            break;
        denoiser_write_time(&w->denoiser, &c->formulation, w->plan->executor, 0, atof(times[i]));
        rc = planned_run(w->plan, 1, err);
        if (rc == 0)
            rc = planned_read(w->plan, w->denoiser.h, 0, 1, x, err);
        if (rc == 0 && fwrite(x, sizeof(*x), count, stdout) != count)
            rc = error_set(err, -EIO, "could not write");
    }
    free(x);
    return rc;
}

int main(int argc, char **argv)
{
    struct work w = {0};
    struct checkpoint *c = NULL;
    struct error err;
    int rc;

    if (argc < 3) {
        fprintf(stderr, "usage: denoise_numbers MODEL T... < x_t > x_0\n");
        return 2;
    }
    rc = checkpoint_load(argv[1], &c, &err);
    if (rc == 0)
        rc = device_open("cpu", 2, NULL, &w.device, &err);
    if (rc == 0)
        rc = build(&w, c, &err);
    if (rc == 0)
        rc = denoise(&w, c, argc - 2, argv + 2, &err);
    planned_destroy(w.plan);
    parameters_destroy(w.parameters);
    program_destroy(w.program);
    checkpoint_destroy(c);
    device_close(w.device);
    if (rc < 0)
        fprintf(stderr, "denoise_numbers: %s\n", err.text);
    return rc < 0;
}
