/* Wakes the loop from other threads.
 *
 * uv_async_send() does the same, but writes to a descriptor first and notes that it has done so afterwards: the
 * loop of libuv before 1.45, when it is awake before that, gives its turn on the processor away until the sender goes
 * on. A sender that computes, on the same processor, then keeps it for its whole turn: 4 ms and more, in which
 * nobody is answered.
 */
#ifndef SERVER_WAKER_H
#define SERVER_WAKER_H

#include <uv.h>

struct error;
struct waker;

/* woken(arg) is called by the loop, once or more after each waker_wake(). 0, -ENOMEM, or -EMFILE and
 * others where there is no descriptor. Thread: loop. */
int waker_create(uv_loop_t *loop, void (*woken)(void *arg), void *arg, struct waker **out,
                 struct error *err);

/* Nobody may wake any more; woken() is not called any more. NULL is fine. Thread: loop. */
void waker_destroy(struct waker *w);

/* Thread: any. What was written before is seen by woken(). */
void waker_wake(struct waker *w);

#endif
