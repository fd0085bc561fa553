/* softdiffd: serves Soft Diffusion models over HTTP. See --help. */
#include "config/model_folder.h"
#include "config/settings.h"
#include "engine/base/error.h"
#include "engine/base/json_memory.h"
#include "engine/base/log.h"
#include "engine/base/log_writer.h"
#include "engine/base/process.h"
#include "engine/device.h"
#include "server/check.h"
#include "server/daemon.h"
#include "server/engines.h"
#include "server/probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* For whoever reads the log to take the last lines. */
enum { LOG_PATIENCE_MS = 1000 };

static int complain(const struct error *err)
{
    fprintf(stderr, "softdiffd: %s\n", err->text);
    return EXIT_FAILED;
}

static int refuse(const struct error *err)
{
    fprintf(stderr, "softdiffd: %s; see softdiffd --help\n", err->text);
    return EXIT_USAGE;
}

static void set_log_level(const char *name)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};

    for (int i = 0; i < 4; i++)
        if (strcmp(names[i], name) == 0)
            log_set_level((enum log_level)i);
}

static int healthcheck(const struct settings *s)
{
    struct error err = {""};
    char answer[1024];
    int rc;

    rc = probe_ready(s->admin_listen, answer, sizeof(answer), &err);
    if (rc < 0 && *err.text)
        return complain(&err);
    puts(answer);
    return rc < 0;
}

/* 0, or what is wrong with the models and the device that the settings name. */
static int check_names(const struct settings *s, struct error *err)
{
    struct settings_model models[SETTINGS_FILES_MAX];
    int n;
    int rc = engines_check(s, err);

    return rc < 0 ? rc : model_folder_list(s, models, &n, err);
}

static int serve(const struct settings *s)
{
    struct daemon_end end;
    struct error err;
    int rc;

    daemon_hold_signals(true);
    json_memory_watch();
    if (check_names(s, &err) < 0)
        return refuse(&err);
    if (log_writer_start(&err) < 0)
        return complain(&err);
    log_write(LOG_INFO, "event=start version=%s", SOFTDIFF_VERSION);
    rc = daemon_run(s, &end, &err);
    log_writer_stop(LOG_PATIENCE_MS);
    if (rc < 0)
        return complain(&err);
    if (end.engine_runs)
        _exit(end.status);
    return end.status;
}

int main(int argc, char **argv)
{
    struct settings settings;
    struct error err;
    int rc;

    if (process_begin(&err) < 0)
        return complain(&err);
    rc = settings_load(argc, argv, &settings, &err);
    if (rc < 0)
        return rc == -EINVAL ? refuse(&err) : complain(&err);
    set_log_level(settings.log_level);
    switch (settings.action) {
    case SETTINGS_HELP:
        settings_help(stdout);
        return 0;
    case SETTINGS_VERSION:
        printf("softdiffd %s\n%s\n", SOFTDIFF_VERSION, DEVICE_CUDA_NOTE);
        return 0;
    case SETTINGS_LIST_DEVICES:
        device_list_print(stdout);
        return 0;
    case SETTINGS_PRINT_CONFIG:
        return settings_print(&settings, stdout, &err) < 0 ? complain(&err) : 0;
    case SETTINGS_CHECK:
        if (check_names(&settings, &err) < 0)
            return refuse(&err);
        return check_settings(&settings, stdout, &err) < 0 ? complain(&err) : 0;
    case SETTINGS_HEALTHCHECK:
        return healthcheck(&settings);
    case SETTINGS_SERVE:
        break;
    }
    return serve(&settings);
}
