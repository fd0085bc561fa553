/* The devices that there are, by name. */
#include "engine/base/error.h"
#include "engine/base/pool.h"
#include "engine/choices.h"
#include "engine/cpu/cpu_device.h"
#include "engine/device.h"
#include "engine/module.h"
#include "engine/reference/reference_device.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the order in which "auto" tries them; reference is never chosen for its speed. */
static const struct device_kind {
    const char *name;
    const struct device_ops *ops; /* NULL: in a module of this name */
    /* A library without which the module need not be loaded, which takes longer. */
    const char *driver;
    bool hidden; /* never chosen by "auto" */
} kinds[] = {
    {.name = "cuda", .driver = "libcuda.so.1"},
    {.name = "cpu", .ops = &cpu_device_ops},
    {.name = "reference", .ops = &reference_device_ops},
    {.name = "cudasim", .hidden = true},
};

enum { N_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static int find_driver(const char *driver, struct error *err)
{
    void *library = driver ? dlopen(driver, RTLD_LAZY | RTLD_LOCAL) : NULL;

    if (driver && !library)
        return error_set(err, -ENOTSUP, "there is no driver: %s", dlerror());
    if (library)
        dlclose(library);
    return 0;
}

static int find_ops(const struct device_kind *kind, const struct device_ops **out,
                    struct error *err)
{
    const struct module *module;
    int rc;

    *out = kind->ops;
    if (kind->ops)
        return 0;
    rc = find_driver(kind->driver, err);
    if (rc == 0)
        rc = module_load(kind->name, &module, err);
    if (rc == 0 && !module->device)
        rc = error_set(err, -ENOTSUP, "softdiff-%s.so has no device", kind->name);
    if (rc == 0)
        *out = module->device;
    return rc;
}

static int open_kind(const struct device_kind *kind, int ordinal, int n_threads,
                     struct device **out, struct error *err)
{
    const struct device_ops *ops;
    int rc = find_ops(kind, &ops, err);

    if (rc == 0)
        rc = ops->open(ordinal, n_threads, out, err);
    if (rc < 0 && !kind->ops)
        error_prefix(err, "device \"%s\": ", kind->name);
    return rc == -ENOENT ? -ENOTSUP : rc;
}

static int open_first(int n_threads, struct device **out, struct error *err)
{
    int rc = -ENOTSUP;

    for (int i = 0; i < N_KINDS && rc == -ENOTSUP; i++) {
        if (!kinds[i].hidden)
            rc = open_kind(&kinds[i], 0, n_threads, out, err);
    }
    return rc;
}

int device_passed_over(const struct device *device, struct error *err)
{
    const struct device_ops *chosen = device_base(device)->ops;
    int rc = 0;

    for (int i = 0; i < N_KINDS && strcmp(kinds[i].name, chosen->name) != 0 && rc == 0; i++) {
        struct device *faster = NULL;

        if (!kinds[i].hidden && !kinds[i].ops && module_exists(kinds[i].name))
            rc = open_kind(&kinds[i], 0, 1, &faster, err);
        if (faster)
            device_base(faster)->ops->close(faster);
    }
    return rc;
}

/* What follows the name of a kind: nothing, or ":" and which of several, as one writes it; -1: something
 * else. */
static int parse_ordinal(const char *text)
{
    char *end;
    long ordinal;

    if (*text == '\0')
        return 0;
    if (text[0] != ':' || text[1] < '0' || text[1] > '9' || (text[1] == '0' && text[2]))
        return -1;
    ordinal = strtol(text + 1, &end, 10);
    return *end == '\0' && ordinal < DEVICES_MAX ? (int)ordinal : -1;
}

/* kind: NULL for "auto". */
static int find_kind(const char *name, const struct device_kind **kind, int *ordinal,
                     struct error *err)
{
    *kind = NULL;
    *ordinal = 0;
    if (strcmp(name, "auto") == 0)
        return 0;
    for (int i = 0; i < N_KINDS; i++) {
        size_t length = strlen(kinds[i].name);

        *kind = &kinds[i];
        if (strncmp(name, kinds[i].name, length) != 0 || (kinds[i].ops && name[length]))
            continue; /* there is one processor, which has no number */
        *ordinal = parse_ordinal(name + length);
        if (*ordinal >= 0)
            return 0;
    }
    return error_set(err, -EINVAL,
                     "unknown device \"%s\": known are auto, cuda:0 to cuda:%d, cpu, reference",
                     name, DEVICES_MAX - 1);
}

int device_name_check(const char *name, struct error *err)
{
    const struct device_kind *kind;
    int ordinal;

    return find_kind(name, &kind, &ordinal, err);
}

bool device_is_host(const char *name)
{
    const struct device_kind *kind;
    int ordinal;

    return find_kind(name, &kind, &ordinal, NULL) == 0 && kind && kind->ops;
}

bool device_is_same(const char *a, const char *b)
{
    const struct device_kind *kinds_of[2];
    int ordinals[2];

    return find_kind(a, &kinds_of[0], &ordinals[0], NULL) == 0 &&
           find_kind(b, &kinds_of[1], &ordinals[1], NULL) == 0 && kinds_of[0] == kinds_of[1] &&
           ordinals[0] == ordinals[1] && !device_is_host(a);
}

static int open_by_name(const char *name, int n_threads, struct device **out, struct error *err)
{
    const struct device_kind *kind;
    int ordinal;
    int rc = find_kind(name, &kind, &ordinal, err);

    if (rc < 0)
        return rc;
    return kind ? open_kind(kind, ordinal, n_threads, out, err) : open_first(n_threads, out, err);
}

static int open_choices(const char *path, struct choices **out, struct error *err)
{
    struct choices *choices;
    int rc = choices_create(&choices, err);

    if (rc < 0)
        return rc;
    rc = path && *path ? choices_read(choices, path, err) : choices_read_shipped(choices, err);
    if (rc < 0) {
        choices_destroy(choices);
        return rc;
    }
    *out = choices;
    return 0;
}

int device_open(const char *name, int n_threads, const char *choices, struct device **out,
                struct error *err)
{
    struct choices *table;
    int rc;

