#include "tests/conformance/runner.h"
#include "engine/base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD_BYTES = 64, GUARD = 0xFF }; /* 64 keeps the buffer aligned; all ones are NaN */

struct buffer {
    uint8_t *memory; /* on the device: guard, bytes, guard; NULL: absent */
    uint8_t *image;  /* on the host, what was last uploaded */
    size_t bytes;
};

struct runner {
    struct device *device;
    const struct device_ops *ops;
    struct kernel_spec spec;
    struct kernel *kernel;
    struct buffer inputs[OP_INPUTS_MAX];
    struct buffer outputs[OP_OUTPUTS_MAX];
    struct buffer shared, scratch;
    const void *input_pointers[OP_INPUTS_MAX];
    void *output_pointers[OP_OUTPUTS_MAX];
};

static size_t buffer_total(const struct buffer *buffer)
{
    return buffer->bytes + 2 * GUARD_BYTES;
}

static int buffer_upload(struct runner *r, struct buffer *buffer, struct error *err)
{
    return r->ops->upload(r->device, buffer->memory, buffer->image, buffer_total(buffer), err);
}

/* Content and guards are all ones. */
static int buffer_init(struct runner *r, struct buffer *buffer, size_t bytes, struct error *err)
{
    void *memory;
    int rc;

    buffer->bytes = bytes;
    buffer->image = malloc(buffer_total(buffer));
    if (!buffer->image)
        return error_set(err, -ENOMEM, "out of memory for a buffer of %zu bytes", bytes);
    memset(buffer->image, GUARD, buffer_total(buffer));
    rc = r->ops->memory_create(r->device, buffer_total(buffer), &memory, err);
    if (rc < 0)
        return rc;
    buffer->memory = memory;
    return buffer_upload(r, buffer, err);
}

static void buffer_fini(struct runner *r, struct buffer *buffer)
{
    if (buffer->memory)
        r->ops->memory_destroy(r->device, buffer->memory);
    free(buffer->image);
}

static void *buffer_data(const struct buffer *buffer)
{
    return buffer->memory ? buffer->memory + GUARD_BYTES : NULL;
}

static bool guards_survive(const uint8_t *downloaded, size_t bytes)
{
    for (size_t i = 0; i < GUARD_BYTES; i++) {
        if (downloaded[i] != GUARD || downloaded[GUARD_BYTES + bytes + i] != GUARD)
            return false;
    }
    return true;
}

/* Downloads a buffer and checks what must not have changed; data (may be NULL) gets the content
 * of one that may have. */
static int buffer_check(struct runner *r, const struct buffer *buffer, const char *what, int index,
                        bool written, void *data, struct error *err)
{
    uint8_t *downloaded;
    int rc;

    if (!buffer->memory)
        return 0;
    downloaded = malloc(buffer_total(buffer));
    if (!downloaded)
        return error_set(err, -ENOMEM, "out of memory for a buffer of %zu bytes", buffer->bytes);
    rc = r->ops->download(r->device, downloaded, buffer->memory, buffer_total(buffer), err);
    if (rc == 0 && !guards_survive(downloaded, buffer->bytes))
        rc = error_set(err, -EFAULT, "wrote around %s %d", what, index);
    if (rc == 0 && !written &&
        memcmp(downloaded + GUARD_BYTES, buffer->image + GUARD_BYTES, buffer->bytes) != 0)
        rc = error_set(err, -EFAULT, "wrote into %s %d", what, index);
    if (rc == 0 && data)
        memcpy(data, downloaded + GUARD_BYTES, buffer->bytes);
    free(downloaded);
    return rc;
}

/* From a copy on the device, where parameters are packed. */
static int pack(struct runner *r, int input, const struct tensor *tensor, struct error *err)
{
    void *plain;
    int rc = r->ops->memory_create(r->device, tensor_bytes(&tensor->desc), &plain, err);

    if (rc < 0)
        return rc;
    rc = r->ops->upload(r->device, plain, tensor->data, tensor_bytes(&tensor->desc), err);
    if (rc == 0)
        rc = r->kernel->ops->pack(r->kernel, input, plain, buffer_data(&r->inputs[input]), err);
    if (rc == 0) /* which waits for the packing */
        rc = buffer_check(r, &r->inputs[input], "packed input", input, true,
                          r->inputs[input].image + GUARD_BYTES, err);
    r->ops->memory_destroy(r->device, plain);
    return rc;
}

int runner_set_input(struct runner *r, int input, const struct tensor *tensor, struct error *err)
{
    struct buffer *buffer = &r->inputs[input];

    if (r->kernel->packing[input])
        return pack(r, input, tensor, err);
    memcpy(buffer->image + GUARD_BYTES, tensor->data, buffer->bytes);
    return buffer_upload(r, buffer, err);
}

