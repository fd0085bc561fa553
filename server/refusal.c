#include "server/refusal.h"

#include "api/problem.h"
#include "server/request_id.h"
#include "server/tls.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* For a client to send what it had begun to send, and to read the answer. */
enum { LINGER_MS = 1000 };

struct refusal {
    struct refusals *all;
    struct refusal *next, *previous;
    int socket;
    uv_poll_t poll;
    uv_timer_t timer;
    int handles; /* of the two, not yet closed */
};

void refusals_init(struct refusals *r, uv_loop_t *loop)
{
    *r = (struct refusals){.loop = loop};
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct refusal *refusal = handle->data;

    if (--refusal->handles == 0)
        free(refusal);
}

static void end(struct refusal *refusal)
{
    struct refusals *all = refusal->all;

    if (refusal->next)
        refusal->next->previous = refusal->previous;
    if (refusal->previous)
        refusal->previous->next = refusal->next;
    else
        all->first = refusal->next;
    all->n--;
    uv_close((uv_handle_t *)&refusal->poll, on_handle_closed);
    uv_close((uv_handle_t *)&refusal->timer, on_handle_closed);
    close(refusal->socket);
}

void refusals_fini(struct refusals *r)
{
    while (r->first)
        end(r->first);
}

static void on_timer(uv_timer_t *timer)
{
    end(timer->data);
}

/* Reads what is there. False: the client has ended. */
static bool drop_input(int socket)
{
    char dropped[4096];
    ssize_t n;

    /* A bound, so that a client that sends fast does not keep the loop. */
    for (int i = 0; i < 16; i++) {
        n = recv(socket, dropped, sizeof(dropped), MSG_DONTWAIT);
        if (n <= 0)
            return n < 0;
    }
    return true;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct refusal *refusal = poll->data;

    if (status < 0 || !drop_input(refusal->socket))
        end(refusal);
}

/* The head and the body of an answer, malloc'ed; NULL without memory. */
static char *answer_text(const struct problem *problem)
{
    char id[REQUEST_ID_MADE_BYTES], retry_after[40] = "", *body, *text = NULL;

    request_id_make(id);
    body = problem_to_json(problem, id);
    if (problem->retry_after_s > 0)
        snprintf(retry_after, sizeof(retry_after), "Retry-After: %d\r\n", problem->retry_after_s);
    if (body && asprintf(&text,
                         "HTTP/1.1 %d %s\r\nContent-Type: " PROBLEM_CONTENT_TYPE
                         "\r\nContent-Length: %zu\r\n%sX-Request-ID: %s\r\n"
                         "X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n"
                         "Connection: close\r\n\r\n%s",
                         problem->status, problem_title(problem->status), strlen(body), retry_after,
                         id, body) < 0)
        text = NULL;
    free(body);
    return text;
}

static void linger(struct refusals *r, int socket)
{
    struct refusal *refusal = r->n < REFUSALS_MAX ? calloc(1, sizeof(*refusal)) : NULL;

    if (!refusal || uv_poll_init(r->loop, &refusal->poll, socket) < 0) {
        drop_input(socket);
        close(socket);
        free(refusal);
        return;
    }
    uv_timer_init(r->loop, &refusal->timer);
    refusal->handles = 2;
    refusal->poll.data = refusal;
    refusal->timer.data = refusal;
    refusal->all = r;
    refusal->socket = socket;
    refusal->next = r->first;
    if (r->first)
        r->first->previous = refusal;
    r->first = refusal;
    r->n++;
    uv_poll_start(&refusal->poll, UV_READABLE, on_readable);
    uv_timer_start(&refusal->timer, on_timer, LINGER_MS, 0);
}

/* The buffer of a socket on which little was sent is larger than any answer: this does not block and sends all. */
static void end_with(struct refusals *r, int socket, void *session, const void *bytes, size_t size)
{
    bool sent = bytes && (session ? tls_send(session, bytes, size)
                                  : send(socket, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) > 0);

    if (sent && shutdown(socket, SHUT_WR) == 0)
        linger(r, socket);
    else
        close(socket);
}

void refusals_answer(struct refusals *r, int socket, void *session, const struct problem *problem)
{
    char *text = answer_text(problem);

    end_with(r, socket, session, text, text ? strlen(text) : 0);
    free(text);
}

void refusals_end_tls(struct refusals *r, int socket)
{
    /* A record of type alert, in the version that all begin with, of two bytes: fatal, internal_error. */
    static const unsigned char alert[] = {21, 3, 1, 0, 2, 2, 80};

    end_with(r, socket, NULL, alert, sizeof(alert));
}
