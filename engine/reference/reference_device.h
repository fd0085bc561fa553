/* The reference device: every operation of engine/op.h in plain loops with double accumulators,
 * float32 values. It defines what an operation means, and one can run whole networks on it.
 */
#ifndef ENGINE_REFERENCE_REFERENCE_DEVICE_H
#define ENGINE_REFERENCE_REFERENCE_DEVICE_H

#include "engine/device.h"

extern const struct device_ops reference_device_ops;

#endif
