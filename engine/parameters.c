#include "engine/parameters.h"
#include "engine/base/error.h"
#include "engine/device.h"
#include "engine/program.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A weight or a table. */
struct entry {
    char *name;
    struct shape shape;
    size_t offset; /* of a weight, in floats */
};

struct list {
    int n;
    struct entry *entries;
};

struct user {
    const struct kernel *kernel;
    int input;
};

/* One copy on the device. */
struct copy {
    bool table;
    int entry;        /* of the weights or of the tables */
    uint64_t packing; /* 0: plain float32 */
    size_t bytes;
    void *memory;
    int n_users, users_capacity;
    struct user *users; /* any of them can pack; freed with the last */
};

struct parameters {
    struct device *device;
    struct list weights, tables;
    size_t count;        /* floats of all weights */
    float *kept;         /* them on the device; NULL: not kept */
    bool loaded;         /* and filled into the copies */
    const float *source; /* what copies are filled from, on the device */
    int n_copies, copies_capacity;
    struct copy *copies;
    struct error error; /* of the first packing task that failed */
    int code;           /* its code */
    atomic_bool failed; /* somebody writes the two above */
};

static const struct device_ops *ops_of(const struct parameters *ps)
{
    return device_base(ps->device)->ops;
}

static int list_find(const struct list *list, const char *name)
{
    for (int i = 0; i < list->n; i++) {
        if (strcmp(list->entries[i].name, name) == 0)
            return i;
    }
    return -1;
}

static int list_add(struct list *list, const struct value *v, size_t offset, struct error *err)
{
    struct entry *entries = realloc(list->entries, ((size_t)list->n + 1) * sizeof(*entries));
    char *name = strdup(v->name);

    if (entries)
        list->entries = entries;
    if (!entries || !name) {
        free(name);
        return error_set(err, -ENOMEM, "out of memory for the parameters of a network");
    }
    entries[list->n].name = name;
    entries[list->n].shape = v->shape;
    entries[list->n].offset = offset;
    list->n++;
    return 0;
}

static void list_fini(struct list *list)
{
    for (int i = 0; i < list->n; i++)
        free(list->entries[i].name);
    free(list->entries);
}

/* Adds what is new of a program, or refuses new weights. */
static int declare(struct parameters *ps, const struct program *p, bool weights, struct error *err)
{
    for (int i = 0; i < program_n_values(p); i++) {
        const struct value *v = program_value(p, i);
        struct list *list = v->role == VALUE_TABLE ? &ps->tables : &ps->weights;
        int found, rc = 0;

        if (v->role != VALUE_TABLE && v->role != VALUE_PARAMETER)
            continue;
        found = list_find(list, v->name);
        if (found >= 0 && !shape_equal(&list->entries[found].shape, &v->shape))
            return error_set(err, -EINVAL, "parameter \"%s\" has another shape", v->name);
        if (found >= 0)
            continue;
        if (v->role == VALUE_PARAMETER && !weights)
            return error_set(err, -EINVAL, "no parameter \"%s\"", v->name);
        rc = list_add(list, v, ps->count, err);
        if (rc < 0)
            return rc;
        if (v->role == VALUE_PARAMETER)
            ps->count += shape_count(&v->shape);
    }
    return 0;
}

int parameters_create(struct device *device, const struct program *p, struct parameters **out,
                      struct error *err)
{
    struct parameters *ps = calloc(1, sizeof(*ps));
    int rc;

    if (!ps)
        return error_set(err, -ENOMEM, "out of memory for the parameters of a network");
    ps->device = device;
    rc = declare(ps, p, true, err);
    if (rc < 0) {
        parameters_destroy(ps);
        return rc;
    }
    *out = ps;
    return 0;
}

int parameters_declare(struct parameters *ps, const struct program *p, struct error *err)
{
    return declare(ps, p, false, err);
}

static void copy_fini(struct parameters *ps, struct copy *copy)
{
    ops_of(ps)->memory_destroy(ps->device, copy->memory);
    free(copy->users);
}

