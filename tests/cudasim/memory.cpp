/* Memory of the device and page-locked memory of the host. The host may not touch the device's: it is
 * closed but for the time of the device's work. An allocation is full of NaN at first, ends at a page
 * that nobody may touch, and its addresses are never used again. */
#include "tests/cudasim/runtime.hpp"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

namespace cudasim
{

enum { PAGE = 4096, ROUNDING = 256 };

static const size_t ARENA = (size_t)256 << 30;

struct allocation {
    char *at;
    size_t bytes, mapped; /* mapped from `at` on: to the guard page */
    int number, device;
    bool lives;
};

static char *arena;
static size_t arena_used = PAGE;
static std::map<char *, allocation> allocations; /* those that are gone, too */
static std::set<const allocation *> living;      /* the others: a few of thousands */
static std::map<char *, allocation> pinned;
static size_t bytes_in_use[DEVICES_MAX];
static int n_allocations;
static int open_device = -1; /* none */

static size_t bytes_total()
{
    const char *mib = getenv("CUDASIM_MEMORY_MIB");

    return (mib ? strtoull(mib, nullptr, 10) : 80 * 1024) << 20;
}

static const allocation *find(const std::map<char *, allocation> &in, const void *p)
{
    auto next = in.upper_bound((char *)p);

    if (next == in.begin())
        return nullptr;
    const allocation &a = std::prev(next)->second;
    return (char *)p < a.at + a.mapped + PAGE ? &a : nullptr;
}

static bool contains(const std::map<char *, allocation> &in, const void *p, size_t bytes)
{
    const allocation *a = find(in, p);

    return a && a->lives && (const char *)p + bytes <= a->at + a->bytes;
}

bool memory_contains(const void *p, size_t bytes)
{
    return contains(allocations, p, bytes);
}

bool memory_is_pinned(const void *p, size_t bytes)
{
    return contains(pinned, p, bytes);
}

bool memory_is_of_device(const void *p)
{
    return (const char *)p >= arena && (const char *)p < arena + ARENA;
}

/* A text for an address that was touched and should not have been. */
static void describe(const char *p, char *text, size_t size)
{
    const bool of_device = memory_is_of_device(p);
    const allocation *a = of_device ? find(allocations, p) : find(pinned, p);
    const char *kind = of_device ? "device memory" : "page-locked memory";

    if (!a && !of_device)
        snprintf(text, size, "touched address %p", (const void *)p);
    else if (!a)
        snprintf(text, size, "touched device memory %p, which is in no allocation",
                 (const void *)p);
    else if (!a->lives)
        snprintf(text, size, "touched freed %s: allocation %d of %zu bytes, at offset %td", kind,
                 a->number, a->bytes, p - a->at);
    else if (p < a->at + a->bytes && of_device && open_device >= 0)
        snprintf(text, size,
                 "work of device %d touched memory of device %d: allocation %d of %zu bytes, at "
                 "offset %td",
                 open_device, a->device, a->number, a->bytes, p - a->at);
    else if (p < a->at + a->bytes)
        snprintf(text, size,
                 "outside of the device's work, touched its memory: allocation %d of %zu bytes, "
                 "at offset %td",
                 a->number, a->bytes, p - a->at);
    else
        snprintf(text, size, "touched %s %td bytes past the end of allocation %d, of %zu bytes",
                 kind, p - (a->at + a->bytes), a->number, a->bytes);
}

static void on_fault(int number, siginfo_t *info, void *)
{
    char text[256];

    describe((const char *)info->si_addr, text, sizeof(text));
    fail("signal %d: %s", number, text);
}

/* A stack for the handler, of each thread that calls: a kernel's own may be what overflowed. A thread that
 * has one keeps it: AddressSanitizer unmaps its own at the thread's end. */
static void handler_stack_provide()
{
    static thread_local char stack[65536];
    static thread_local bool done;
    stack_t s = {};

    if (done)
        return;
    done = true;
    if (sigaltstack(nullptr, &s) == 0 && !(s.ss_flags & SS_DISABLE))
        return;
    s = {};
    s.ss_sp = stack;
    s.ss_size = sizeof(stack);
    sigaltstack(&s, nullptr);
}

void memory_prepare()
{
    struct sigaction action = {};

    handler_stack_provide();
    if (arena)
        return;
    arena =
        (char *)mmap(nullptr, ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena == MAP_FAILED)
        fail("no addresses for the device's memory");
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, nullptr);
    sigaction(SIGBUS, &action, nullptr);
}

static void protect(const allocation &a, int protection)
{
    char *page = (char *)((uintptr_t)a.at & ~(uintptr_t)(PAGE - 1));

    if (mprotect(page, (size_t)(a.at + a.mapped - page), protection) != 0)
        fail("could not change the protection of the device's memory");
}

