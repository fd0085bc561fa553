/* Small checkpoints with random weights, for tests of what serves them: real ones in every respect
 * but their training, with the network of the reference's initial weights, a schedule of a few
 * knots and a prior without modes.
 */
#ifndef TESTS_API_SMALL_CHECKPOINT_H
#define TESTS_API_SMALL_CHECKPOINT_H

#include <stdint.h>

struct error;

/* corruption: "noise" or "blur"; side: image_size, divisible by 4. 0 or the first error. */
int small_checkpoint_write(const char *path, const char *corruption, int side, int nf,
                           uint64_t seed, struct error *err);

#endif
