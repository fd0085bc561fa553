/* What operations ask of sizes and attributes beyond their signatures: the rules that the table of op.c
 * has. Each may bind sizes that follow from others. 0, or -EINVAL that says what does not fit. */
#ifndef ENGINE_OP_RULES_H
#define ENGINE_OP_RULES_H

struct error;
struct kernel_spec;
struct signature;

typedef int op_rule(const struct kernel_spec *spec, struct signature *s, struct error *err);

op_rule op_rule_convolution, op_rule_convolution_general, op_rule_convolution_grad_data,
    op_rule_convolution_grad_weight, op_rule_max_pool, op_rule_relu, op_rule_linear,
    op_rule_group_norm, op_rule_group_norm_grad, op_rule_upfirdn, op_rule_concat, op_rule_slice,
    op_rule_attention, op_rule_fourier, op_rule_positional, op_rule_mix, op_rule_multiply,
    op_rule_toeplitz, op_rule_multiply_table, op_rule_modes, op_rule_lookup_grad, op_rule_normal,
    op_rule_dropout_mask, op_rule_sum, op_rule_average;

#endif