static void protect_all(int device, int protection)
{
    for (const allocation *a : living)
        if (a->device == device)
            protect(*a, protection);
}

void memory_open(int device)
{
    if (open_device == device)
        return;
    memory_close();
    open_device = device;
    protect_all(device, PROT_READ | PROT_WRITE);
}

void memory_close()
{
    if (open_device < 0)
        return;
    protect_all(open_device, PROT_NONE);
    open_device = -1;
}

static void report(const std::map<char *, allocation> &in, const char *kind)
{
    for (const auto &entry : in)
        if (entry.second.lives)
            fail("leak: %s, allocation %d of %zu bytes", kind, entry.second.number,
                 entry.second.bytes);
}

void memory_report_leaks()
{
    report(allocations, "device memory");
    report(pinned, "page-locked memory");
}

/* Opens pages at the place and fills them with 0xff: NaN in every type. */
static void fill(char *pages, size_t mapped, char *at, size_t bytes)
{
    if (mprotect(pages, mapped, PROT_READ | PROT_WRITE) != 0)
        fail("no memory for %zu bytes of the device's", bytes);
    memset(pages, 0xff, mapped);
    memory_poison(pages, mapped);
    memory_unpoison(at, bytes);
}

static cudaError_t free_in(std::map<char *, allocation> &in, void *p, const char *name)
{
    auto found = in.find((char *)p);

    if (found == in.end() || !found->second.lives)
        fail("%s of %p, which %s", name, p,
             found == in.end() ? "is no allocation" : "was freed before");
    allocation &a = found->second;
    /* Freeing waits for the device, or for all that copy from and to this machine's memory. */
    if (&in == &allocations)
        stream_drain_device(a.device);
    else
        stream_drain_all();
    char *page = (char *)((uintptr_t)a.at & ~(uintptr_t)(PAGE - 1));

    protect(a, PROT_NONE);
    madvise(page, (size_t)(a.at + a.mapped - page), MADV_DONTNEED);
    a.lives = false;
    living.erase(&a);
    return cudaSuccess;
}

} // namespace cudasim

using namespace cudasim;

extern "C" {

cudaError_t cudaMalloc(void **out, size_t bytes)
{
    call c("cudaMalloc");
    const int device = device_in_use();
    const char *failing = getenv("CUDASIM_FAIL_ALLOCATION");
    const size_t mapped = (bytes + ROUNDING - 1) / ROUNDING * ROUNDING;
    const size_t pages = (mapped + PAGE - 1) / PAGE * PAGE;

    if (c.broken())
        return result(c.broken());
    c.refuse_in_capture();
    *out = nullptr;
    if (bytes == 0)
        return cudaSuccess;
    n_allocations++;
    if ((failing && n_allocations == atoi(failing)) ||
        mapped > bytes_total() - bytes_in_use[device] || arena_used + pages + PAGE > ARENA)
        return result(cudaErrorMemoryAllocation);
    char *at = arena + arena_used + (pages - mapped);

    fill(arena + arena_used, pages, at, bytes);
    arena_used += pages + PAGE;
    allocations[at] = {at, bytes, mapped, n_allocations, device, true};
    living.insert(&allocations[at]);
    if (open_device != device)
        protect(allocations[at], PROT_NONE);
    bytes_in_use[device] += mapped;
    *out = at;
    return cudaSuccess;
}

cudaError_t cudaFree(void *p)
{
    call c("cudaFree");

    if (!p)
        return cudaSuccess;
    c.refuse_in_capture();
    free_in(allocations, p, "cudaFree");
    bytes_in_use[allocations[(char *)p].device] -= allocations[(char *)p].mapped;
    return c.broken();
}

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned flags)
{
    call c("cudaHostAlloc");
    const size_t mapped = (bytes + ROUNDING - 1) / ROUNDING * ROUNDING;
    const size_t pages = (mapped + PAGE - 1) / PAGE * PAGE;
    char *memory;

    (void)flags;
    if (c.broken())
        return result(c.broken());
    c.refuse_in_capture();
    memory = (char *)mmap(nullptr, pages + 2 * PAGE, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return result(cudaErrorMemoryAllocation);
    char *at = memory + PAGE + (pages - mapped);

    fill(memory + PAGE, pages, at, bytes);
    pinned[at] = {at, bytes, mapped, ++n_allocations, device_in_use(), true};
    *out = at;
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **out, size_t bytes)
{
    return cudaHostAlloc(out, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void *p)
{
    call c("cudaFreeHost");

    if (!p)
        return cudaSuccess;
    c.refuse_in_capture();
    free_in(pinned, p, "cudaFreeHost");
    return c.broken();
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    call c("cudaMemGetInfo");

    *total = bytes_total();
    *free_bytes = *total - bytes_in_use[device_in_use()];
    return c.broken();
}

} // extern "C"
