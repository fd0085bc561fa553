/* The cpu device: convolutions, 1x1 products and attention through oneDNN (3x3 convolutions through
 * engine/cpu/winograd.h where that is faster), everything else as own loops that the compiler turns
 * into vector code for the processor at hand.
 *
 * float32 everywhere, bfloat16 with float32 accumulation and statistics where the processor has
 * AVX512-BF16 or AMX. A kernel runs in the thread that calls it and starts none: the threads are those
 * of engine/host/, which share out chunks and parts.
 */
#ifndef ENGINE_CPU_CPU_DEVICE_H
#define ENGINE_CPU_CPU_DEVICE_H

#include "engine/device.h"

extern const struct device_ops cpu_device_ops;

#endif