void parameters_destroy(struct parameters *ps)
{
    if (!ps)
        return;
    for (int i = 0; i < ps->n_copies; i++)
        copy_fini(ps, &ps->copies[i]);
    ops_of(ps)->memory_destroy(ps->device, ps->kept);
    list_fini(&ps->weights);
    list_fini(&ps->tables);
    free(ps->copies);
    free(ps);
}

int parameters_n(const struct parameters *ps)
{
    return ps->weights.n;
}

const char *parameters_name(const struct parameters *ps, int i)
{
    return ps->weights.entries[i].name;
}

const struct shape *parameters_shape(const struct parameters *ps, int i)
{
    return &ps->weights.entries[i].shape;
}

int parameters_find(const struct parameters *ps, const char *name)
{
    return list_find(&ps->weights, name);
}

size_t parameters_count(const struct parameters *ps)
{
    return ps->count;
}

size_t parameters_offset(const struct parameters *ps, int i)
{
    return ps->weights.entries[i].offset;
}

size_t parameters_memory_bytes(const struct parameters *ps)
{
    size_t bytes = ps->kept ? ps->count * sizeof(float) : 0;

    for (int i = 0; i < ps->n_copies; i++)
        bytes += ps->copies[i].bytes;
    return bytes;
}

/* Fills one copy of a weight. */
static int refresh(struct parameters *ps, const struct copy *copy, struct error *err)
{
    const float *src = ps->source + ps->weights.entries[copy->entry].offset;
    const struct user *user = &copy->users[0];

    if (copy->packing == 0)
        return ops_of(ps)->memory_copy(ps->device, copy->memory, src, copy->bytes, err);
    return user->kernel->ops->pack(user->kernel, user->input, src, copy->memory, err);
}

static void refresh_task(void *arg, int i)
{
    struct parameters *ps = arg;
    struct error error;
    int rc = ps->copies[i].table ? 0 : refresh(ps, &ps->copies[i], &error);

    if (rc < 0 && !atomic_exchange(&ps->failed, true)) {
        ps->error = error;
        ps->code = rc;
    }
}

static int refresh_all(struct parameters *ps, const float *source, struct error *err)
{
    ps->code = 0;
    ps->failed = false;
    ps->source = source;
    ops_of(ps)->tasks(ps->device, ps->n_copies, refresh_task, ps);
    ps->source = ps->kept;
    return ps->code ? error_set(err, ps->code, "%s", ps->error.text) : 0;
}

int parameters_load(struct parameters *ps, const float *values, struct error *err)
{
    void *source = ps->kept;
    int rc = 0;

    if (!source)
        rc = ops_of(ps)->memory_create(ps->device, ps->count * sizeof(float), &source, err);
    if (rc == 0)
        rc = ops_of(ps)->upload(ps->device, source, values, ps->count * sizeof(float), err);
    if (rc == 0)
        rc = refresh_all(ps, source, err);
    if (!ps->kept)
        ops_of(ps)->memory_destroy(ps->device, source);
    ps->loaded = rc == 0;
    return rc;
}

int parameters_keep(struct parameters *ps, void **out, struct error *err)
{
    void *kept = NULL;
    int rc = 0;

    if (!ps->kept)
        rc = ops_of(ps)->memory_create(ps->device, ps->count * sizeof(float), &kept, err);
    if (rc == 0 && kept)
        rc = ops_of(ps)->memory_clear(ps->device, kept, ps->count * sizeof(float), err);
    if (rc < 0) {
        ops_of(ps)->memory_destroy(ps->device, kept);
        return rc;
    }
    if (!ps->kept)
        ps->kept = kept;
    ps->source = ps->kept;
    *out = ps->kept;
    return 0;
}

int parameters_repack(struct parameters *ps, struct error *err)
{
    if (!ps->kept)
        return error_set(err, -EINVAL, "the weights were not kept");
    return refresh_all(ps, ps->kept, err);
}

int parameters_read(struct parameters *ps, float *values, struct error *err)
{
    if (!ps->kept)
        return error_set(err, -EINVAL, "the weights were not kept");
    return ops_of(ps)->download(ps->device, values, ps->kept, ps->count * sizeof(float), err);
}

