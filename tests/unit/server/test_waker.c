/* The loop comes after every call of other threads, once for many, and not after its end. */
#include "server/waker.h"

#include "engine/base/error.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <cmocka.h>

enum { THREADS = 3, CALLS = 20000 };

struct fixture {
    uv_loop_t loop;
    struct waker *waker;
    atomic_int n_called;
    int n_woken, n_seen;
};

static void on_wake(void *arg)
{
    struct fixture *f = arg;

    f->n_woken++;
    f->n_seen = atomic_load(&f->n_called);
}

static void begin(struct fixture *f)
{
    struct error err;

    assert_int_equal(uv_loop_init(&f->loop), 0);
    assert_int_equal(waker_create(&f->loop, on_wake, f, &f->waker, &err), 0);
}

/* Nothing of it is left in the loop. */
static void end(struct fixture *f)
{
    waker_destroy(f->waker);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&f->loop), 0);
}

static void *call(void *arg)
{
    struct fixture *f = arg;

    for (int i = 0; i < CALLS; i++) {
        atomic_fetch_add(&f->n_called, 1);
        waker_wake(f->waker);
    }
    return NULL;
}

/* What was there before the last call is seen, or this waits for ever. */
static void test_no_call_is_lost(void **state)
{
    struct fixture f = {.n_woken = 0};
    pthread_t threads[THREADS];

    begin(&f);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call, &f), 0);
    while (f.n_seen < THREADS * CALLS)
        uv_run(&f.loop, UV_RUN_ONCE);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(f.n_woken <= THREADS * CALLS);
    end(&f);
}

static void test_many_calls_are_one(void **state)
{
    struct fixture f = {.n_woken = 0};

    begin(&f);
    for (int i = 0; i < 1000; i++)
        waker_wake(f.waker);
    uv_run(&f.loop, UV_RUN_ONCE);
    assert_int_equal(f.n_woken, 1);
    waker_wake(f.waker);
    uv_run(&f.loop, UV_RUN_ONCE);
    assert_int_equal(f.n_woken, 2);
    uv_run(&f.loop, UV_RUN_NOWAIT);
    assert_int_equal(f.n_woken, 2);
    end(&f);
}

static void test_nobody_comes_after_the_end(void **state)
{
    struct fixture f = {.n_woken = 0};

    begin(&f);
    waker_wake(f.waker);
    waker_destroy(f.waker);
    f.waker = NULL;
    end(&f);
    assert_int_equal(f.n_woken, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_call_is_lost),
        cmocka_unit_test(test_many_calls_are_one),
        cmocka_unit_test(test_nobody_comes_after_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
