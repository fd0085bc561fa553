/* The determinism id: two devices with one id draw the same bytes from the same checkpoint, seed and
 * options; two with different ids may not.
 *
 * It is a hash of the version of our arithmetic, that of the C library (tables of samplers and
 * schedules are computed with its exponentials), of what the machine calls itself (the kind of the
 * device, libraries and their versions, the instruction sets in use and the caches that a library
 * fits its blocks to, or the model of the GPU), the precision, and the table of kernel choices for
 * that machine. The number of threads, batches and other requests do not enter: no byte depends on
 * them.
 */
#ifndef ENGINE_IDENTITY_H
#define ENGINE_IDENTITY_H

#include "engine/device.h"

/* Raised by every change after which an image, a gradient or a checkpoint has other bytes; the
 * change tells CHANGELOG.md. */
enum { IDENTITY_ARITHMETIC_VERSION = 1 };

enum { IDENTITY_BYTES = 17 };

/* id: 16 hexadecimal digits. 0, or what the device's precision() returns. */
int identity_of(struct device *device, enum precision precision, char id[IDENTITY_BYTES],
                struct error *err);

#endif