/* Where a table lies; NULL: no plan has asked for it. There is one copy: tables are not packed. */
static const struct copy *find_table(const struct parameters *ps, const char *name)
{
    int table = list_find(&ps->tables, name);

    for (int i = 0; i < ps->n_copies; i++) {
        if (ps->copies[i].table && ps->copies[i].entry == table)
            return &ps->copies[i];
    }
    return NULL;
}

int parameters_write_table(struct parameters *ps, const char *name, const float *values,
                           struct error *err)
{
    const struct copy *copy = find_table(ps, name);

    return copy ? ops_of(ps)->upload(ps->device, copy->memory, values, copy->bytes, err) : 0;
}

int parameters_read_table(struct parameters *ps, const char *name, float *values, struct error *err)
{
    const struct copy *copy = find_table(ps, name);

    if (!copy)
        return error_set(err, -EINVAL, "no plan reads a table \"%s\"", name);
    return ops_of(ps)->download(ps->device, values, copy->memory, copy->bytes, err);
}

static int add_user(struct copy *copy, const struct kernel *kernel, int input, struct error *err)
{
    if (copy->n_users == copy->users_capacity) {
        int capacity = copy->users_capacity ? 2 * copy->users_capacity : 4;
        struct user *users = realloc(copy->users, (size_t)capacity * sizeof(*users));

        if (!users)
            return error_set(err, -ENOMEM, "out of memory for packed parameters");
        copy->users = users;
        copy->users_capacity = capacity;
    }
    copy->users[copy->n_users++] = (struct user){kernel, input};
    return 0;
}

/* Makes room for another copy. */
static int reserve_copy(struct parameters *ps, struct error *err)
{
    int capacity = ps->copies_capacity ? 2 * ps->copies_capacity : 256;
    struct copy *copies;

    if (ps->n_copies < ps->copies_capacity)
        return 0;
    copies = realloc(ps->copies, (size_t)capacity * sizeof(*copies));
    if (!copies)
        return error_set(err, -ENOMEM, "out of memory for packed parameters");
    ps->copies = copies;
    ps->copies_capacity = capacity;
    return 0;
}

int parameters_attach(struct parameters *ps, const struct value *v, const struct kernel *kernel,
                      int input, const void **out, struct error *err)
{
    bool table = v->role == VALUE_TABLE;
    const struct list *list = table ? &ps->tables : &ps->weights;
    struct copy made = {.table = table,
                        .entry = list_find(list, v->name),
                        .packing = kernel->packing[input]};
    int rc;

    if (made.entry < 0 || !shape_equal(&list->entries[made.entry].shape, &v->shape))
        return error_set(err, -EINVAL, "no parameter \"%s\" of that shape", v->name);
    for (int i = 0; i < ps->n_copies; i++) {
        struct copy *copy = &ps->copies[i];

        if (copy->table == table && copy->entry == made.entry && copy->packing == made.packing) {
            *out = copy->memory;
            return add_user(copy, kernel, input, err);
        }
    }
    made.bytes = made.packing ? kernel->ops->packed_bytes(kernel, input)
                              : shape_count(&v->shape) * sizeof(float);
    if (ps->loaded && !table && !ps->kept)
        return error_set(err, -EINVAL, "the weights are loaded, and \"%s\" is wanted packed anew",
                         v->name);
    rc = reserve_copy(ps, err);
    if (rc == 0)
        rc = add_user(&made, kernel, input, err);
    if (rc == 0)
        rc = ops_of(ps)->memory_create(ps->device, made.bytes, &made.memory, err);
    if (rc == 0 && !table && ps->kept)
        rc = refresh(ps, &made, err);
    if (rc < 0) {
        copy_fini(ps, &made);
        return rc;
    }
    ps->copies[ps->n_copies++] = made;
    *out = made.memory;
    return 0;
}

void parameters_release(struct parameters *ps, const struct kernel *kernel)
{
    for (int j = ps->n_copies - 1; j >= 0; j--) {
        struct copy *copy = &ps->copies[j];

        for (int k = copy->n_users - 1; k >= 0; k--) {
            if (copy->users[k].kernel == kernel)
                copy->users[k] = copy->users[--copy->n_users];
        }
        if (copy->n_users == 0) {
            copy_fini(ps, copy);
            *copy = ps->copies[--ps->n_copies];
        }
    }
}
