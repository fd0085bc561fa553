#include "engine/state.h"
#include "engine/base/error.h"
#include "engine/device.h"
#include "engine/program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    char *name;
    struct shape shape;
    size_t bytes; /* of a slot, or of the whole if unbatched */
    void *memory;
    bool bound; /* the memory is somebody else's */
};

struct state {
    struct device *device;
    int n_slots;
    int n;
    struct entry *entries;
    size_t memory_bytes;
};

int state_create(struct device *device, int n_slots, struct state **out, struct error *err)
{
    struct state *s = calloc(1, sizeof(*s));

    if (!s)
        return error_set(err, -ENOMEM, "out of memory for a state");
    s->device = device;
    s->n_slots = n_slots;
    *out = s;
    return 0;
}

void state_destroy(struct state *s)
{
    if (!s)
        return;
    for (int i = 0; i < s->n; i++) {
        if (!s->entries[i].bound)
            device_base(s->device)->ops->memory_destroy(s->device, s->entries[i].memory);
        free(s->entries[i].name);
    }
    free(s->entries);
    free(s);
}

static int add(struct state *s, const char *name, struct shape shape, void *bound,
               struct error *err)
{
    struct entry *entries = realloc(s->entries, ((size_t)s->n + 1) * sizeof(*entries));
    struct entry entry = {.shape = shape,
                          .bytes = shape_count(&shape) * sizeof(float),
                          .memory = bound};
    size_t bytes;
    int rc = 0;

    if (entries)
        s->entries = entries;
    entry.name = strdup(name);
    if (!entries || !entry.name) {
        free(entry.name);
        return error_set(err, -ENOMEM, "out of memory for state \"%s\"", name);
    }
    entry.bound = bound != NULL;
    bytes = entry.bytes * (shape.batched ? (size_t)s->n_slots : 1);
    if (!bound) {
        rc = device_base(s->device)->ops->memory_create(s->device, bytes, &entry.memory, err);
        if (rc == 0)
            rc = device_base(s->device)->ops->memory_clear(s->device, entry.memory, bytes, err);
        if (rc < 0) {
            device_base(s->device)->ops->memory_destroy(s->device, entry.memory);
            free(entry.name);
            return rc;
        }
        s->memory_bytes += bytes;
    }
    s->entries[s->n++] = entry;
    return 0;
}

int state_declare(struct state *s, const struct program *p, struct error *err)
{
    for (int i = 0; i < program_n_values(p); i++) {
        const struct value *v = program_value(p, i);
        int found, rc = 0;

        if (v->role != VALUE_STATE)
            continue;
        found = state_find(s, v->name);
        if (found < 0)
            rc = add(s, v->name, v->shape, NULL, err);
        else if (!shape_equal(&s->entries[found].shape, &v->shape))
            rc = error_set(err, -EINVAL, "state \"%s\" has another shape", v->name);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int state_bind(struct state *s, const char *name, struct shape shape, void *memory,
               struct error *err)
{
    if (state_find(s, name) >= 0)
        return error_set(err, -EINVAL, "there is a state \"%s\" already", name);
    if (shape.batched)
        return error_set(err, -EINVAL, "state \"%s\" is batched and cannot be bound", name);
    return add(s, name, shape, memory, err);
}

int state_find(const struct state *s, const char *name)
{
    for (int i = 0; i < s->n; i++) {
        if (strcmp(s->entries[i].name, name) == 0)
            return i;
    }
    return -1;
}

const struct shape *state_shape(const struct state *s, int i)
{
    return &s->entries[i].shape;
}

void *state_memory(struct state *s, int i)
{
    return s->entries[i].memory;
}

size_t state_memory_bytes(const struct state *s)
{
    return s->memory_bytes;
}

/* Where a slot of a value lies, or NULL. */
static char *find_slot(struct state *s, const char *name, int slot, size_t *bytes,
                       struct error *err)
{
    int i = state_find(s, name);

    if (i < 0 || slot < 0 || slot >= (s->entries[i].shape.batched ? s->n_slots : 1)) {
        error_set(err, -EINVAL, "there is no state \"%s\" in slot %d", name, slot);
        return NULL;
    }
    *bytes = s->entries[i].bytes;
    return (char *)s->entries[i].memory + (size_t)slot * *bytes;
}

int state_clear(struct state *s, const char *name, struct error *err)
{
    int i = state_find(s, name);
    size_t n_slots = i >= 0 && s->entries[i].shape.batched ? (size_t)s->n_slots : 1;

    if (i < 0)
        return error_set(err, -EINVAL, "there is no state \"%s\"", name);
    return device_base(s->device)->ops->memory_clear(s->device, s->entries[i].memory,
                                                     n_slots * s->entries[i].bytes, err);
}

int state_write(struct state *s, const char *name, int slot, const float *src, struct error *err)
{
    size_t bytes;
    char *dst = find_slot(s, name, slot, &bytes, err);

    return dst ? device_base(s->device)->ops->upload(s->device, dst, src, bytes, err) : -EINVAL;
}

int state_read(struct state *s, const char *name, int slot, float *dst, struct error *err)
{
    size_t bytes;
    const char *src = find_slot(s, name, slot, &bytes, err);

    return src ? device_base(s->device)->ops->download(s->device, dst, src, bytes, err) : -EINVAL;
}
