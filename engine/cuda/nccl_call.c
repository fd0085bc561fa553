#include "engine/cuda/nccl_call.h"
#include "engine/base/error.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

int nccl_load(const struct nccl_functions **out, struct error *err)
{
    static struct nccl_functions functions;
    const struct {
        const char *name;
        size_t offset;
    } rows[] = {
        {"ncclGetUniqueId", offsetof(struct nccl_functions, get_unique_id)},
        {"ncclCommInitRank", offsetof(struct nccl_functions, comm_init_rank)},
        {"ncclCommDestroy", offsetof(struct nccl_functions, comm_destroy)},
        {"ncclAllReduce", offsetof(struct nccl_functions, all_reduce)},
        {"ncclGetErrorString", offsetof(struct nccl_functions, get_error_string)},
    };
    void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);

    if (!library)
        return error_set(err, -ENOTSUP, "GPUs of several ranks need NCCL: %s", dlerror());
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        void *function = dlsym(library, rows[i].name);

        if (!function)
            return error_set(err, -ENOTSUP, "GPUs of several ranks need NCCL: %s", dlerror());
        /* Pointers to functions are of the size of others on Linux. */
        memcpy((char *)&functions + rows[i].offset, &function, sizeof(function));
    }
    *out = &functions;
    return 0;
}
