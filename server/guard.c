#include "server/guard.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

static const char *const methods[] = {"GET",   "HEAD",    "POST",  "PUT",     "DELETE", "PATCH",
                                      "QUERY", "OPTIONS", "TRACE", "CONNECT", NULL};

/* Those that mean nothing without a body. */
static const char *const methods_with_body[] = {"POST", "PUT", "PATCH", "QUERY", NULL};

struct seen {
    int host, content_length, transfer_encoding;
    bool length_not_zero, encoded;
};

static bool is_one_of(const char *method, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(*list, method) == 0)
            return true;
    return false;
}

bool guard_knows_method(const char *method)
{
    return is_one_of(method, methods);
}

static bool is_token(const char *text, size_t size)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < size; i++) {
        char c = text[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              memchr(marks, c, sizeof(marks) - 1)))
            return false;
    }
    return size > 0;
}

static bool has_control(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return true;
    }
    return false;
}

static bool field_is(const struct guard_field *field, const char *name)
{
    return field->name_size == strlen(name) &&
           strncasecmp(field->name, name, field->name_size) == 0;
}

static bool value_is(const struct guard_field *field, const char *value)
{
    return field->value_size == strlen(value) &&
           strncasecmp(field->value, value, field->value_size) == 0;
}

static int refuse(int status, const char *text, const char **why)
{
    *why = text;
    return status;
}

static int check_line(const struct guard_request *r, const char **why)
{
    if (!guard_knows_method(r->method))
        return refuse(501, "the method is not one of HTTP's; methods are upper case", why);
    /* A higher minor version is ours to read as 1.1 (RFC 9110, section 6.2). */
    if (strncmp(r->version, "HTTP/1.", 7) != 0 || r->version[7] < '0' || r->version[7] > '9' ||
        r->version[8])
        return refuse(505, "only HTTP/1.0 and HTTP/1.1 are served", why);
    if (r->target[0] != '/' && strncasecmp(r->target, "http://", 7) != 0 &&
        strncasecmp(r->target, "https://", 8) != 0)
        return refuse(400, "the request target is neither a path nor an http URI", why);
    for (const char *c = r->target; *c; c++)
        if ((unsigned char)*c <= 0x20 || *c == 0x7f)
            return refuse(400, "the request target has a space or control character", why);
    return 0;
}

static int check_content_length(const struct guard_field *field, struct seen *seen,
                                const char **why)
{
    seen->content_length++;
    if (field->value_size == 0 || field->value_size > 18)
        return refuse(400, "Content-Length is not a number of bytes", why);
    for (size_t i = 0; i < field->value_size; i++) {
        if (field->value[i] < '0' || field->value[i] > '9')
            return refuse(400, "Content-Length is not a number of bytes", why);
        if (field->value[i] != '0')
            seen->length_not_zero = true;
    }
    return 0;
}

static int check_field(const struct guard_field *field, struct seen *seen, const char **why)
{
    if (!is_token(field->name, field->name_size))
        return refuse(400, "a header field's name has a character that names must not have", why);
    if (has_control(field->value, field->value_size))
        return refuse(400, "a header field's value has a control character", why);
    if (field_is(field, "Host")) {
        seen->host++;
    } else if (field_is(field, "Content-Length")) {
        return check_content_length(field, seen, why);
    } else if (field_is(field, "Transfer-Encoding")) {
        seen->transfer_encoding++;
        if (!value_is(field, "chunked"))
            return refuse(501, "the only transfer coding served is chunked", why);
    } else if (field_is(field, "Content-Encoding")) {
        seen->encoded |= !value_is(field, "identity");
    } else if (field_is(field, "Expect") && !value_is(field, "100-continue")) {
        return refuse(417, "the only expectation served is 100-continue", why);
    }
    return 0;
}

int guard_check(const struct guard_request *r, const char **why)
{
    bool old = strcmp(r->version, "HTTP/1.0") == 0;
    struct seen seen = {0};
    int status;

    status = check_line(r, why);
    for (size_t i = 0; status == 0 && i < r->n_fields; i++)
        status = check_field(&r->fields[i], &seen, why);
    if (status)
        return status;
    if (seen.host > 1 || (seen.host == 0 && !old))
        return refuse(400, "exactly one Host is needed", why);
    if (seen.content_length > 1)
        return refuse(400, "Content-Length is given twice", why);
    if (seen.transfer_encoding > 1)
        return refuse(501, "Transfer-Encoding is given twice", why);
    if (seen.transfer_encoding && seen.content_length)
        return refuse(400, "Content-Length and Transfer-Encoding exclude each other", why);
    if (seen.transfer_encoding && old)
        return refuse(400, "HTTP/1.0 has no Transfer-Encoding", why);
    if (is_one_of(r->method, methods_with_body)) {
        if (!seen.transfer_encoding && !seen.content_length)
            return refuse(411, "a Content-Length, or Transfer-Encoding: chunked, is needed", why);
        if (seen.encoded && (seen.transfer_encoding || seen.length_not_zero))
            return refuse(415, "the body must be sent without a Content-Encoding", why);
    }
    return 0;
}

bool guard_is_framed(const struct guard_request *r)
{
    for (size_t i = 0; i < r->n_fields; i++)
        if (field_is(&r->fields[i], "Content-Length") ||
            field_is(&r->fields[i], "Transfer-Encoding"))
            return true;
    return false;
}
