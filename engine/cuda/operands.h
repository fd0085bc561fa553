/* Operations and their operands as launches take them, for kernels alone and for joined.c. */
#ifndef ENGINE_CUDA_OPERANDS_H
#define ENGINE_CUDA_OPERANDS_H

#include "engine/cuda/pointwise_launch.h"
#include "engine/cuda/separable_launch.h"
#include "engine/device.h"

struct group_norm_arrays;
struct group_norm_shape;
struct vector_step;

struct mix_terms cuda_mix_terms(const struct kernel_spec *spec, const struct kernel_args *args);
struct normal_draw cuda_normal_draw(const struct kernel_spec *spec, const struct kernel_args *args);
struct two_sided_shape cuda_toeplitz_shape(const struct kernel_spec *spec);
struct toeplitz_step cuda_toeplitz_step(const struct kernel_spec *spec,
                                        const struct kernel_args *args);
struct group_norm_shape cuda_group_norm_shape(const struct kernel_spec *spec);
struct group_norm_arrays cuda_group_norm_arrays(const struct kernel_spec *spec,
                                                const struct kernel_args *args);
/* Of an OP_LINEAR for which direct_is_vectors(). */
struct vector_step cuda_vector_step(const struct kernel_spec *spec, const struct kernel_args *args);

#endif
