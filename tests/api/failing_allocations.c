/* To be preloaded: a malloc of which one call fails, or all from one on. The file that
 * FAILING_ALLOCATIONS names is shared with who decides which (tests/api/failing_allocations.py).
 *
 * Calls are counted on all threads. Left alone are those of libraries that end the process where there
 * is no memory, or throw: no program that uses them can do better.
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FRAMES = 24 };

/* Mapped by both, all numbers of 8 bytes. */
struct control {
    atomic_llong fail_at;   /* the number of the call that fails; 0: none */
    atomic_llong fail_more; /* how many after it fail, too */
    atomic_llong n_calls;   /* since somebody set it to 0 */
    atomic_llong n_failed;
    char spared[64];  /* part of a library's path whose calls are left alone, too; "": none */
    char where[4096]; /* the stack of the first that failed, as addr2line wants it; "": none */
};

static const char *const spared[] = {"/libuv.",   "/ld-linux", "/libstdc++.",
                                     "/libgomp.", "/libasan.", "/libtasn1."};

static struct control *control;
static __thread bool inside;

/* What is behind: the C library, or the sanitizer of addresses. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
__attribute__((weak)) void *__interceptor_malloc(size_t size);
__attribute__((weak)) void *__interceptor_calloc(size_t n, size_t size);
__attribute__((weak)) void *__interceptor_realloc(void *old, size_t size);
__attribute__((weak)) void *__interceptor_memalign(size_t alignment, size_t size);

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FAILING_ALLOCATIONS");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *frames[FRAMES], *mapped;

    backtrace(frames, FRAMES); /* loads what it needs */
    if (file < 0)
        return;
    mapped = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED)
        control = mapped;
}

static bool is_spared(const void *caller)
{
    Dl_info info;

    if (!dladdr(caller, &info) || !info.dli_fname)
        return false;
    for (size_t i = 0; i < sizeof(spared) / sizeof(spared[0]); i++)
        if (strstr(info.dli_fname, spared[i]))
            return true;
    return *control->spared && strstr(info.dli_fname, control->spared);
}

static void tell_where(void)
{
    void *frames[FRAMES];
    int n = backtrace(frames, FRAMES);
    size_t used = 0;
    Dl_info info, own;

    dladdr(&control, &own);
    for (int i = 0; i < n && used < sizeof(control->where) - 256; i++)
        if (dladdr(frames[i], &info) && info.dli_fname && info.dli_fbase != own.dli_fbase)
            used += (size_t)snprintf(control->where + used, 256, "%.180s+%#tx\n", info.dli_fname,
                                     (char *)frames[i] - 1 - (char *)info.dli_fbase);
}

/* Whether this call fails. */
static bool fails(const void *caller)
{
    long long n, at;

    if (!control || inside || !atomic_load(&control->fail_at))
        return false;
    inside = true;
    if (is_spared(caller)) {
        inside = false;
        return false;
    }
    n = atomic_fetch_add(&control->n_calls, 1) + 1;
    at = atomic_load(&control->fail_at);
    if (n < at || n > at + atomic_load(&control->fail_more)) {
        inside = false;
        return false;
    }
    if (atomic_fetch_add(&control->n_failed, 1) == 0)
        tell_where();
    inside = false;
    errno = ENOMEM;
    return true;
}

#define EXPORTED __attribute__((visibility("default"), noinline))

EXPORTED void *malloc(size_t size)
{
    if (fails(__builtin_return_address(0)))
        return NULL;
    return __interceptor_malloc ? __interceptor_malloc(size) : __libc_malloc(size);
}

EXPORTED void *calloc(size_t n, size_t size)
{
    if (fails(__builtin_return_address(0)))
        return NULL;
    return __interceptor_calloc ? __interceptor_calloc(n, size) : __libc_calloc(n, size);
}

EXPORTED void *realloc(void *old, size_t size)
{
    if (fails(__builtin_return_address(0)))
        return NULL;
    return __interceptor_realloc ? __interceptor_realloc(old, size) : __libc_realloc(old, size);
}

EXPORTED void *aligned_alloc(size_t alignment, size_t size)
{
    if (fails(__builtin_return_address(0)))
        return NULL;
    return __interceptor_memalign ? __interceptor_memalign(alignment, size)
                                  : __libc_memalign(alignment, size);
}

EXPORTED int posix_memalign(void **out, size_t alignment, size_t size)
{
    void *p = NULL;

    if (!fails(__builtin_return_address(0)))
        p = __interceptor_memalign ? __interceptor_memalign(alignment, size)
                                   : __libc_memalign(alignment, size);
    if (p)
        *out = p;
    return p ? 0 : ENOMEM;
}
