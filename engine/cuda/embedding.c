/* Time embeddings. */
#include "engine/cuda/cuda_kernels.h"
#include "engine/cuda/embedding_launch.h"
#include "engine/cuda/kernel.h"

static cudaError_t embedding_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                                    cudaStream_t stream)
{
    const struct tensor_desc *y = &spec->outputs[0];
    const int half = y->shape.dims[0] / 2;

    if (spec->kind == OP_FOURIER)
        return launch_fourier(args->in[0], args->in[1], args->out[0], y->n, half, stream);
    return launch_positional(args->in[0], args->out[0], y->n, half, stream);
}

int cuda_embedding_create(struct cuda_device *device, const struct kernel_spec *spec,
                          struct kernel **out, struct error *err)
{
    return cuda_kernel_create(spec, embedding_launch, 0, out, err);
}
