/* A random order of pictures, always the same one for a seed. */
#ifndef TOOLS_PICTURES_ORDER_H
#define TOOLS_PICTURES_ORDER_H

#include <stdint.h>

/* The order of an epoch: out [n] holds each of 0 .. n-1 once. */
void order_shuffled(uint64_t seed, uint32_t epoch, int n, int *out);

#endif
