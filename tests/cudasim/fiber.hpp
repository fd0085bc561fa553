/* Fibers: stacks that the threads of a block run on, one at a time, and what the sanitizers must be told
 * when the stack changes. And identities for the thread sanitizer: each thread of a block, each stream
 * and the host are threads of their own to it, ordered by nothing but barriers, events and waits.
 *
 * This file is never built with -fsanitize=thread: it is the hardware. */
#ifndef TESTS_CUDASIM_FIBER_HPP
#define TESTS_CUDASIM_FIBER_HPP

#include <stddef.h>

namespace cudasim
{

enum { FIBER_STACK = 64 * 1024 };

struct fiber {
    void *stack_pointer;
    char *stack;
    void *thread_identity; /* the thread sanitizer's */
    void *fake_stack;      /* the address sanitizer's */
};

void fiber_create(fiber *f);
/* The next fiber_enter() starts body() anew. It must not return: it ends with fiber_leave(f, true). */
void fiber_arm(fiber *f, void (*body)());
void fiber_enter(fiber *f);             /* from the host's stack */
void fiber_leave(fiber *f, bool dying); /* to where it was entered from */
void fiber_begin();                     /* first call of a body */

/* Does nothing unless built for the thread sanitizer, as all below. */
void fiber_home();

void sync_release(void *object);
void sync_acquire(void *object);
void *identity_create();
void identity_destroy(void *identity);
void *identity_enter(void *identity); /* returns who it was before */
void identity_leave(void *before);

/* Memory that a kernel may not touch; nothing unless built for the address sanitizer. */
void memory_poison(const void *p, size_t bytes);
void memory_unpoison(const void *p, size_t bytes);

} // namespace cudasim

#endif
