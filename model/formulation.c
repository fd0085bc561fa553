#include "model/formulation.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "engine/base/choice.h"
#include "engine/base/error.h"
#include "model/corruption.h"
#include "model/json_fields.h"

enum { OUTPUTS = 7, TIME_EMBEDS = 4 };

static const char *const output_names[OUTPUTS] = {
    [OUTPUT_RESIDUAL] = "residual", [OUTPUT_WIENER] = "wiener", [OUTPUT_SCALED] = "scaled",
    [OUTPUT_SIGMA] = "sigma",       [OUTPUT_NOISE] = "noise",   [OUTPUT_VELOCITY] = "velocity",
    [OUTPUT_CLEAN] = "clean",
};

static const char *const time_embed_names[TIME_EMBEDS] = {
    [TIME_FOURIER_T] = "fourier_t",
    [TIME_POSITIONAL_999T] = "positional_999t",
    [TIME_FOURIER_LOG_SIGMA] = "fourier_log_sigma",
    [TIME_POSITIONAL_REVERSED] = "positional_reversed",
};

bool time_embed_fits(enum time_embed t, enum embedding_type embedding)
{
    bool positional = t == TIME_POSITIONAL_999T || t == TIME_POSITIONAL_REVERSED;

    return positional == (embedding == EMBEDDING_POSITIONAL);
}

const char *output_name(enum output o)
{
    return output_names[o];
}

const char *time_embed_name(enum time_embed t)
{
    return time_embed_names[t];
}

int output_parse(const char *name, enum output *out, struct error *err)
{
    int i = choice_parse("output", name, OUTPUTS, output_names, err);

    if (i < 0)
        return i;
    *out = (enum output)i;
    return 0;
}

int output_check(enum output o, const struct corruption *c, struct error *err)
{
    const char *name = corruption_name(c);
    bool vp = strcmp(name, "vp") == 0;

    if (o == OUTPUT_VELOCITY && !vp)
        return error_set(err, -EINVAL,
                         "output \"velocity\" goes with the corruption \"vp\", not with \"%s\"",
                         name);
    if ((o == OUTPUT_NOISE || o == OUTPUT_CLEAN) && !vp && strcmp(name, "subvp") != 0)
        return error_set(err, -EINVAL,
                         "output \"%s\" goes with the corruptions \"vp\" and \"subvp\", not "
                         "with \"%s\"",
                         output_names[o], name);
    return 0;
}

int time_embed_parse(const char *name, enum time_embed *out, struct error *err)
{
    int i = choice_parse("time_embed", name, TIME_EMBEDS, time_embed_names, err);

    if (i < 0)
        return i;
    *out = (enum time_embed)i;
    return 0;
}

void formulation_fini(struct formulation *f)
{
    corruption_destroy(f->corruption);
    schedule_fini(&f->schedule);
    sampling_fini(&f->sampling);
    prior_fini(&f->prior);
    wiener_fini(&f->wiener);
    scaling_fini(&f->scaling);
    *f = (struct formulation){0};
}

float formulation_time_cond(const struct formulation *f, double t)
{
    switch (f->time_embed) {
    case TIME_FOURIER_T:
        return (float)exp(t);
    case TIME_POSITIONAL_999T:
        return (float)(999 * t);
    case TIME_POSITIONAL_REVERSED:
        return (float)(999 * (1 - t));
    case TIME_FOURIER_LOG_SIGMA:
        return (float)schedule_sigma(&f->schedule, t);
    }
    return NAN;
}

int formulation_check_noise(const struct formulation *f, struct error *err)
{
    const struct schedule_knots *level = &f->schedule.level;

    for (int i = 0; f->output == OUTPUT_NOISE && i < level->n; i++) {
        if (!(level->value[i] >= 1e-6))
            return error_set(err, -EINVAL,
                             "output \"noise\" does not go with a schedule whose level falls to %g",
                             level->value[i]);
    }
    if (!schedule_has_noise(&f->schedule) && f->time_embed == TIME_FOURIER_LOG_SIGMA)
        return error_set(err, -EINVAL,
                         "time_embed \"%s\" does not go with a schedule without noise",
                         time_embed_names[f->time_embed]);
    return 0;
}

int formulation_from_fields(struct json_fields *fields, struct formulation *out, struct error *err)
{
    const json_t *architecture = NULL, *corruption = NULL, *schedule = NULL;
    int output = 0, time_embed = 0, side, rc;
    struct formulation f = {0};

    json_fields_value(fields, "architecture", JSON_REQUIRED, &architecture);
    json_fields_value(fields, "corruption", JSON_REQUIRED, &corruption);
    json_fields_value(fields, "schedule", JSON_REQUIRED, &schedule);
    json_fields_choice(fields, "output", JSON_REQUIRED, OUTPUTS, output_names, &output);
    json_fields_choice(fields, "time_embed", JSON_REQUIRED, TIME_EMBEDS, time_embed_names,
                       &time_embed);
    rc = json_fields_end(fields);
    if (rc == 0)
        rc = architecture_from_json(architecture, &f.architecture, err);
    if (rc < 0)
        return rc;
    f.output = (enum output)output;
    f.time_embed = (enum time_embed)time_embed;
    if (!time_embed_fits(f.time_embed, f.architecture.embedding_type))
        return error_set(err, -EINVAL,
                         "time_embed \"%s\" does not go with the architecture's embedding_type",
                         time_embed_names[time_embed]);
    side = f.architecture.image_size;
    rc = corruption_create(corruption, side, side, &f.corruption, err);
    if (rc == 0)
        rc = output_check(f.output, f.corruption, err);
    if (rc == 0)
        rc = schedule_from_json(schedule, &f.schedule, err);
    if (rc == 0)
        rc = formulation_check_noise(&f, err);
    if (rc < 0) {
        formulation_fini(&f);
        return rc;
    }
    *out = f;
    return 0;
}

struct json_t *formulation_to_json(const struct formulation *f)
{
    return json_pack("{s:o, s:o, s:o, s:s, s:s}", "architecture",
                     architecture_to_json(&f->architecture), "corruption",
                     corruption_to_json(f->corruption), "schedule", schedule_to_json(&f->schedule),
                     "output", output_names[f->output], "time_embed",
                     time_embed_names[f->time_embed]);
}
