#include "server/engine_model.h"

#include "config/settings.h"
#include "engine/device.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "model/generator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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

int engine_model_create(const char *name, struct checkpoint *checkpoint, struct engine_model **out,
                        struct error *err)
{
    const struct formulation *f = &checkpoint->formulation;
    struct engine_model *m = calloc(1, sizeof(*m));

    if (!m) {
        checkpoint_destroy(checkpoint);
        return error_set(err, -ENOMEM, "out of memory for model \"%s\"", name);
    }
    m->checkpoint = checkpoint;
    snprintf(m->name, sizeof(m->name), "%s", name);
    snprintf(m->digest, sizeof(m->digest), "%s", checkpoint->digest);
    m->loaded_s = (int64_t)time(NULL);
    m->licence = checkpoint->licence;
    m->labels = checkpoint->labels;
    m->formulation = f;
    m->sampling = &f->sampling;
    for (int i = 0; i < DEGRADATIONS; i++)
        m->restores[i] = restoration_std_max(f, (enum degradation)i);
    m->corruption = corruption_name(f->corruption);
    m->output = output_name(f->output);
    m->time_embed = time_embed_name(f->time_embed);
    m->side_px = f->architecture.image_size;
    m->channels = f->architecture.num_channels;
    m->batch_invariant = true;
    *out = m;
    return 0;
}

void engine_model_destroy(struct engine_model *m)
{
    if (!m)
        return;
    checkpoint_destroy(m->checkpoint);
    free(m);
}

void engine_model_add(struct engine_model *m, const struct engine_copy *copy)
{
    m->precision = copy->precision;
    if (m->batch_invariant && !copy->batch_invariant)
        m->self_test = copy->self_test;
    m->batch_invariant &= copy->batch_invariant;
}

int engine_copy_load(struct device *device, struct engine_model *m,
                     const struct generator_options *options, struct engine_copy *out,
                     struct error *err)
{
    int rc = generator_create(device, m->checkpoint, options, &out->generator, err);

    if (rc < 0) {
        error_prefix(err, "model \"%s\": ", m->name);
        return rc;
    }
    out->model = m;
    out->precision = precision_name(generator_precision(out->generator));
    out->memory_bytes = generator_memory_bytes(out->generator);
    return 0;
}

void engine_copy_unload(struct engine_copy *copy)
{
    generator_destroy(copy->generator);
}

int engine_copy_test(struct engine_copy *copy, struct error *err)
{
    int rc = generator_self_test(copy->generator, &copy->self_test);

    copy->batch_invariant = rc == 0;
    if (rc == -EDOM || rc == -ECANCELED)
        return error_set(err, rc, "model \"%s\": %s", copy->model->name, copy->self_test.text);
    return 0;
}
