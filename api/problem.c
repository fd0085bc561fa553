#include "api/problem.h"

#include "engine/base/json_memory.h"
#include "engine/base/printable.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int status;
    const char *title;
} titles[] = {
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

/* As vsnprintf(), but what comes out can be sent: jansson refuses text that is no UTF-8, as when it
 * quotes a body of which it cut a character in half. */
__attribute__((format(printf, 3, 0))) static void write_text(char *out, size_t size,
                                                             const char *fmt, va_list args)
{
    char text[1024];

    vsnprintf(text, sizeof(text), fmt, args);
    printable_copy(text, out, size);
}

int problem_set(struct problem *p, int status, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    write_text(p->detail, sizeof(p->detail), fmt, args);
    va_end(args);
    p->status = status;
    return -EINVAL;
}

void problem_add_field(struct problem *p, const char *name, const char *fmt, ...)
{
    struct problem_field *field;
    va_list args;

    problem_set(p, 422, "the request has fields that cannot be used");
    if (p->n_fields == PROBLEM_FIELDS_MAX)
        return;
    field = &p->fields[p->n_fields++];
    printable_copy(name, field->name, sizeof(field->name));
    va_start(args, fmt);
    write_text(field->detail, sizeof(field->detail), fmt, args);
    va_end(args);
}

const char *problem_title(int status)
{
    for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
        if (titles[i].status == status)
            return titles[i].title;
    return "Unknown";
}

char *problem_to_json(const struct problem *p, const char *request_id)
{
    json_t *errors, *root;

    root = json_pack("{s:s, s:s, s:i, s:s, s:s*}", "type", "about:blank", "title",
                     problem_title(p->status), "status", p->status, "detail", p->detail,
                     "request_id", request_id);
    if (p->expected_ms > 0)
        json_object_set_new(root, "expected_ms", json_integer((json_int_t)p->expected_ms));
    if (p->n_fields > 0) {
        errors = json_array();
        for (int i = 0; i < p->n_fields; i++)
            json_array_append_new(errors, json_pack("{s:s, s:s}", "field", p->fields[i].name,
                                                    "detail", p->fields[i].detail));
        json_object_set_new(root, "errors", errors);
    }
    return json_memory_dump(root, JSON_COMPACT);
}
