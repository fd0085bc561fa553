/* Which steps of a plan one launch does: a rule of their shapes alone, so that it can be asked where there is
 * no CUDA, too (tools/network_specs.h). engine/cuda/joined.h tells what they are.
 */
#ifndef ENGINE_JOINING_H
#define ENGINE_JOINING_H

#include <stdbool.h>

struct kernel_spec;
struct step_link;

/* How many steps a launch has at most, by kind; and packs of 16 bytes of a position of a group norm with two
 * sources. */
enum {
    POINTWISE_JOINED_MAX = 8,
    TOEPLITZ_JOINED_MAX = 4,
    VECTORS_JOINED_MAX = 64,
    NORM_JOINED_PACKS_MAX = 256,
};

/* As cuda_joins(), for kernels that own launches do. */
bool specs_join(const struct kernel_spec *before, const struct kernel_spec *spec,
                const struct step_link *link);

#endif
