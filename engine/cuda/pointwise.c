/* Kernels that work element by element: silu, relu, add, affine, mix, multiply, pixels, half_square. */
#include "engine/cuda/cuda_kernels.h"
#include "engine/cuda/kernel.h"
#include "engine/cuda/operands.h"
#include "engine/cuda/pointwise_launch.h"

static cudaError_t activation_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                                     cudaStream_t stream)
{
    const enum dtype type = spec->outputs[0].dtype;
    const size_t count = tensor_count(&spec->outputs[0]);

    if (spec->kind == OP_SILU)
        return launch_silu(args->in[0], args->out[0], type, count, stream);
    if (spec->kind == OP_RELU)
        return launch_relu(args->in[0], args->out[0], type, count, spec->attributes.relu.top,
                           stream);
    return launch_silu_grad(args->in[0], args->in[1], args->out[0], type, count, stream);
}

static cudaError_t add_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                              cudaStream_t stream)
{
    return launch_add(args->in[0], args->in[1], args->out[0], spec->outputs[0].dtype,
                      tensor_count(&spec->outputs[0]), spec->attributes.add.scale, stream);
}

static cudaError_t affine_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                                 cudaStream_t stream)
{
    return launch_affine(args->in[0], spec->inputs[0].dtype, args->out[0], spec->outputs[0].dtype,
                         tensor_count(&spec->outputs[0]), spec->attributes.affine.scale,
                         spec->attributes.affine.shift, stream);
}

struct mix_terms cuda_mix_terms(const struct kernel_spec *spec, const struct kernel_args *args)
{
    struct mix_terms terms = {
        .count = spec->n_inputs - 1,
        .first = spec->attributes.mix.first,
        .n_coefficients = spec->inputs[0].shape.dims[0],
    };

    _Static_assert((int)MIX_TERMS_MAX == (int)OP_INPUTS_MAX - 1, "coefficients and terms");
    for (int i = 0; i < terms.count; i++) {
        terms.x[i] = args->in[1 + i];
        terms.types[i] = spec->inputs[1 + i].dtype;
    }
    return terms;
}

static cudaError_t mix_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                              cudaStream_t stream)
{
    const struct mix_terms terms = cuda_mix_terms(spec, args);

    return launch_mix(args->in[0], &terms, args->out[0], spec->outputs[0].dtype, spec->outputs[0].n,
                      shape_count(&spec->outputs[0].shape), stream);
}

static cudaError_t multiply_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                                   cudaStream_t stream)
{
    const struct tensor_desc *x = &spec->inputs[0], *m = &spec->inputs[1];
    const int shared = shape_equal(&x->shape, &m->shape) ? 1 : x->shape.dims[2];

    return launch_multiply(args->in[0], x->dtype, args->in[1], m->dtype, args->out[0],
                           tensor_count(x), shared, stream);
}

static cudaError_t pixels_launch(const struct kernel_spec *spec, const struct kernel_args *args,
                                 cudaStream_t stream)
{
    return launch_pixels(args->in[0], args->out[0], tensor_count(&spec->outputs[0]), stream);
}

static cudaError_t half_square_launch(const struct kernel_spec *spec,
                                      const struct kernel_args *args, cudaStream_t stream)
{
    const int n = spec->inputs[0].n;
    const size_t count = shape_count(&spec->inputs[0].shape);

    if (spec->kind == OP_HALF_SQUARE)
        return launch_half_square(args->in[0], args->in[1], args->out[0], n, count, stream);
    return launch_half_square_grad(args->in[0], args->in[1], args->in[2], args->out[0], n, count,
                                   stream);
}

int cuda_activation_create(struct cuda_device *device, const struct kernel_spec *spec,
                           struct kernel **out, struct error *err)
{
    return cuda_kernel_create(spec, activation_launch, 0, out, err);
}

int cuda_add_create(struct cuda_device *device, const struct kernel_spec *spec, struct kernel **out,
                    struct error *err)
{
    return cuda_kernel_create(spec, add_launch, 0, out, err);
}

int cuda_affine_create(struct cuda_device *device, const struct kernel_spec *spec,
                       struct kernel **out, struct error *err)
{
    return cuda_kernel_create(spec, affine_launch, 0, out, err);
}

int cuda_mix_create(struct cuda_device *device, const struct kernel_spec *spec, struct kernel **out,
                    struct error *err)
{
    return cuda_kernel_create(spec, mix_launch, 0, out, err);
}

int cuda_multiply_create(struct cuda_device *device, const struct kernel_spec *spec,
                         struct kernel **out, struct error *err)
{
    return cuda_kernel_create(spec, multiply_launch, 0, out, err);
}

int cuda_pixels_create(struct cuda_device *device, const struct kernel_spec *spec,
                       struct kernel **out, struct error *err)
{
    return cuda_kernel_create(spec, pixels_launch, 0, out, err);
}

int cuda_half_square_create(struct cuda_device *device, const struct kernel_spec *spec,
                            struct kernel **out, struct error *err)
{
    return cuda_kernel_create(spec, half_square_launch, 0, out, err);
}
