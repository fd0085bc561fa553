#include "engine/module.h"
#include "engine/base/error.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In a build folder a module lies where it is made. */
static const char *const build_folders[][2] = {
    {"cuda", "engine/cuda"},
    {"cudasim", "tests/cudasim"},
    {"mpi", "engine/communicator"},
};

enum { N_BUILD_FOLDERS = sizeof(build_folders) / sizeof(build_folders[0]) };

/* "softdiff-NAME.so" in a folder; returns whether it is there. */
static bool find_in(const char *folder, const char *name, char path[PATH_MAX])
{
    int n = snprintf(path, PATH_MAX, "%s/softdiff-%s.so", folder, name);

    return n > 0 && n < PATH_MAX && access(path, F_OK) == 0;
}

static bool find(const char *name, char path[PATH_MAX])
{
    static const char build[] = MODULE_BUILD_FOLDER "/";
    const char *given = getenv("SOFTDIFF_MODULE_DIR");
    char program[PATH_MAX], folder[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
    bool built;

    if (given && *given)
        return find_in(given, name, path);
    program[n > 0 ? n : 0] = '\0';
    built = strncmp(program, build, strlen(build)) == 0;
    for (int i = 0; built && i < N_BUILD_FOLDERS; i++) {
        snprintf(folder, sizeof(folder), "%s%s", build, build_folders[i][1]);
        if (strcmp(build_folders[i][0], name) == 0 && find_in(folder, name, path))
            return true;
    }
    if (strrchr(program, '/')) {
        *strrchr(program, '/') = '\0';
        if (find_in(program, name, path))
            return true;
    }
    return !built && find_in(MODULE_INSTALLED_FOLDER, name, path);
}

bool module_exists(const char *name)
{
    char path[PATH_MAX];

    return find(name, path);
}

int module_load(const char *name, const struct module **out, struct error *err)
{
    const struct module *module;
    char path[PATH_MAX];
    void *library;

    if (!find(name, path))
        return error_set(err, -ENOENT, "softdiff-%s.so is not installed", name);
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return error_set(err, -ENOTSUP, "%s", dlerror());
    module = dlsym(library, MODULE_SYMBOL);
    if (!module || module->interface != MODULE_INTERFACE ||
        strcmp(module->build, MODULE_BUILD) != 0) {
        dlclose(library);
        return error_set(err, -ENOTSUP, "\"%s\" is of another build than this program", path);
    }
    *out = module;
    return 0;
}
