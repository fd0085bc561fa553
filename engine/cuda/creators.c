/* Which operations the cuda device has, and who makes their kernels. */
#include "engine/cuda/cuda_kernels.h"
#include "engine/base/error.h"

#include <errno.h>

static cuda_create_fn *const creators[OP_KINDS] = {
    NULL,
};

cuda_create_fn *cuda_creator(enum op_kind kind)
{
    return creators[kind];
}

int cuda_check_launch(cudaError_t status, enum op_kind kind, struct error *err)
{
    if (status == cudaSuccess)
        return 0;
    return error_set(err, -EIO, "the GPU refused %s: %s (%s)", op_name(kind),
                     cudaGetErrorString(status), cudaGetErrorName(status));
}
