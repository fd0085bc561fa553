/* What the operations of a network are made from, for tools that look at them without a device. */
#ifndef TOOLS_NETWORK_SPECS_H
#define TOOLS_NETWORK_SPECS_H

#include "engine/op.h"

#include <stdbool.h>

struct architecture;
struct error;

/* Of an evaluation for n images, or where training of the evaluation and the gradients of all weights, with
 * compute values of a type. *out: free()'d by the caller. 0, -EINVAL or -ENOMEM. */
int network_specs(const struct architecture *a, bool training, int n, enum dtype compute,
                  struct kernel_spec **out, int *n_specs, struct error *err);

#endif
