/* FNV-1a in 64 bits: names for things that nobody chooses in order to deceive.
 * Source: Fowler, Noll, Vo; draft-eastlake-fnv-17, section 2. Thread: any. */
#ifndef ENGINE_BASE_HASH_H
#define ENGINE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_START UINT64_C(0xCBF29CE484222325)

/* The hash of what came before and these bytes. */
uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size);
/* The same of a string with its end, so that "ab", "c" is not "a", "bc". */
uint64_t hash_text(uint64_t hash, const char *text);

#endif
