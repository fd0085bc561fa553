/* The operations of the reference device, one entry each. What they compute: engine/op.h.
 *
 * Values are float32, sums are double and rounded once. Forward and backward of an operation
 * stand in one file.
 */
#ifndef ENGINE_REFERENCE_REFERENCE_OPS_H
#define ENGINE_REFERENCE_REFERENCE_OPS_H

#include "engine/device.h"

#include <stddef.h>

struct error;

struct reference_op {
    /* The whole operation on the tensors of struct kernel_args, without bfloat16. */
    void (*run)(const struct kernel_spec *spec, const void *const *in, void *const *out,
                void *scratch);
    size_t (*scratch_bytes)(const struct kernel_spec *spec); /* NULL: none */
};

/* convolution.c */
extern const struct reference_op reference_convolution;
extern const struct reference_op reference_convolution_general;
extern const struct reference_op reference_convolution_grad_data;
extern const struct reference_op reference_convolution_grad_weight;
/* linear.c */
extern const struct reference_op reference_linear;
extern const struct reference_op reference_linear_grad_data;
extern const struct reference_op reference_linear_grad_weight;
/* group_norm.c */
extern const struct reference_op reference_group_norm;
extern const struct reference_op reference_group_norm_grad;
/* attention.c */
extern const struct reference_op reference_attention;
extern const struct reference_op reference_attention_grad;
/* resample.c */
extern const struct reference_op reference_upfirdn;
/* pooling.c */
extern const struct reference_op reference_max_pool;
extern const struct reference_op reference_mean_pool;
extern const struct reference_op reference_average_pool;
/* channels.c */
extern const struct reference_op reference_concat;
extern const struct reference_op reference_slice;
/* elementwise.c */
extern const struct reference_op reference_silu;
extern const struct reference_op reference_silu_grad;
extern const struct reference_op reference_relu;
extern const struct reference_op reference_add;
extern const struct reference_op reference_affine;
extern const struct reference_op reference_mix;
extern const struct reference_op reference_multiply;
extern const struct reference_op reference_pixels;
/* half_square.c */
extern const struct reference_op reference_half_square;
extern const struct reference_op reference_half_square_grad;
/* embedding.c */
extern const struct reference_op reference_fourier;
extern const struct reference_op reference_positional;
/* separable.c */
extern const struct reference_op reference_separable;
/* random.c */
extern const struct reference_op reference_normal;
extern const struct reference_op reference_dropout_mask;
/* operators.c */
extern const struct reference_op reference_toeplitz;
extern const struct reference_op reference_multiply_table;
extern const struct reference_op reference_multiply_rank;
extern const struct reference_op reference_modes;
/* memory.c */
extern const struct reference_op reference_lookup;
extern const struct reference_op reference_lookup_grad;
extern const struct reference_op reference_load;
extern const struct reference_op reference_store;
extern const struct reference_op reference_sum;
/* update.c */
extern const struct reference_op reference_norm;
extern const struct reference_op reference_adam;
extern const struct reference_op reference_average;

#endif
