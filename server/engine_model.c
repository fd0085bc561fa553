#include "server/engine_model.h"

#include "config/settings.h"
#include "engine/device.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "model/generator.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

static void describe(struct engine_model *m, const char *name)
{
    const struct formulation *f = &m->checkpoint->formulation;

    snprintf(m->name, sizeof(m->name), "%s", name);
    snprintf(m->digest, sizeof(m->digest), "%s", m->checkpoint->digest);
    m->loaded_s = (int64_t)time(NULL);
    m->licence = m->checkpoint->licence;
    m->labels = m->checkpoint->labels;
    m->formulation = f;
    m->sampling = &f->sampling;
    for (int i = 0; i < DEGRADATIONS; i++)
        m->restores[i] = restoration_std_max(f, (enum degradation)i);
    m->corruption = corruption_name(f->corruption);
    m->output = output_name(f->output);
    m->time_embed = time_embed_name(f->time_embed);
    m->precision = precision_name(generator_precision(m->generator));
    m->side_px = generator_side(m->generator);
    m->channels = generator_channels(m->generator);
    m->memory_bytes = generator_memory_bytes(m->generator);
}

int engine_model_read(const struct settings_model *setting, struct checkpoint **out,
                      struct error *err)
{
    int rc = checkpoint_load(setting->path, out, err);

    if (rc < 0)
        error_prefix(err, "model \"%s\": ", setting->name);
    return rc;
}

bool engine_model_passes_over(const struct settings_model *setting, int code)
{
    return code == -EMEDIUMTYPE && setting->found;
}

int engine_model_load(struct device *device, const char *name, struct checkpoint *checkpoint,
                      const struct generator_options *options, struct engine_model *out,
                      struct error *err)
{
    int rc;

    out->checkpoint = checkpoint;
    rc = generator_create(device, checkpoint, options, &out->generator, err);
    if (rc < 0) {
        error_prefix(err, "model \"%s\": ", name);
        return rc;
    }
    checkpoint_drop_weights(checkpoint); /* the generator has them, packed */
    describe(out, name);
    return 0;
}

void engine_model_unload(struct engine_model *m)
{
    generator_destroy(m->generator);
    checkpoint_destroy(m->checkpoint);
}

int engine_model_test(struct engine_model *m, struct error *err)
{
    int rc = generator_self_test(m->generator, &m->self_test);

    m->batch_invariant = rc == 0;
    if (rc == -EDOM)
        return error_set(err, rc, "model \"%s\": %s", m->name, m->self_test.text);
    return 0;
}
