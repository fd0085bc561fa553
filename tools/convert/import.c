/* What is read is what score_sde.py or diffusers_unet.py wrote: tensors by the reference's names, in the
 * metadata the architecture, and either `process`, the diffusion VP or subVP, or a tensor `sigmas`, the noise
 * of VE's steps from the most to the least.
 *
 * Source: yang-song/score_sde_pytorch (cb1f359), sde_lib.py and models/utils.py. VE: x_t = x_0 + sigma_t eta
 * with sigma_t geometric in t; the score is the network's output over sigma_t, hence h = x_t + sigma_t F.
 * VP and subVP: the score is minus the output over the noise, hence the output is eta; the network is
 * told 999 t, and pictures are of [-1,1], so that their noise is half as strong in ours. Of diffusers
 * also networks that find the velocity, or the clean picture.
 */
#include "tools/convert/import.h"
#include "engine/base/error.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "model/json_fields.h"
#include "model/safetensors.h"
#include "tools/arguments.h"
#include "tools/network.h"
#include "tools/output.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct job {
    const char *weights, *out, *licence;
    bool force;
};

/* The noise at both ends. */
static int read_sigmas(const struct safetensors *file, double *least, double *most,
                       struct error *err)
{
    const struct safetensors_tensor *sigmas = safetensors_find(file, "sigmas");
    size_t n = sigmas ? safetensors_count(sigmas) : 0;
    double *values;
    int rc;

    if (n < 2)
        return error_set(err, -EINVAL,
                         "there are no \"sigmas\": this is no model of plain noise (VE)");
    values = malloc(n * sizeof(*values));
    if (!values)
        return error_set(err, -ENOMEM, "out of memory for %zu sigmas", n);
    rc = safetensors_read_doubles(sigmas, values, err);
    if (rc == 0 && !(values[n - 1] > 0 && values[0] > values[n - 1]))
        rc = error_set(err, -EINVAL, "the \"sigmas\" do not fall to more than 0");
    if (rc == 0) {
        *most = values[0];
        *least = values[n - 1];
    }
    free(values);
    return rc;
}

static int read_architecture(const struct safetensors *file, struct architecture *out,
                             struct error *err)
{
    const char *text = safetensors_metadata(file, "architecture");

    if (!text)
        return error_set(err, -EINVAL,
                         "there is no \"architecture\" in the metadata: score_sde.py and "
                         "diffusers_unet.py write one");
    return architecture_parse(text, out, err);
}

/* Noise of pictures of [-1,1] in the unit of ours. */
static const double halved = 0.5;

enum { STEPS = 1000 };

/* Of a process in steps: the network is told their number, which is 999 t. */
static int read_steps(const json_t *betas, struct schedule *out, struct error *err)
{
    double values[STEPS];

    if (json_array_size(betas) != STEPS)
        return error_set(err, -EINVAL, "\"process\": \"betas\" is not a list of %d numbers", STEPS);
    for (size_t i = 0; i < STEPS; i++)
        values[i] = json_number_value(json_array_get(betas, i));
    return schedule_vp_steps(STEPS, values, halved, out, err);
}

/* {"name": "vp", "betas": [..]}, or {"name": "vp" or "subvp", "beta_min": .., "beta_max": ..}, and
 * "predicts": "noise" =, "velocity" or "clean". */
static int read_process(const json_t *json, struct formulation *f, struct error *err)
{
    static const char *const names[] = {"vp", "subvp"};
    static const char *const predicted[] = {"noise", "velocity", "clean"};
    static const enum output outputs[] = {OUTPUT_NOISE, OUTPUT_VELOCITY, OUTPUT_CLEAN};
    double beta_min = 0, beta_max = 0;
    const json_t *betas = NULL;
    struct json_fields fields;
    int name = 0, predicts = 0, side = f->architecture.image_size, rc;
    json_t *corruption;

    json_fields_begin(&fields, json, "process", err);
    json_fields_choice(&fields, "name", JSON_REQUIRED, 2, names, &name);
    json_fields_choice(&fields, "predicts", JSON_OPTIONAL, 3, predicted, &predicts);
    json_fields_value(&fields, "betas", JSON_OPTIONAL, &betas);
    if (!betas) {
        json_fields_number(&fields, "beta_min", JSON_REQUIRED, 1e-6, 1e6, &beta_min);
        json_fields_number(&fields, "beta_max", JSON_REQUIRED, 1e-6, 1e6, &beta_max);
    }
    rc = json_fields_end(&fields);
    if (rc < 0)
        return rc;
    corruption = json_pack("{s:s}", "name", names[name]);
    rc = corruption ? corruption_create(corruption, side, side, &f->corruption, err)
                    : error_set(err, -ENOMEM, "out of memory for a model");
    json_decref(corruption);
    f->output = outputs[predicts];
    if (rc == 0)
        rc = output_check(f->output, f->corruption, err);
    if (rc < 0)
        return rc;
    return betas ? read_steps(betas, &f->schedule, err)
                 : schedule_vp(beta_min, beta_max, halved, name == 1, &f->schedule, err);
}

