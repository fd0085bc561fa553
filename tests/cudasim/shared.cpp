/* The shared memory of a block: full of NaN when it starts, with red zones between its arrays, each
 * aligned as declared and not one step more. */
#include "tests/cudasim/block.hpp"
#include "tests/cudasim/device.hpp"

#include <algorithm>
#include <sys/mman.h>

namespace cudasim
{

enum {
    SHARED_MAX = 227 * 1024 + 64 * 1024,
    STATIC_MAX = 48 * 1024,
    ARRAYS_MAX = 64,
    RED_ZONE = 32,
};

static char *memory;
static size_t used, highest;
static size_t dynamic_end;
static struct {
    const void *key;
    void *place;
} arrays[ARRAYS_MAX];
static int n_arrays;

/* Unmapping makes the thread sanitizer forget the blocks before. */
static void memory_provide()
{
#ifdef CUDASIM_THREAD_SANITIZER
    if (memory)
        munmap(memory, SHARED_MAX);
    memory = nullptr;
#endif
    if (memory)
        return;
    memory = (char *)mmap(nullptr, SHARED_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                          -1, 0);
    if (memory == MAP_FAILED)
        fail("no memory for a block's shared memory");
    highest = SHARED_MAX;
}

void shared_reset(size_t dynamic_bytes)
{
    highest = std::max({highest, used, dynamic_bytes});
    memory_provide();
    memory_unpoison(memory, SHARED_MAX);
    std::fill_n((volatile uint64_t *)memory, (highest + 7) / 8, ~(uint64_t)0);
    memory_poison(memory, SHARED_MAX);
    memory_unpoison(memory, dynamic_bytes);
    highest = 0;
    dynamic_end = dynamic_bytes ? (dynamic_bytes + RED_ZONE + 15) / 16 * 16 : 0;
    used = dynamic_end;
    n_arrays = 0;
}

bool shared_contains(const void *p, size_t bytes)
{
    return (const char *)p >= memory && (const char *)p + bytes <= memory + used;
}

} // namespace cudasim

using namespace cudasim;

void *cudasim_shared(const void *key, size_t bytes, size_t alignment, const site *where)
{
    const size_t step = 2 * alignment, at = (used + step - 1) / step * step + alignment;

    for (int i = 0; i < n_arrays; i++)
        if (arrays[i].key == key)
            return arrays[i].place;
    if (n_arrays == ARRAYS_MAX || at + bytes - dynamic_end > STATIC_MAX)
        fail_at(where, "static shared memory of more than 48 KiB");
    arrays[n_arrays] = {key, memory + at};
    memory_unpoison(memory + at, bytes);
    used = at + bytes + RED_ZONE;
    return arrays[n_arrays++].place;
}

void *cudasim_shared_dynamic()
{
    return memory;
}
