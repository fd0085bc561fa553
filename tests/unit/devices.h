/* Which devices a test runs on: all that every machine has, or the one of the variable TEST_DEVICE, by
 * which the build repeats tests on the simulated GPU.
 */
#ifndef TESTS_UNIT_DEVICES_H
#define TESTS_UNIT_DEVICES_H

#include "engine/device.h"

#include <stdlib.h>

/* Name of the i-th; NULL past the end. */
static inline const char *test_device_at(int i)
{
    const char *given = getenv("TEST_DEVICE");

    if (given)
        return i == 0 ? given : NULL;
    return device_name_at(i);
}

#endif
