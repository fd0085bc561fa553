#include "engine/parameters.h"
#include "engine/base/error.h"
#include "engine/base/pool.h"
#include "engine/device.h"
#include "engine/program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct parameter {
    char *name;
    struct shape shape;
    size_t offset; /* floats */
};

struct user {
    const struct kernel *kernel;
    int input;
};

/* One copy of a parameter on the device. */
struct copy {
    int parameter;
    uint64_t packing; /* 0: plain float32 */
    void *memory;
    int n_users, users_capacity;
    struct user *users; /* any of them can pack; freed with the last */
};

struct parameters {
    struct device *device;
    int n;
    struct parameter *parameters;
    size_t count;
    float *values;
    int n_copies, copies_capacity;
    struct copy *copies;
    struct error error; /* of the first packing task that failed */
    int code;           /* its code */
    int failed;         /* atomic: somebody writes the two above */
};

int parameters_create(struct device *device, const struct program *p, struct parameters **out,
                      struct error *err)
{
    struct parameters *ps = calloc(1, sizeof(*ps));
    int n = program_n_values(p);

    if (!ps)
        return error_set(err, -ENOMEM, "out of memory for parameters");
    ps->device = device;
    ps->parameters = calloc((size_t)n + 1, sizeof(*ps->parameters));
    if (!ps->parameters)
        goto no_memory;
    for (int i = 0; i < n; i++) {
        const struct value *v = program_value(p, i);
        struct parameter *parameter = &ps->parameters[ps->n];

        if (v->role != VALUE_PARAMETER)
            continue;
        parameter->name = strdup(v->name);
        if (!parameter->name)
            goto no_memory;
        parameter->shape = v->shape;
        parameter->offset = ps->count;
        ps->count += shape_count(&v->shape);
        ps->n++;
    }
    ps->values = calloc(ps->count + 1, sizeof(*ps->values));
    if (!ps->values)
        goto no_memory;
    *out = ps;
    return 0;

no_memory:
    parameters_destroy(ps);
    return error_set(err, -ENOMEM, "out of memory for parameters");
}

void parameters_destroy(struct parameters *ps)
{
    if (!ps)
        return;
    for (int i = 0; i < ps->n_copies; i++) {
        device_base(ps->device)->ops->memory_destroy(ps->device, ps->copies[i].memory);
        free(ps->copies[i].users);
    }
    for (int i = 0; i < ps->n; i++)
        free(ps->parameters[i].name);
    free(ps->copies);
    free(ps->parameters);
    free(ps->values);
    free(ps);
}

int parameters_n(const struct parameters *ps)
{
    return ps->n;
}

const char *parameters_name(const struct parameters *ps, int i)
{
    return ps->parameters[i].name;
}

const struct shape *parameters_shape(const struct parameters *ps, int i)
{
    return &ps->parameters[i].shape;
}

int parameters_find(const struct parameters *ps, const char *name)
{
    for (int i = 0; i < ps->n; i++) {
        if (strcmp(ps->parameters[i].name, name) == 0)
            return i;
    }
    return -1;
}

float *parameters_values(struct parameters *ps)
{
    return ps->values;
}

size_t parameters_count(const struct parameters *ps)
{
    return ps->count;
}

size_t parameters_offset(const struct parameters *ps, int i)
{
    return ps->parameters[i].offset;
}

static size_t copy_bytes(const struct parameters *ps, const struct copy *copy)
{
    const struct user *user = &copy->users[0];

    if (copy->packing == 0)
        return shape_count(&ps->parameters[copy->parameter].shape) * sizeof(float);
    return user->kernel->ops->packed_bytes(user->kernel, user->input);
}

/* Brings one copy up to date. */
static int refresh(struct parameters *ps, const struct copy *copy, struct error *err)
{
    const struct device_ops *ops = device_base(ps->device)->ops;
    const float *src = ps->values + ps->parameters[copy->parameter].offset;
    const struct user *user = &copy->users[0];

    if (copy->packing == 0)
        return ops->upload(ps->device, copy->memory, src, copy_bytes(ps, copy), err);
    return user->kernel->ops->pack(user->kernel, user->input, src, copy->memory, err);
}

static void refresh_task(void *arg, int i, int worker)
{
    struct parameters *ps = arg;
    const struct device_ops *ops = device_base(ps->device)->ops;
    struct error error;
    int rc;

    if (ops->enter_thread)
        ops->enter_thread(ps->device);
    rc = refresh(ps, &ps->copies[i], &error);
    if (rc < 0 && !__atomic_exchange_n(&ps->failed, 1, __ATOMIC_RELAXED)) {
        ps->error = error;
        ps->code = rc;
    }
}

int parameters_changed(struct parameters *ps, struct error *err)
{
    ps->code = 0;
    ps->failed = 0;
    pool_run(device_base(ps->device)->pool, ps->n_copies, refresh_task, ps);
    return ps->code ? error_set(err, ps->code, "%s", ps->error.text) : 0;
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

int parameters_attach(struct parameters *ps, int i, const struct kernel *kernel, int input,
                      const void **out, struct error *err)
{
    uint64_t packing = kernel->packing[input];
    struct copy *copy;
    int rc;

    for (int j = 0; j < ps->n_copies; j++) {
        copy = &ps->copies[j];
        if (copy->parameter == i && copy->packing == packing) {
            rc = add_user(copy, kernel, input, err);
            if (rc == 0)
                *out = copy->memory;
            return rc;
        }
    }
    if (ps->n_copies == ps->copies_capacity) {
        int capacity = ps->copies_capacity ? 2 * ps->copies_capacity : 256;
        struct copy *copies = realloc(ps->copies, (size_t)capacity * sizeof(*copies));

        if (!copies)
            return error_set(err, -ENOMEM, "out of memory for packed parameters");
        ps->copies = copies;
        ps->copies_capacity = capacity;
    }
    copy = &ps->copies[ps->n_copies];
    memset(copy, 0, sizeof(*copy));
    copy->parameter = i;
    copy->packing = packing;
    rc = add_user(copy, kernel, input, err);
    if (rc == 0)
        rc = device_base(ps->device)
                 ->ops->memory_create(ps->device, copy_bytes(ps, copy), &copy->memory, err);
    if (rc == 0)
        rc = refresh(ps, copy, err);
    if (rc < 0) {
        device_base(ps->device)->ops->memory_destroy(ps->device, copy->memory);
        free(copy->users);
        return rc;
    }
    ps->n_copies++;
    *out = copy->memory;
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
            device_base(ps->device)->ops->memory_destroy(ps->device, copy->memory);
            free(copy->users);
            *copy = ps->copies[--ps->n_copies];
        }
    }
}
