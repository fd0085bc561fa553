/* What the steps of a network's plan are made from on a GPU that need not be there, for tools that look at
 * plans and run nothing: steps, their order, and which of them one launch does are the CUDA engine's. */
#ifndef TOOLS_NETWORK_SPECS_H
#define TOOLS_NETWORK_SPECS_H

#include "engine/device.h"

#include <stdbool.h>

struct architecture;
struct error;
struct network_specs;
struct plan;

/* Of an evaluation for n images at once, or where training of the evaluation and the gradients of all weights.
 * precision: not PRECISION_AUTO. 0, -EINVAL or -ENOMEM. */
int network_specs_create(const struct architecture *a, bool training, int n,
                         enum precision precision, struct network_specs **out, struct error *err);
void network_specs_destroy(struct network_specs *specs); /* NULL is fine */

const struct plan *network_specs_plan(const struct network_specs *specs);

#endif