static int input_init(struct runner *r, int input, const struct tensor *tensor, struct error *err)
{
    struct buffer *buffer = &r->inputs[input];
    size_t bytes = tensor_bytes(&tensor->desc);
    int rc;

    if (!tensor->data)
        return 0;
    if (r->kernel->packing[input]) {
        if (!tensor->desc.parameter)
            return error_set(err, -EINVAL, "wants input %d packed, which is no parameter", input);
        bytes = r->kernel->ops->packed_bytes(r->kernel, input);
    }
    rc = buffer_init(r, buffer, bytes, err);
    if (rc < 0)
        return rc;
    r->input_pointers[input] = buffer_data(buffer);
    return runner_set_input(r, input, tensor, err);
}

int runner_create(struct device *device, const struct kernel_spec *spec,
                  const struct tensor_set *set, struct runner **out, struct error *err)
{
    struct runner *r = calloc(1, sizeof(*r));
    int rc;

    if (!r)
        return error_set(err, -ENOMEM, "out of memory for a runner");
    r->device = device;
    r->ops = device_base(device)->ops;
    r->spec = *spec;
    rc = kernel_create(device, spec, &r->kernel, err);
    if (rc < 0)
        goto fail;
    for (int i = 0; i < spec->n_inputs; i++) {
        rc = input_init(r, i, &set->inputs[i], err);
        if (rc < 0)
            goto fail;
    }
    for (int i = 0; i < spec->n_outputs; i++) {
        if (spec->outputs[i].absent)
            continue;
        rc = buffer_init(r, &r->outputs[i], tensor_bytes(&spec->outputs[i]), err);
        if (rc < 0)
            goto fail;
        r->output_pointers[i] = buffer_data(&r->outputs[i]);
    }
    rc = buffer_init(r, &r->shared, r->kernel->shared_bytes, err);
    if (rc < 0)
        goto fail;
    rc = buffer_init(r, &r->scratch, r->kernel->scratch_bytes, err);
    if (rc < 0)
        goto fail;
    *out = r;
    return 0;

fail:
    runner_destroy(r);
    return rc;
}

void runner_destroy(struct runner *r)
{
    if (!r)
        return;
    for (int i = 0; i < OP_INPUTS_MAX; i++)
        buffer_fini(r, &r->inputs[i]);
    for (int i = 0; i < OP_OUTPUTS_MAX; i++)
        buffer_fini(r, &r->outputs[i]);
    buffer_fini(r, &r->shared);
    buffer_fini(r, &r->scratch);
    if (r->kernel)
        r->kernel->ops->destroy(r->kernel);
    free(r);
}

int runner_run(struct runner *r, struct error *err)
{
    const struct kernel_args args = {
        .in = r->input_pointers,
        .out = r->output_pointers,
        .shared = buffer_data(&r->shared),
        .scratch = buffer_data(&r->scratch),
    };

    return r->ops->kernel_run(r->device, r->kernel, &args, err);
}

int runner_run_in_place(struct runner *r, int input, void *data, struct error *err)
{
    int rc;

    r->output_pointers[0] = buffer_data(&r->inputs[input]);
    rc = runner_run(r, err);
    return rc < 0 ? rc : buffer_check(r, &r->inputs[input], "input", input, true, data, err);
}

int runner_run_checked(struct runner *r, struct tensor_set *set, struct error *err)
{
    int rc = buffer_upload(r, &r->shared, err);

    if (rc == 0)
        rc = buffer_upload(r, &r->scratch, err);

    for (int i = 0; rc == 0 && i < r->spec.n_outputs; i++) {
        if (r->outputs[i].memory)
            rc = buffer_upload(r, &r->outputs[i], err);
    }
    if (rc == 0)
        rc = runner_run(r, err);
    for (int i = 0; rc == 0 && i < r->spec.n_inputs; i++)
        rc = buffer_check(r, &r->inputs[i], "input", i, false, NULL, err);
    if (rc == 0)
        rc = buffer_check(r, &r->shared, "shared memory", 0, true, NULL, err);
    if (rc == 0)
        rc = buffer_check(r, &r->scratch, "scratch", 0, true, NULL, err);
    for (int i = 0; rc == 0 && i < r->spec.n_outputs; i++) {
        tensor_fini(&set->outputs[i]);
        tensor_init(&set->outputs[i], &r->spec.outputs[i]);
        rc = buffer_check(r, &r->outputs[i], "output", i, true, set->outputs[i].data, err);
    }
    return rc;
}

int runner_once(struct device *device, const struct kernel_spec *spec, struct tensor_set *set,
                struct error *err)
{
    struct runner *r;
    int rc = runner_create(device, spec, set, &r, err);

    if (rc < 0)
        return rc;
    rc = runner_run_checked(r, set, err);
    runner_destroy(r);
    return rc;
}
