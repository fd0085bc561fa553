#include "api/json_body.h"

#include "api/problem.h"
#include "api/seed.h"
#include "engine/base/json_memory.h"

#include <jansson.h>
#include <stdlib.h>

static void complain(const json_error_t *error, struct problem *problem)
{
    enum json_error_code code = json_error_code(error);

    if (!*error->text) /* it has no words where it has no memory */
        problem_set(problem, 503, "out of memory");
    else if (code == json_error_numeric_overflow)
        problem_set(problem, 422, "a number at line %d, column %d is out of range", error->line,
                    error->column);
    else
        problem_set(problem, 400, "the body is not JSON: %s at line %d, column %d", error->text,
                    error->line, error->column);
}

json_t *json_body_read(const char *body, size_t size, bool everywhere, struct problem *problem)
{
    size_t quoted_size = 0;
    json_error_t error;
    char *quoted;
    json_t *root;

    if (seed_quote_large(body, size, everywhere, &quoted, &quoted_size) < 0) {
        problem_set(problem, 503, "out of memory");
        return NULL;
    }
    root = json_memory_load(quoted ? quoted : body, quoted ? quoted_size : size,
                            JSON_REJECT_DUPLICATES, &error);
    free(quoted);
    if (!root) {
        complain(&error, problem);
    } else if (!json_is_object(root)) {
        problem_set(problem, 422, "the body must be a JSON object");
        json_decref(root);
        root = NULL;
    }
    return root;
}
