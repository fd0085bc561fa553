/* What an exchange is answered with, and how. */
#include "server/exchange.h"

#include "api/problem.h"
#include "server/exchange_parts.h"
#include "server/shared_bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void exchange_add_header(struct exchange *x, const char *name, const char *value)
{
    answer_head_add(&x->head, name, value);
}

void exchange_set_cache_control(struct exchange *x, const char *value)
{
    x->head.cache_control = value;
}

void exchange_drop_headers(struct exchange *x)
{
    x->head.n_headers = 0;
    x->head.cache_control = NULL;
}

void exchange_set_problem_form(struct exchange *x, const struct exchange_problem_form *form)
{
    x->problem_form = form;
}

void exchange_set_origin(struct exchange *x, const char *origin)
{
    x->head.has_origin = true;
    snprintf(x->head.origin, sizeof(x->head.origin), "%s", origin ? origin : "");
}

void exchange_set_close(struct exchange *x)
{
    x->head.close = true;
}

void exchange_respond_with(struct exchange *x, int status, const char *content_type, size_t size,
                           struct MHD_Response *response)
{
    if (response && !answer_head_apply(&x->head, x->id, content_type, response)) {
        MHD_destroy_response(response);
        response = NULL;
    }
    x->answered = true;
    x->response = response;
    x->response_bytes = size;
    x->status = status;
    x->on_gone = NULL;
    if (x->suspended)
        exchange_wake(x);
}

/* The library takes a void pointer even where it only reads. */
void exchange_respond(struct exchange *x, int status, const char *content_type, const void *body,
                      size_t size, void *owned)
{
    void *data = (void *)(uintptr_t)body;
    struct MHD_Response *response;

    if (owned)
        response = MHD_create_response_from_buffer_with_free_callback(size, data, free);
    else
        response = MHD_create_response_from_buffer(size, data, MHD_RESPMEM_PERSISTENT);
    if (!response)
        free(owned);
    exchange_respond_with(x, status, content_type, size, response);
}

void exchange_respond_shared(struct exchange *x, int status, const char *content_type,
                             struct shared_bytes *body)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback_cls(body->size, body->data,
                                                               shared_bytes_release, body);

    if (response)
        shared_bytes_hold(body);
    exchange_respond_with(x, status, content_type, body->size, response);
}

static ssize_t read_nothing(void *cls, uint64_t position, char *buffer, size_t size)
{
    return MHD_CONTENT_READER_END_OF_STREAM;
}

void exchange_respond_head(struct exchange *x, int status, const char *content_type)
{
    exchange_respond_with(x, status, content_type, 0,
                          MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 512, read_nothing,
                                                            NULL, NULL));
}

void exchange_respond_empty(struct exchange *x, int status)
{
    exchange_respond_with(x, status, NULL, 0,
                          MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT));
}

void exchange_respond_text(struct exchange *x, int status, const char *content_type, char *text)
{
    if (text)
        exchange_respond(x, status, content_type, text, strlen(text), text);
    else
        exchange_respond_status(x, 503, "out of memory");
}

void exchange_respond_json(struct exchange *x, int status, char *text)
{
    exchange_respond_text(x, status, "application/json", text);
}

void exchange_respond_problem(struct exchange *x, const struct problem *problem)
{
    static const struct exchange_problem_form documents = {PROBLEM_CONTENT_TYPE, problem_to_json,
                                                           NULL, PROBLEM_NO_MEMORY};
    const struct exchange_problem_form *form = x->problem_form ? x->problem_form : &documents;
    char *text = form->write(problem, x->id);
    int status = form->status ? form->status(problem->status) : problem->status;
    int retry_after_s = problem->retry_after_s;
    char seconds[16];

    if (!text)
        status = 503;
    if (status == 503 && retry_after_s == 0)
        retry_after_s = x->all->options.retry_after_s(x->all->options.arg);
    if (retry_after_s > 0) {
        snprintf(seconds, sizeof(seconds), "%d", retry_after_s);
        exchange_add_header(x, "Retry-After", seconds);
    }
    if (text)
        exchange_respond(x, status, form->content_type, text, strlen(text), text);
    else
        exchange_respond(x, status, form->content_type, form->no_memory, strlen(form->no_memory),
                         NULL);
}

void exchange_respond_status(struct exchange *x, int status, const char *detail)
{
    struct problem problem = {0};

    problem_set(&problem, status, "%s", detail);
    exchange_respond_problem(x, &problem);
}
