#include "engine/base/json_memory.h"

#include "engine/base/retreat.h"

#include <stdlib.h>
#include <string.h>

static _Thread_local bool ran_out;

static void *allocate(size_t size)
{
    void *p = retreat_alloc(size);

    ran_out |= !p;
    return p;
}

void json_memory_watch(void)
{
    json_set_alloc_funcs(allocate, retreat_free);
}

bool json_memory_ran_out(void)
{
    bool before = ran_out;

    ran_out = false;
    return before;
}

struct loading {
    const char *text;
    size_t size, flags;
    json_error_t *error;
    json_t *json;
};

static void load(void *arg)
{
    struct loading *l = arg;

    l->json = json_loadb(l->text, l->size, l->flags, l->error);
}

json_t *json_memory_load(const char *text, size_t size, size_t flags, json_error_t *error)
{
    struct loading l = {.text = text, .size = size, .flags = flags, .error = error};

    ran_out = false;
    if (retreat_run(load, &l) == 0)
        return l.json;
    if (error)
        error->text[0] = '\0';
    return NULL;
}

struct text {
    char *bytes; /* NUL terminated */
    size_t size, capacity;
};

static int add(const char *bytes, size_t size, void *arg)
{
    struct text *t = arg;
    size_t capacity = t->capacity ? t->capacity : 256;
    char *grown;

    while (capacity <= t->size + size)
        capacity *= 2;
    if (capacity > t->capacity) {
        grown = realloc(t->bytes, capacity);
        if (!grown) {
            ran_out = true; /* jansson goes on in some places */
            return -1;
        }
        t->bytes = grown;
        t->capacity = capacity;
    }
    memcpy(t->bytes + t->size, bytes, size);
    t->size += size;
    t->bytes[t->size] = '\0';
    return 0;
}

char *json_memory_dump(json_t *json, size_t flags)
{
    struct text text = {.bytes = NULL};
    int rc = json ? json_dump_callback(json, add, &text, flags) : -1;

    json_decref(json);
    if (!json_memory_ran_out() && rc == 0)
        return text.bytes;
    free(text.bytes);
    return NULL;
}

void json_memory_drop(json_t *json)
{
    json_decref(json);
    json_memory_ran_out();
}
