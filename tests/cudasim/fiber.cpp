#include "tests/cudasim/fiber.hpp"

#include "tests/cudasim/fail.hpp"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#ifdef CUDASIM_THREAD_SANITIZER
extern "C" {
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void __tsan_acquire(void *object);
void __tsan_release(void *object);
}
enum { NO_SYNC = 1 }; /* a switch orders nothing */
#endif
#ifdef CUDASIM_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

/* Saves the registers that a call must keep, and the stack pointer; loads others'. */
extern "C" void cudasim_switch(void **save, void *load);
#if defined(__x86_64__)
__asm__(".text\n"
        ".hidden cudasim_switch\n"
        ".globl cudasim_switch\n"
        ".type cudasim_switch,@function\n"
        "cudasim_switch:\n"
        " push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
        " mov %rsp,(%rdi)\n"
        " mov %rsi,%rsp\n"
        " pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n"
        " ret\n"
        ".size cudasim_switch,.-cudasim_switch\n");
#elif defined(__aarch64__)
__asm__(".text\n"
        ".hidden cudasim_switch\n"
        ".globl cudasim_switch\n"
        "cudasim_switch:\n"
        " stp x19,x20,[sp,#-160]!\n stp x21,x22,[sp,#16]\n stp x23,x24,[sp,#32]\n"
        " stp x25,x26,[sp,#48]\n stp x27,x28,[sp,#64]\n stp x29,x30,[sp,#80]\n"
        " stp d8,d9,[sp,#96]\n stp d10,d11,[sp,#112]\n stp d12,d13,[sp,#128]\n"
        " stp d14,d15,[sp,#144]\n"
        " mov x9,sp\n str x9,[x0]\n mov sp,x1\n"
        " ldp x21,x22,[sp,#16]\n ldp x23,x24,[sp,#32]\n ldp x25,x26,[sp,#48]\n"
        " ldp x27,x28,[sp,#64]\n ldp x29,x30,[sp,#80]\n ldp d8,d9,[sp,#96]\n"
        " ldp d10,d11,[sp,#112]\n ldp d12,d13,[sp,#128]\n ldp d14,d15,[sp,#144]\n"
        " ldp x19,x20,[sp],#160\n"
        " ret\n");
#else
#error "the simulated device switches stacks on x86-64 and on 64-bit ARM"
#endif

namespace cudasim
{

static void *home_stack_pointer;
#ifdef CUDASIM_THREAD_SANITIZER
static void *home_identity;
#endif
#ifdef CUDASIM_ADDRESS_SANITIZER
static void *home_fake_stack;
static const void *home_bottom;
static size_t home_size;
#endif

void fiber_create(fiber *f)
{
    char *memory = (char *)mmap(nullptr, FIBER_STACK + 4096, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED || mprotect(memory, 4096, PROT_NONE) != 0)
        fail("no memory for the stack of a thread");
    *f = fiber{};
    f->stack = memory + 4096;
    f->thread_identity = identity_create();
}

/* A frame whose return leads to body(). */
void fiber_arm(fiber *f, void (*body)())
{
    const uintptr_t top = ((uintptr_t)f->stack + FIBER_STACK) & ~(uintptr_t)15;
    void *entry = (void *)body;
#if defined(__x86_64__)
    char *frame = (char *)top - 64;

    memset(frame, 0, 64);
    memcpy(frame + 48, &entry, sizeof(entry));
#else
    char *frame = (char *)top - 160;

    memset(frame, 0, 160);
    memcpy(frame + 88, &entry, sizeof(entry));
#endif
    f->stack_pointer = frame;
}

void fiber_home()
{
#ifdef CUDASIM_THREAD_SANITIZER
    home_identity = __tsan_get_current_fiber();
#endif
}

void fiber_enter(fiber *f)
{
#ifdef CUDASIM_ADDRESS_SANITIZER
    __sanitizer_start_switch_fiber(&home_fake_stack, f->stack, FIBER_STACK);
#endif
#ifdef CUDASIM_THREAD_SANITIZER
    __tsan_switch_to_fiber(f->thread_identity, NO_SYNC);
#endif
    cudasim_switch(&home_stack_pointer, f->stack_pointer);
#ifdef CUDASIM_ADDRESS_SANITIZER
    __sanitizer_finish_switch_fiber(home_fake_stack, nullptr, nullptr);
#endif
}

void fiber_leave(fiber *f, bool dying)
{
#ifdef CUDASIM_ADDRESS_SANITIZER
    __sanitizer_start_switch_fiber(dying ? nullptr : &f->fake_stack, home_bottom, home_size);
#endif
#ifdef CUDASIM_THREAD_SANITIZER
    __tsan_switch_to_fiber(home_identity, NO_SYNC);
#endif
    (void)dying;
    cudasim_switch(&f->stack_pointer, home_stack_pointer);
#ifdef CUDASIM_ADDRESS_SANITIZER
    __sanitizer_finish_switch_fiber(f->fake_stack, &home_bottom, &home_size);
#endif
}

void fiber_begin()
{
#ifdef CUDASIM_ADDRESS_SANITIZER
    __sanitizer_finish_switch_fiber(nullptr, &home_bottom, &home_size);
#endif
}

#ifdef CUDASIM_THREAD_SANITIZER
void sync_release(void *object)
{
    __tsan_release(object);
}

void sync_acquire(void *object)
{
    __tsan_acquire(object);
}

void *identity_create()
{
    return __tsan_create_fiber(0);
}

void identity_destroy(void *identity)
{
    __tsan_destroy_fiber(identity);
}

void *identity_enter(void *identity)
{
    void *before = __tsan_get_current_fiber();

    __tsan_switch_to_fiber(identity, NO_SYNC);
    return before;
}

void identity_leave(void *before)
{
    __tsan_switch_to_fiber(before, NO_SYNC);
}
#else
void sync_release(void *)
{
}

void sync_acquire(void *)
{
}

void *identity_create()
{
    return nullptr;
}

void identity_destroy(void *)
{
}

void *identity_enter(void *)
{
    return nullptr;
}

void identity_leave(void *)
{
}
#endif

#ifdef CUDASIM_ADDRESS_SANITIZER
void memory_poison(const void *p, size_t bytes)
{
    __asan_poison_memory_region(p, bytes);
}

void memory_unpoison(const void *p, size_t bytes)
{
    __asan_unpoison_memory_region(p, bytes);
}
#else
void memory_poison(const void *, size_t)
{
}

void memory_unpoison(const void *, size_t)
{
}
#endif

} // namespace cudasim
