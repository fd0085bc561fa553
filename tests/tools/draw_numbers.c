/* Draws images as numbers, before they are rounded to bytes: draw_numbers MODEL SAMPLER NFE SEED N
 * writes x_0 of seeds SEED .. SEED + N - 1 to standard output, float32 [n,h,w,c]; in fp32 on the cpu.
 * Of 0 evaluations it is x_1.
 * With LABEL GUIDANCE behind, of that label, guided.
 */
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/device.h"
#include "model/checkpoint.h"
#include "model/evaluation.h"
#include "model/step.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { NFE_MAX = 64, IMAGES_MAX = 16, SIDE_MAX = 64, CHANNELS_MAX = 4 };

/* One evaluation of all images. */
static int evaluate(struct evaluation *e, const struct sampler_row *row, const uint64_t *seeds,
                    int n, const struct step_lead *lead, struct error *err)
{
    static const bool unwanted[IMAGES_MAX];
    int rc;

    for (int i = 0; i < n; i++) {
        struct philox_key key = philox_key(seeds[i], 0, (uint32_t)row->step);

        evaluation_write(e, i, i, row, &(struct evaluation_noise){.key = &key}, lead);
    }
    rc = evaluation_run(e, n, unwanted, unwanted, err);
    return rc < 0 ? rc : evaluation_wait(e, err);
}

static int run_steps(struct evaluation *e, const struct sampler_row *rows, int nfe,
                     const uint64_t *seeds, int n, const struct step_lead *lead, struct error *err)
{
    const struct step_lead unlabelled = {.hold = true};
    int rc;

    for (int i = 0; i < n; i++) {
        struct philox_key key = philox_key(seeds[i], 0, 0);

        evaluation_write_start(e, i, i, &(struct evaluation_noise){.key = &key});
    }
    rc = evaluation_start(e, n, err);
    for (int k = 0; k < nfe && rc == 0; k++) {
        if (lead->guided)
            rc = evaluate(e, &rows[k], seeds, n, &unlabelled, err);
        if (rc == 0)
            rc = evaluate(e, &rows[k], seeds, n, lead, err);
    }
    return rc;
}

static int draw(struct device *device, const struct checkpoint *c, char **argv,
                const struct step_lead *lead, struct error *err)
{
    const struct architecture *a = &c->formulation.architecture;
    size_t count = (size_t)a->image_size * (size_t)a->image_size * (size_t)a->num_channels;
    static float x[SIDE_MAX * SIDE_MAX * CHANNELS_MAX];
    struct evaluation_options options = {.precision = PRECISION_FP32};
    struct sampler_row rows[NFE_MAX];
    uint64_t seeds[IMAGES_MAX], seed = strtoull(argv[4], NULL, 10);
    int nfe = atoi(argv[3]), n = atoi(argv[5]), rc;
    struct evaluation *e = NULL;
    enum sampler sampler;

    if (nfe > NFE_MAX || n > IMAGES_MAX || count > sizeof(x) / sizeof(*x))
        return error_set(err, -EINVAL, "more than there is room for");
    options.batch_max = options.n_slots = n;
    for (int i = 0; i < n; i++)
        seeds[i] = seed + (uint64_t)i;
    rc = sampler_parse(argv[2], &sampler, err);
    if (rc == 0 && nfe > 0)
        rc = sampler_table(sampler, &c->formulation, nfe, rows, err);
    if (rc == 0)
        rc = evaluation_create(device, c, &options, &e, err);
    if (rc == 0)
        rc = run_steps(e, rows, nfe, seeds, n, lead, err);
    for (int i = 0; i < n && rc == 0; i++) {
        rc = evaluation_get(e, "x", i, x, err);
        if (rc == 0 && fwrite(x, sizeof(*x), count, stdout) != count)
            rc = error_set(err, -EIO, "could not write");
    }
    evaluation_destroy(e);
    return rc;
}

int main(int argc, char **argv)
{
    struct checkpoint *c = NULL;
    struct device *device = NULL;
    struct step_lead lead = {0};
    struct error err;
    int rc;

    if (argc != 6 && argc != 8) {
        fprintf(stderr, "usage: draw_numbers MODEL SAMPLER NFE SEED N [LABEL GUIDANCE]\n");
        return 2;
    }
    if (argc == 8)
        lead = (struct step_lead){.label = atoi(argv[6]),
                                  .guided = true,
                                  .guidance = strtof(argv[7], NULL)};
    rc = checkpoint_load(argv[1], &c, &err);
    if (rc == 0)
        rc = device_open("cpu", 2, NULL, &device, &err);
    if (rc == 0)
        rc = draw(device, c, argv, &lead, &err);
    checkpoint_destroy(c);
    device_close(device);
    if (rc < 0)
        fprintf(stderr, "draw_numbers: %s\n", err.text);
    return rc < 0;
}
