#include "server/check.h"

#include "config/settings.h"
#include "engine/base/error.h"
#include "engine/device.h"
#include "engine/identity.h"
#include "model/checkpoint.h"
#include "model/corruption.h"

static int check_device(const struct settings *s, FILE *file, struct error *err)
{
    enum precision wanted, precision;
    struct device *device = NULL;
    char text[256], id[IDENTITY_BYTES];
    int rc;

    rc = precision_parse(s->precision, &wanted, err);
    if (rc == 0)
        rc = device_open(s->device, s->threads, s->choices, &device, err);
    if (rc < 0)
        return rc;
    rc = device_base(device)->ops->precision(device, wanted, &precision, err);
    if (rc == 0)
        rc = identity_of(device, precision, id, err);
    if (rc == 0) {
        device_base(device)->ops->describe(device, text, sizeof(text));
        fprintf(file, "device: %s, %s, determinism id %s\n", text, precision_name(precision), id);
    }
    device_close(device);
    return rc;
}

int check_settings(const struct settings *s, FILE *file, struct error *err)
{
    const struct architecture *a;
    struct checkpoint *c;
    int rc;

    rc = check_device(s, file, err);
    for (int i = 0; i < s->n_models && rc == 0; i++) {
        rc = checkpoint_load(s->models[i].path, &c, err);
        if (rc < 0) {
            error_prefix(err, "model \"%s\": ", s->models[i].name);
            break;
        }
        a = &c->formulation.architecture;
        fprintf(file, "model %s: %s, %d x %d px, %zu weights, checkpoint %.12s\n",
                s->models[i].name, corruption_name(c->formulation.corruption), a->image_size,
                a->image_size, c->n_weights, c->digest);
        checkpoint_destroy(c);
    }
    return rc;
}
