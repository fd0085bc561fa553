/* Modules: devices, and communicators of ranks, that need libraries which not every machine has, each in a
 * shared object of its own that is loaded when it is asked for. A module holds its own copy of what it uses of engine/,
 * none of which has state; structs go to and fro, so that module and program are of one build.
 */
#ifndef ENGINE_MODULE_H
#define ENGINE_MODULE_H

#include <stdbool.h>

struct communicator;
struct device_ops;
struct error;

enum { MODULE_INTERFACE = 2 };

/* The one symbol that a module exports. */
#define MODULE_SYMBOL "softdiff_module"

struct module {
    int interface;                   /* MODULE_INTERFACE */
    const char *build;               /* of the headers and the version that it was compiled with */
    const struct device_ops *device; /* NULL: it has none */
    /* Opens the ranks that this process was started with; NULL: it knows of none. 0, -ENOMEM or -EIO. */
    int (*communicator)(struct communicator **out, struct error *err);
};

/* Whether there is a softdiff-NAME.so where module_load() looks. */
bool module_exists(const char *name);

/* Loads softdiff-NAME.so from SOFTDIFF_MODULE_DIR or, where that is not set, from the build folder of the
 * running program, the folder it lies in, or that where modules are installed. It stays loaded.
 * 0, -ENOENT (it is nowhere), -ENOTSUP (a library that it needs is missing, or it is of another build; the
 * text says which). */
int module_load(const char *name, const struct module **out, struct error *err);

#endif
