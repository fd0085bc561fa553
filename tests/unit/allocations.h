/* Counts the allocations that our code makes, on all threads. Those of libraries do not count:
 * oneDNN makes a table of the arguments for every primitive it executes (dnnl_primitive_execute,
 * 2.6.3). */
#ifndef TESTS_UNIT_ALLOCATIONS_H
#define TESTS_UNIT_ALLOCATIONS_H

#include <stdbool.h>

/* Whether this build can count: malloc belongs to the sanitizers where they are on. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ALLOCATIONS_COUNTED 0
#else
#define ALLOCATIONS_COUNTED 1
#endif

/* Returns how many were counted since the last call, and counts from now on or not. */
long allocations_count(bool on);

#endif
