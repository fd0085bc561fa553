/* oneDNN's primitives are stateless once their scratchpad is the caller's, but a memory object is
 * not: it holds the pointer. So each call owns a set of memory objects per thread of the device;
 * a run claims a free set, and only stores the pointers that changed. Storing one makes oneDNN 2
 * write zeros to the padding of a blocked format; packed parameters have zeros there already, so
 * threads that share a packed copy write what is there.
 */
#include "engine/cpu/onednn_call.h"
#include "engine/base/error.h"
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/onednn.h"
#include "engine/cpu/onednn_version.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct call_set {
    atomic_bool busy;
    dnnl_stream_t stream;
    int n_made;                                /* exec[0 .. n_made) hold a memory */
    dnnl_exec_arg_t exec[ONEDNN_ARGS_MAX + 1]; /* the last is the scratchpad, if there is one */
};

struct onednn_call {
    const char *what;
    dnnl_primitive_t primitive;
    size_t scratch_bytes;
    int n_args;
    const int *args;
    int n_sets;
    struct call_set sets[];
};

int onednn_error(dnnl_status_t status, const char *what, struct error *err)
{
    switch (status) {
    case dnnl_out_of_memory:
        return error_set(err, -ENOMEM, "out of memory in oneDNN for %s", what);
    case dnnl_unimplemented:
        return error_set(err, -ENOTSUP, "the cpu device has no %s of these types and shapes", what);
    default:
        return error_set(err, -EIO, "oneDNN could not run %s: status %d", what, (int)status);
    }
}

void onednn_call_destroy(struct onednn_call *call)
{
    if (!call)
        return;
    for (int i = 0; i < call->n_sets; i++) {
        struct call_set *set = &call->sets[i];

        for (int j = 0; j < set->n_made; j++)
            dnnl_memory_destroy(set->exec[j].memory);
        if (set->stream)
            dnnl_stream_destroy(set->stream);
    }
    if (call->primitive)
        dnnl_primitive_destroy(call->primitive);
    free(call);
}

const_dnnl_primitive_desc_t onednn_call_desc(const struct onednn_call *call)
{
    const_dnnl_primitive_desc_t desc = NULL;

    dnnl_primitive_get_primitive_desc(call->primitive, &desc);
    return desc;
}

bool onednn_call_is_slow(const struct onednn_call *call)
{
    const char *name = NULL; /* "ref:any", "brgconv:avx512_core", ... */
    dnnl_status_t status =
        dnnl_primitive_desc_query(onednn_call_desc(call), dnnl_query_impl_info_str, 0, &name);

    return status == dnnl_success && strncmp(name, "ref", 3) == 0;
}

size_t onednn_call_bytes(const struct onednn_call *call, int i)
{
    assert(i < call->n_args);
    return onednn_arg_bytes(onednn_call_desc(call), call->args[i]);
}

size_t onednn_call_scratch(const struct onednn_call *call)
{
    return call->scratch_bytes;
}

static dnnl_status_t set_add(struct onednn_call *call, struct call_set *set,
                             const struct onednn_engine *engine, int arg)
{
    dnnl_exec_arg_t *exec = &set->exec[set->n_made];
    dnnl_status_t status =
        onednn_arg_memory_create(onednn_call_desc(call), arg, engine, &exec->memory);

    if (status != dnnl_success)
        return status;
    exec->arg = arg;
    set->n_made++;
    return dnnl_success;
}

static dnnl_status_t set_init(struct onednn_call *call, struct call_set *set,
                              const struct onednn_engine *engine)
{
    dnnl_status_t status =
        dnnl_stream_create(&set->stream, engine->engine, dnnl_stream_default_flags);

    for (int i = 0; i < call->n_args && status == dnnl_success; i++)
        status = set_add(call, set, engine, call->args[i]);
    if (status == dnnl_success && call->scratch_bytes)
        status = set_add(call, set, engine, DNNL_ARG_SCRATCHPAD);
    return status;
}

int onednn_call_create(struct cpu_device *device, dnnl_primitive_desc_t desc, int n_args,
                       const int *args, const char *what, struct onednn_call **out,
                       struct error *err)
{
    int n_sets = host_device_threads(&device->host);
    struct onednn_call *call = calloc(1, sizeof(*call) + (size_t)n_sets * sizeof(call->sets[0]));
    dnnl_status_t status;

    assert(n_args <= ONEDNN_ARGS_MAX);
    if (!call) {
        dnnl_primitive_desc_destroy(desc);
        return error_set(err, -ENOMEM, "out of memory for %s", what);
    }
    call->what = what;
    call->n_args = n_args;
    call->args = args;
    call->n_sets = n_sets;
    status = dnnl_primitive_create(&call->primitive, desc);
    dnnl_primitive_desc_destroy(desc);
    if (status == dnnl_success)
        call->scratch_bytes = onednn_arg_bytes(onednn_call_desc(call), DNNL_ARG_SCRATCHPAD);
    for (int i = 0; i < n_sets && status == dnnl_success; i++)
        status = set_init(call, &call->sets[i], device->engine);
    if (status != dnnl_success) {
        onednn_call_destroy(call);
        return onednn_error(status, what, err);
    }
    *out = call;
    return 0;
}

static struct call_set *set_claim(struct onednn_call *call)
{
    for (;;) {
        for (int i = 0; i < call->n_sets; i++) {
            if (!atomic_exchange_explicit(&call->sets[i].busy, true, memory_order_acquire))
                return &call->sets[i];
        }
        sched_yield(); /* more threads than the device has: none of our plans does that */
    }
}

static dnnl_status_t memory_point(dnnl_memory_t memory, const void *pointer)
{
    void *old;
    dnnl_status_t status = dnnl_memory_get_data_handle(memory, &old);

    if (status != dnnl_success || old == pointer)
        return status;
    return dnnl_memory_set_data_handle(memory, (void *)pointer);
}

int onednn_call_run(struct onednn_call *call, const void *const *pointers, void *scratch,
                    struct error *err)
{
    struct call_set *set = set_claim(call);
    dnnl_status_t status = dnnl_success;

    for (int i = 0; i < call->n_args && status == dnnl_success; i++)
        status = memory_point(set->exec[i].memory, pointers[i]);
    if (call->scratch_bytes && status == dnnl_success)
        status = memory_point(set->exec[call->n_args].memory, scratch);
    if (status == dnnl_success)
        status = dnnl_primitive_execute(call->primitive, set->stream, set->n_made, set->exec);
    if (status == dnnl_success)
        status = dnnl_stream_wait(set->stream);
    atomic_store_explicit(&set->busy, false, memory_order_release);
    return status == dnnl_success ? 0 : onednn_error(status, call->what, err);
}