/* Drawing begins with noise around the middle of [-1,1]. */
static int start_in_the_middle(struct formulation *f, struct error *err)
{
    const struct architecture *a = &f->architecture;
    size_t n = (size_t)a->image_size * (size_t)a->image_size * (size_t)a->num_channels;
    float *grey = malloc(n * sizeof(*grey));
    int rc;

    if (!grey)
        return error_set(err, -ENOMEM, "out of memory for a model");
    for (size_t i = 0; i < n; i++)
        grey[i] = 0.5f;
    rc = prior_start_at(&f->prior, f->corruption, schedule_level(&f->schedule, 1), grey, err);
    free(grey);
    return rc;
}

static int formulate_diffusion(const char *text, struct formulation *f, struct error *err)
{
    json_error_t where;
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &where);
    int rc = json ? read_process(json, f, err) : json_refuse(&where, "process", err);

    json_decref(json);
    f->time_embed = TIME_POSITIONAL_999T;
    if (rc == 0)
        rc = formulation_check_noise(f, err);
    if (rc == 0 && !time_embed_fits(f->time_embed, f->architecture.embedding_type))
        rc = error_set(err, -EINVAL, "a process \"%s\" needs a positional embedding",
                       corruption_name(f->corruption));
    return rc < 0 ? rc : start_in_the_middle(f, err);
}

static int formulate_ve(const struct safetensors *file, struct formulation *f, struct error *err)
{
    int side = f->architecture.image_size, rc;
    double least = 0, most = 0;
    json_t *noise = json_pack("{s:s}", "name", "noise");

    if (!noise)
        return error_set(err, -ENOMEM, "out of memory for a model");
    rc = corruption_create(noise, side, side, &f->corruption, err);
    json_decref(noise);
    if (rc == 0)
        rc = read_sigmas(file, &least, &most, err);
    if (rc == 0)
        rc = schedule_noise_then_levels(least, most, 1, 0, NULL, &f->schedule, err);
    f->output = OUTPUT_SIGMA;
    f->time_embed = f->architecture.embedding_type == EMBEDDING_FOURIER ? TIME_FOURIER_LOG_SIGMA
                                                                        : TIME_POSITIONAL_REVERSED;
    return rc;
}

static int formulate(const struct safetensors *file, struct formulation *f, struct error *err)
{
    const char *process = safetensors_metadata(file, "process");
    int rc = read_architecture(file, &f->architecture, err);

    if (rc < 0)
        return rc;
    f->sampling.refining_grid = true;
    f->prior.side = f->architecture.image_size;
    f->prior.channels = f->architecture.num_channels;
    return process ? formulate_diffusion(process, f, err) : formulate_ve(file, f, err);
}

static int describe(const struct job *j, const struct safetensors *file, struct checkpoint *c,
                    struct error *err)
{
    const char *source = safetensors_metadata(file, "source");

    c->provenance =
        json_pack("{s:s}", "imported_from", source ? source : "yang-song/score_sde_pytorch");
    c->licence = j->licence ? strdup(j->licence) : NULL;
    if (!c->provenance || (j->licence && !c->licence))
        return error_set(err, -ENOMEM, "out of memory for a model");
    return 0;
}

static int make(const struct job *j, struct checkpoint *c, struct error *err)
{
    struct safetensors *file;
    int rc = safetensors_open(j->weights, &file, err);

    if (rc < 0) {
        error_prefix(err, "import takes what score_sde.py or diffusers_unet.py (tools/convert) "
                          "have read: ");
        return rc;
    }
    rc = formulate(file, &c->formulation, err);
    if (rc < 0)
        error_prefix(err, "\"%s\": ", j->weights);
    else
        rc = describe(j, file, c, err);
    safetensors_close(file);
    if (rc == 0)
        rc = network_initialise(c, j->weights, err);
    if (rc == 0)
        rc = checkpoint_save(j->out, c, false, err);
    return rc;
}

static int run(const struct job *j, struct error *err)
{
    struct checkpoint *c, *written;
    int rc;

    rc = output_try(j->out, j->force, err);
    if (rc < 0)
        return rc;
    c = calloc(1, sizeof(*c));
    if (!c)
        return error_set(err, -ENOMEM, "out of memory for a model");
    rc = make(j, c, err);
    checkpoint_destroy(c);
    if (rc == 0)
        rc = checkpoint_load(j->out, &written, err);
    if (rc == 0) {
        printf("%s  %s\n", written->digest, j->out);
        checkpoint_destroy(written);
    }
    return rc;
}

int import_main(int argc, char **argv)
{
    struct job j = {0};
    const struct argument table[] = {
        {"licence", 0, ARGUMENT_TEXT, &j.licence, 0, 0, "TEXT",
         "of the weights, for the checkpoint"},
        {"force", 'f', ARGUMENT_FLAG, &j.force, 0, 0, NULL, "replace OUT if it is there"},
    };
    const struct arguments arguments = {
        .program = "softdiff-convert import",
        .usage = "WEIGHTS.safetensors OUT [options]",
        .about = "Writes a checkpoint of plain noise (VE, VP or subVP) from weights of\n"
                 "yang-song/score_sde_pytorch, which tools/convert/score_sde.py reads from a .pth, "
                 "or of\na UNet2DModel of diffusers, which tools/convert/diffusers_unet.py reads.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
        .n_operands_min = 2,
        .n_operands_max = 2,
    };
    const char *operands[2];
    struct error err;
    int code = arguments_parse(&arguments, argc, argv, operands);

    if (code >= 0)
        return code;
    j.weights = operands[0];
    j.out = operands[1];
    return arguments_end(arguments.program, run(&j, &err), &err);
}
