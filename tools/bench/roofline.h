/* What a network would take on a GPU at best, from its plan alone: nothing is run, no GPU need be there; or
 * beside what its steps take where one is.
 *
 * Of each launch, which is a step or several that are joined: their products at the rate of the tensor cores
 * where values are rounded, else at that of float32; their operands and results once over the memory, as if
 * nothing stayed in a cache, but for what one step of a launch has from another; and what no launch takes less
 * than. The longest of the three counts. A program that takes twice that has something
 * to gain; one that takes less has been measured wrongly, or found its operands in the cache.
 */
#ifndef TOOLS_BENCH_ROOFLINE_H
#define TOOLS_BENCH_ROOFLINE_H

struct bench;
struct bench_case;
struct error;

/* Which GPU is meant; -EINVAL with a text that lists those that are known. */
int roofline_find(const char *name, struct error *err);

/* Prints the launches of the first batch and precision, alike ones together, and the sums of all batches
 * and precisions. b: parsed, its options name a GPU. 0, -ENOMEM, or what reading the model returns. */
int roofline_print(const struct bench *b, struct error *err);

/* Prints the launches of a case's plan, alike ones together, with the algorithms that were chosen, beside the
 * times that they take, step by step, where its executor runs them; the last line has the sums. 0, -ENOMEM or
 * -EIO. */
int roofline_print_plan(const struct bench *b, const struct bench_case *c, struct error *err);

#endif
