#include "server/waker.h"

#include "engine/base/error.h"
#include "engine/base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct waker {
    uv_poll_t poll; /* of the event */
    int event;
    atomic_bool told; /* the loop will come */
    void (*woken)(void *arg);
    void *arg;
};

void waker_wake(struct waker *w)
{
    uint64_t one = 1;

    if (atomic_exchange(&w->told, true))
        return;
    if (write(w->event, &one, sizeof(one)) < 0)
        log_write(LOG_ERROR, "event=waker error=%s", LOG_TEXT(strerror(errno)));
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct waker *w = poll->data;
    uint64_t n;

    if (read(w->event, &n, sizeof(n)) < 0)
        return; /* nothing is there */
    atomic_exchange(&w->told, false);
    w->woken(w->arg);
}

int waker_create(uv_loop_t *loop, void (*woken)(void *arg), void *arg, struct waker **out,
                 struct error *err)
{
    struct waker *w = calloc(1, sizeof(*w));
    int rc;

    if (!w)
        return error_set(err, -ENOMEM, "out of memory");
    w->woken = woken;
    w->arg = arg;
    w->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rc = w->event < 0 ? -errno : uv_poll_init(loop, &w->poll, w->event);
    if (rc < 0) {
        if (w->event >= 0)
            close(w->event);
        free(w);
        return error_set(err, rc, "could not make an event to wake the loop: %s", uv_strerror(rc));
    }
    w->poll.data = w;
    uv_poll_start(&w->poll, UV_READABLE, on_event);
    *out = w;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct waker *w = handle->data;

    close(w->event);
    free(w);
}

void waker_destroy(struct waker *w)
{
    if (w)
        uv_close((uv_handle_t *)&w->poll, on_closed);
}
