#include "config/model_folder.h"

#include "config/setting.h"
#include "engine/base/error.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char suffix[] = ".safetensors";

/* Hidden ones are others' unfinished business. */
static int is_model(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);

    return entry->d_name[0] != '.' && n >= sizeof(suffix) &&
           strcmp(entry->d_name + n - (sizeof(suffix) - 1), suffix) == 0;
}

static bool is_among(const struct settings_model *models, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(models[i].name, name) == 0)
            return true;
    return false;
}

static int add(const char *folder, const char *file, struct settings_model *out, int *n,
               struct error *err)
{
    size_t size = strlen(file) - (sizeof(suffix) - 1);
    struct settings_model *m;
    char name[256];

    snprintf(name, sizeof(name), "%.*s", (int)size, file);
    if (is_among(out, *n, name))
        return 0;
    if (!setting_is_name(name, size))
        return error_set(err, -EINVAL,
                         "\"%s\" in \"%s\" is not named like a model: 1 to %d letters, digits, "
                         "\".\", "
                         "\"_\" or \"-\" before \"%s\"",
                         file, folder, SETTINGS_NAME_BYTES, suffix);
    if (*n == SETTINGS_FILES_MAX)
        return error_set(err, -EINVAL, "more than %d models and files of \"%s\" that may be some",
                         SETTINGS_FILES_MAX, folder);
    m = &out[*n];
    *m = (struct settings_model){.found = true};
    snprintf(m->name, sizeof(m->name), "%.*s", SETTINGS_NAME_BYTES, name);
    if (snprintf(m->path, sizeof(m->path), "%s/%s", folder, file) >= (int)sizeof(m->path))
        return error_set(err, -EINVAL, "the path of \"%s\" in \"%s\" has %d bytes and more", file,
                         folder, SETTINGS_PATH_BYTES);
    ++*n;
    return 0;
}

int model_folder_list(const struct settings *s, struct settings_model *out, int *n,
                      struct error *err)
{
    struct dirent **entries = NULL;
    int n_entries = 0, rc = 0;

    *n = s->n_models;
    memcpy(out, s->models, (size_t)s->n_models * sizeof(*out));
    if (*s->model_dir) {
        n_entries = scandir(s->model_dir, &entries, is_model, alphasort);
        if (n_entries < 0) {
            rc = -errno;
            return error_set(err, rc, "could not read the models of \"%s\": %s", s->model_dir,
                             strerror(-rc));
        }
    }
    for (int i = 0; i < n_entries; i++) {
        if (rc == 0)
            rc = add(s->model_dir, entries[i]->d_name, out, n, err);
        free(entries[i]);
    }
    free(entries);
    if (rc == 0 && *n == 0)
        rc = error_set(err, -EINVAL,
                       "no model to serve; give --model NAME=PATH or --model-dir FOLDER");
    return rc;
}
