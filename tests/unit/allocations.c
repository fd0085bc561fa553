#include "tests/unit/allocations.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

static atomic_bool counting;
static atomic_long allocations;

long allocations_count(bool on)
{
    atomic_store(&counting, on);
    return atomic_exchange(&allocations, 0);
}

#if ALLOCATIONS_COUNTED
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

extern const char __executable_start, etext; /* from the linker: where our code lies */

static void count(const void *caller)
{
    if (atomic_load_explicit(&counting, memory_order_relaxed) &&
        (const char *)caller >= &__executable_start && (const char *)caller < &etext)
        atomic_fetch_add(&allocations, 1);
}

__attribute__((noinline)) void *malloc(size_t size)
{
    count(__builtin_return_address(0));
    return __libc_malloc(size);
}

__attribute__((noinline)) void *calloc(size_t n, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_calloc(n, size);
}

__attribute__((noinline)) void *realloc(void *old, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_realloc(old, size);
}

__attribute__((noinline)) void *aligned_alloc(size_t alignment, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_memalign(alignment, size);
}

__attribute__((noinline)) int posix_memalign(void **out, size_t alignment, size_t size)
{
    count(__builtin_return_address(0));
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}
#endif
