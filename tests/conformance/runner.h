/* One kernel of one device with memory of its own around it.
 *
 * Every buffer stands between guard bytes, which read as NaN; outputs and scratch start as NaN.
 * After a run the guards and the inputs must be what they were.
 */
#ifndef TESTS_CONFORMANCE_RUNNER_H
#define TESTS_CONFORMANCE_RUNNER_H

#include "tests/conformance/tensor.h"

struct error;
struct runner;

/* Makes the kernel, packs the parameters it wants packed, uploads the inputs of set (borrowed,
 * in the dtypes of spec). 0, or what the device returned. */
int runner_create(struct device *device, const struct kernel_spec *spec,
                  const struct tensor_set *set, struct runner **out, struct error *err);
void runner_destroy(struct runner *runner);

/* Replaces the data of an input. */
int runner_set_input(struct runner *runner, int input, const struct tensor *tensor,
                     struct error *err);

/* One run of the kernel and nothing else. */
int runner_run(struct runner *runner, struct error *err);

/* Resets outputs and scratch to NaN, runs, checks guards and inputs, and downloads the outputs
 * into set, initialising them. 0, what the device returned, or -EFAULT naming the buffer that was
 * written and should not have been. */
int runner_run_checked(struct runner *runner, struct tensor_set *set, struct error *err);

/* Runs an elementwise operation with its output in the place of an input, checks the guards, and
 * downloads the output into data. The runner is of no use afterwards. */
int runner_run_in_place(struct runner *runner, int input, void *data, struct error *err);

/* All of it once: create, run checked, destroy. */
int runner_once(struct device *device, const struct kernel_spec *spec, struct tensor_set *set,
                struct error *err);

#endif
