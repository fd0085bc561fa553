#include "server/check.h"

#include "config/model_folder.h"
#include "config/model_limits.h"
#include "config/settings.h"
#include "engine/base/error.h"
#include "engine/device.h"
#include "engine/identity.h"
#include "model/checkpoint.h"
#include "model/generator.h"
#include "server/batches.h"
#include "server/daemon.h"
#include "server/engine_model.h"
#include "server/engines.h"
#include "server/job_database.h"
#include "server/keys.h"
#include "server/tls.h"

#include <errno.h>

static int check_keys(const struct settings *s, struct error *err)
{
    struct keys *keys;
    int rc = keys_create(s->api_key_file, &keys, err);

    if (rc == 0)
        keys_destroy(keys);
    return rc;
}

static int check_certificate(const struct settings *s, FILE *file, struct error *err)
{
    char text[512];
    struct tls *tls;
    int rc = tls_create(s, &tls, err);

    if (rc < 0 || !tls)
        return rc;
    tls_describe(tls, text, sizeof(text));
    tls_destroy(tls);
    fprintf(file, "certificate: %s\n", text);
    return 0;
}

static int check_addresses(const struct settings *s, FILE *file, struct error *err)
{
    struct daemon_sockets sockets;
    int connections, rc;

    rc = daemon_connections(s, &connections, err);
    if (rc == 0)
        rc = daemon_bind(s, &sockets, err);
    if (rc < 0)
        return rc;
    listening_close(&sockets.public);
    listening_close(&sockets.admin);
    rc = check_keys(s, err);
    if (rc < 0)
        return rc;
    fprintf(file, "addresses: %s for %d connections, probes at %s\n", sockets.public.text,
            connections, sockets.admin.text);
    return 0;
}

static int check_store(const struct settings *s, FILE *file, struct error *err)
{
    struct job_database *db = NULL;
    int rc;

    if (!*s->state_dir && !*s->job_store)
        return 0;
    rc = *s->job_store ? job_postgres_open(s->job_store, &db, err)
                       : job_sqlite_open(s->state_dir, &db, err);
    if (rc < 0)
        return rc;
    if (db->ops->begin(db) < 0 || db->ops->commit(db) < 0)
        rc = error_set(err, -EIO, "the store of jobs cannot be reached; the log says why");
    else
        fprintf(file, "jobs: %s\n", *s->job_store ? s->job_store : s->state_dir);
    db->ops->close(db);
    return rc;
}

static int check_device(const char *name, struct device *device, enum precision wanted, char *id,
                        FILE *file, struct error *err)
{
    enum precision precision;
    char text[256];
    int rc;

    rc = device_base(device)->ops->precision(device, wanted, &precision, err);
    if (rc == 0)
        rc = identity_of(device, precision, id, err);
    if (rc < 0)
        return rc;
    device_base(device)->ops->describe(device, text, sizeof(text));
    fprintf(file, "device %s: %s, %s, determinism id %s\n", name, text, precision_name(precision),
            id);
    return 0;
}

/* As the daemon does before it is ready. n_good grows by a model that can be served. */
static int check_model(struct device *device, const struct settings *s,
                       const struct settings_model *setting,
                       const struct generator_options *options, FILE *file, int *n_good,
                       struct error *err)
{
    struct generator_options own = *options;
    struct engine_copy copy = {.model = NULL};
    struct engine_model *m = NULL;
    struct checkpoint *checkpoint;
    int rc;

    own.nfe_max = model_limits_of(s, setting->name).max_nfe;
    rc = engine_model_read(setting, &checkpoint, err);
    if (engine_model_passes_over(setting, rc)) {
        fprintf(file, "%s: passed over, it is no model that draws\n", setting->path);
        return 0;
    }
    if (rc == 0 && *n_good == SETTINGS_MODELS_MAX) {
        checkpoint_destroy(checkpoint);
        rc = error_set(err, -EINVAL, ENGINE_MODEL_MANY, SETTINGS_MODELS_MAX, setting->path);
    }
    if (rc == 0)
        rc = engine_model_create(setting->name, checkpoint, &m, err);
    if (rc == 0)
        rc = engine_copy_load(device, m, &own, &copy, err);
    if (rc == 0)
        rc = engine_copy_test(&copy, err);
    if (rc == 0)
        fprintf(file, "model %s: %s, %d x %d px, %zu weights, checkpoint %.12s; %s\n", m->name,
                m->corruption, m->side_px, m->side_px, m->checkpoint->n_weights, m->digest,
                copy.batch_invariant ? "images generated, the same alone and in a batch"
                                     : copy.self_test.text);
    *n_good += rc == 0;
    engine_copy_unload(&copy);
    engine_model_destroy(m);
    return rc;
}

/* One device after the other, with all models. */
static int check_devices(const struct settings *s, const struct generator_options *options,
                         FILE *file, struct error *err)
{
    char first[IDENTITY_BYTES], id[IDENTITY_BYTES];
    struct settings_model models[SETTINGS_FILES_MAX];
    int n_models, n_good = 0, rc; /* n_good: on one device */

    rc = model_folder_list(s, models, &n_models, err);
    for (int i = 0; i < s->n_devices && rc == 0; i++) {
        struct device *device = NULL;
        struct engine_device o = {.threads = 0};

        n_good = 0;
        engines_device_options(s, i, &o);
        rc = device_open(o.name, o.threads, s->choices, &device, err);
        if (rc == 0)
            rc = check_device(o.name, device, options->precision, i == 0 ? first : id, file, err);
        if (rc == 0 && i > 0)
            rc = engines_compare(s->devices[0], first, o.name, id, err);
        for (int j = 0; j < n_models && rc == 0; j++)
            rc = check_model(device, s, &models[j], options, file, &n_good, err);
        device_close(device);
    }
    if (rc == 0 && n_good == 0)
        rc = error_set(err, -EINVAL, ENGINE_MODEL_NONE, s->model_dir);
    return rc;
}

int check_settings(const struct settings *s, FILE *file, struct error *err)
{
    struct generator_options options = {.lanes = s->slots, .restoration = true};
    int rc;

    rc = check_addresses(s, file, err);
    if (rc == 0)
        rc = check_certificate(s, file, err);
    if (rc == 0)
        rc = batches_check_webhooks(s, err);
    if (rc == 0)
        rc = check_store(s, file, err);
    if (rc == 0)
        rc = precision_parse(s->precision, &options.precision, err);
    if (rc == 0)
        rc = check_devices(s, &options, file, err);
    return rc;
}