    if (n_threads < 0)
        return error_set(err, -EINVAL, "a device cannot have %d threads", n_threads);
    if (n_threads == 0)
        n_threads = pool_available_threads();
    rc = open_choices(choices, &table, err);
    if (rc < 0)
        return rc;
    rc = open_by_name(name, n_threads, out, err);
    if (rc < 0) {
        choices_destroy(table);
        return rc;
    }
    ((struct device_base *)*out)->choices = table;
    return 0;
}

void device_close(struct device *device)
{
    struct choices *choices;

    if (!device)
        return;
    choices = device_base(device)->choices;
    device_base(device)->ops->close(device);
    choices_destroy(choices);
}

const char *device_name_at(int i)
{
    for (int j = 0; i >= 0 && j < N_KINDS; j++) {
        if (kinds[j].ops && i-- == 0)
            return kinds[j].name;
    }
    return NULL;
}

/* The devices of a kind, from the first place on. */
static int list_kind(const struct device_kind *kind, struct device_entry *entries, int n_max)
{
    const struct device_ops *ops;
    struct error err;
    int n = 1, rc = find_ops(kind, &ops, &err);

    if (rc == -ENOENT && kind->hidden)
        return 0;
    if (rc == 0 && ops->count)
        n = ops->count(&err);
    if (n < 0) { /* say why */
        rc = n;
        n = 1;
    }
    for (int i = 0; i < n && i < n_max; i++) {
        struct device *device = NULL;
        int code = rc;

        snprintf(entries[i].name, sizeof(entries[i].name), n > 1 ? "%s:%d" : "%s", kind->name, i);
        if (code == 0)
            code = ops->open(i, 1, &device, &err);
        entries[i].usable = code == 0;
        if (device)
            ops->describe(device, entries[i].text, sizeof(entries[i].text));
        else
            snprintf(entries[i].text, sizeof(entries[i].text), "%s", err.text);
        if (device)
            ops->close(device);
    }
    return n < n_max ? n : n_max;
}

int device_list(struct device_entry entries[DEVICES_MAX])
{
    int n = 0;

    for (int i = 0; i < N_KINDS; i++)
        n += list_kind(&kinds[i], entries + n, DEVICES_MAX - n);
    return n;
}

void device_list_print(FILE *file)
{
    struct device_entry entries[DEVICES_MAX];
    int n = device_list(entries);

    for (int i = 0; i < n; i++)
        fprintf(file, "%s\t%s%s\n", entries[i].name,
                entries[i].usable ? "" : "cannot be used: ", entries[i].text);
}
