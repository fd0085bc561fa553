/* oneDNN's primitives are stateless once their scratchpad is the caller's, but a memory object is
 * not: it holds the pointer. So each call owns a set of memory objects per thread of the device;
 * a run claims a free set, and only stores the pointers that changed. Storing one makes oneDNN
 * write zeros to the padding of a blocked format; packed parameters have zeros there already, so
 * threads that share a packed copy write what is there.
 */
#include "engine/cpu/onednn.h"
#include "engine/base/error.h"
#include "engine/base/pool.h"
#include "engine/cpu/cpu_kernels.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
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

int onednn_engine_create(dnnl_engine_t *out, struct error *err)
{
    dnnl_status_t status = dnnl_engine_create(out, dnnl_cpu, 0);

    return status == dnnl_success ? 0 : onednn_error(status, "a cpu engine", err);
}

void onednn_engine_destroy(dnnl_engine_t engine)
{
    if (engine)
        dnnl_engine_destroy(engine);
}

const char *onednn_isa(void)
{
    static const struct {
        dnnl_cpu_isa_t isa;
        const char *name;
    } isas[] = {
        {dnnl_cpu_isa_sse41, "sse41"},
        {dnnl_cpu_isa_avx, "avx"},
        {dnnl_cpu_isa_avx2, "avx2"},
        {dnnl_cpu_isa_avx2_vnni, "avx2_vnni"},
        {dnnl_cpu_isa_avx512_core, "avx512_core"},
        {dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni"},
        {dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16"},
        {dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx"},
    };
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();

    for (size_t i = 0; i < sizeof(isas) / sizeof(isas[0]); i++) {
        if (isas[i].isa == isa)
            return isas[i].name;
    }
    return "unknown instruction set";
}

/* The values of the enumeration are sets of bits: a larger set has the smaller one's bits. */
static bool isa_includes(dnnl_cpu_isa_t isa)
{
    return (dnnl_get_effective_cpu_isa() & isa) == isa;
}

bool onednn_has_native_bf16(void)
{
    return isa_includes(dnnl_cpu_isa_avx512_core_bf16);
}

bool onednn_has_amx(void)
{
    return isa_includes(dnnl_cpu_isa_avx512_core_amx);
}

void onednn_version(char *text, size_t size)
{
    const dnnl_version_t *version = dnnl_version();

    snprintf(text, size, "%d.%d.%d", version->major, version->minor, version->patch);
}

static dnnl_data_type_t data_type(enum dtype dtype)
{
    return dtype == DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
}

dnnl_memory_desc_t onednn_desc(int n_dims, const dnnl_dims_t dims, enum dtype dtype,
                               const dnnl_dims_t strides)
{
    dnnl_memory_desc_t desc;
    dnnl_status_t status;

    if (strides)
        status = dnnl_memory_desc_init_by_strides(&desc, n_dims, dims, data_type(dtype), strides);
    else
        status = dnnl_memory_desc_init_by_tag(&desc, n_dims, dims, data_type(dtype),
                                              dnnl_format_tag_any);
    /* Only sizes below 1 or too many of them are refused, which a kernel_spec does not have. */
    assert(status == dnnl_success);
    (void)status;
    return desc;
}

dnnl_memory_desc_t onednn_nhwc(int n, int c, int h, int w, enum dtype dtype)
{
    dnnl_dims_t dims = {n, c, h, w};
    dnnl_dim_t row = (dnnl_dim_t)w * c;
    dnnl_dims_t strides = {h * row, 1, row, c};

    return onednn_desc(4, dims, dtype, strides);
}

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
    const unsigned char *p = bytes;

    for (size_t i = 0; i < size; i++) /* FNV-1a */
        hash = (hash ^ p[i]) * UINT64_C(0x100000001B3);
    return hash;
}

/* Field by field: the descriptor has bytes that nobody sets. */
static uint64_t hash_desc(uint64_t hash, const dnnl_memory_desc_t *desc)
{
    const dnnl_blocking_desc_t *blocking = &desc->format_desc.blocking;
    size_t dims_bytes = (size_t)desc->ndims * sizeof(desc->dims[0]);
    size_t blocks_bytes = (size_t)blocking->inner_nblks * sizeof(blocking->inner_blks[0]);

    hash = hash_bytes(hash, &desc->ndims, sizeof(desc->ndims));
    hash = hash_bytes(hash, desc->dims, dims_bytes);
    hash = hash_bytes(hash, &desc->data_type, sizeof(desc->data_type));
    hash = hash_bytes(hash, desc->padded_dims, dims_bytes);
    hash = hash_bytes(hash, &desc->format_kind, sizeof(desc->format_kind));
    hash = hash_bytes(hash, blocking->strides, dims_bytes);
    hash = hash_bytes(hash, &blocking->inner_nblks, sizeof(blocking->inner_nblks));
    hash = hash_bytes(hash, blocking->inner_blks, blocks_bytes);
    return hash_bytes(hash, blocking->inner_idxs, blocks_bytes);
}

uint64_t onednn_packing(const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to)
{
    uint64_t hash = hash_desc(hash_desc(UINT64_C(0xCBF29CE484222325), from), to);

    return hash ? hash : 1;
}

static const_dnnl_primitive_desc_t call_pd(const struct onednn_call *call)
{
    const_dnnl_primitive_desc_t pd = NULL;

    dnnl_primitive_get_primitive_desc(call->primitive, &pd);
    return pd;
}

const dnnl_memory_desc_t *onednn_call_desc(const struct onednn_call *call, int arg)
{
    return dnnl_primitive_desc_query_md(call_pd(call), dnnl_query_exec_arg_md, arg);
}

size_t onednn_call_scratch(const struct onednn_call *call)
{
    return call->scratch_bytes;
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

static dnnl_status_t set_add(struct call_set *set, dnnl_engine_t engine, int arg,
                             const dnnl_memory_desc_t *desc)
{
    dnnl_exec_arg_t *exec = &set->exec[set->n_made];
    dnnl_status_t status = dnnl_memory_create(&exec->memory, desc, engine, DNNL_MEMORY_NONE);

    if (status != dnnl_success)
        return status;
    exec->arg = arg;
    set->n_made++;
    return dnnl_success;
}

static dnnl_status_t set_init(struct onednn_call *call, struct call_set *set, dnnl_engine_t engine,
                              const int *args)
{
    dnnl_status_t status = dnnl_stream_create(&set->stream, engine, dnnl_stream_default_flags);

    for (int i = 0; i < call->n_args && status == dnnl_success; i++)
        status = set_add(set, engine, args[i], onednn_call_desc(call, args[i]));
    if (status == dnnl_success && call->scratch_bytes)
        status =
            set_add(set, engine, DNNL_ARG_SCRATCHPAD, onednn_call_desc(call, DNNL_ARG_SCRATCHPAD));
    return status;
}

/* Takes nothing: pd stays the caller's. */
static int call_create(struct cpu_device *device, const_dnnl_primitive_desc_t pd, int n_args,
                       const int *args, const char *what, struct onednn_call **out,
                       struct error *err)
{
    int n_sets = pool_threads(device->base.pool);
    struct onednn_call *call;
    dnnl_status_t status;

    assert(n_args <= ONEDNN_ARGS_MAX);
    call = calloc(1, sizeof(*call) + (size_t)n_sets * sizeof(call->sets[0]));
    if (!call)
        return error_set(err, -ENOMEM, "out of memory for %s", what);
    call->what = what;
    call->n_args = n_args;
    call->n_sets = n_sets;
    status = dnnl_primitive_create(&call->primitive, pd);
    if (status == dnnl_success)
        call->scratch_bytes =
            dnnl_memory_desc_get_size(onednn_call_desc(call, DNNL_ARG_SCRATCHPAD));
    for (int i = 0; i < n_sets && status == dnnl_success; i++)
        status = set_init(call, &call->sets[i], device->engine, args);
    if (status != dnnl_success) {
        onednn_call_destroy(call);
        return onednn_error(status, what, err);
    }
    *out = call;
    return 0;
}

/* The scratchpad comes from the caller: oneDNN's own belongs to a thread and grows. */
static dnnl_status_t attr_create(dnnl_primitive_attr_t *out)
{
    dnnl_status_t status = dnnl_primitive_attr_create(out);

    if (status != dnnl_success)
        return status;
    status = dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user);
    if (status != dnnl_success)
        dnnl_primitive_attr_destroy(*out);
    return status;
}

static int pd_create(struct cpu_device *device, const_dnnl_op_desc_t op_desc,
                     const_dnnl_primitive_desc_t hint, const char *what, dnnl_primitive_desc_t *out,
                     struct error *err)
{
    dnnl_primitive_attr_t attr;
    dnnl_status_t status = attr_create(&attr);

    if (status != dnnl_success)
        return onednn_error(status, what, err);
    status = dnnl_primitive_desc_create(out, op_desc, attr, device->engine, hint);
    dnnl_primitive_attr_destroy(attr);
    return status == dnnl_success ? 0 : onednn_error(status, what, err);
}

int onednn_hint_create(struct cpu_device *device, const_dnnl_op_desc_t op_desc, const char *what,
                       dnnl_primitive_desc_t *out, struct error *err)
{
    return pd_create(device, op_desc, NULL, what, out, err);
}

void onednn_hint_destroy(dnnl_primitive_desc_t hint)
{
    if (hint)
        dnnl_primitive_desc_destroy(hint);
}

int onednn_call_create(struct cpu_device *device, const_dnnl_op_desc_t op_desc,
                       const_dnnl_primitive_desc_t hint, int n_args, const int *args,
                       const char *what, struct onednn_call **out, struct error *err)
{
    dnnl_primitive_desc_t pd;
    int rc = pd_create(device, op_desc, hint, what, &pd, err);

    if (rc < 0)
        return rc;
    rc = call_create(device, pd, n_args, args, what, out, err);
    dnnl_primitive_desc_destroy(pd);
    return rc;
}

int onednn_reorder_create(struct cpu_device *device, const dnnl_memory_desc_t *from,
                          const dnnl_memory_desc_t *to, const char *what, struct onednn_call **out,
                          struct error *err)
{
    static const int args[] = {DNNL_ARG_FROM, DNNL_ARG_TO};
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t pd;
    dnnl_status_t status = attr_create(&attr);
    int rc;

    if (status != dnnl_success)
        return onednn_error(status, what, err);
    status =
        dnnl_reorder_primitive_desc_create(&pd, from, device->engine, to, device->engine, attr);
    dnnl_primitive_attr_destroy(attr);
    if (status != dnnl_success)
        return onednn_error(status, what, err);
    rc = call_create(device, pd, 2, args, what, out, err);
    dnnl_primitive_desc_destroy(pd);
    return rc;
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
