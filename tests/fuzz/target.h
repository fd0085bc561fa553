/* What a fuzz target defines; the name and the shape are libFuzzer's. */
#ifndef TESTS_FUZZ_TARGET_H
#define TESTS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

/* Takes any bytes without crashing; returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
