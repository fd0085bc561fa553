/* The dialect of the OpenAI Images API: answers, lists of models, and problems.
 *
 * Source: the OpenAI API reference (POST /v1/images/generations, GET /v1/models, errors), as the
 * `openai` package for Python reads it.
 *
 *     {"created": 1764330000, "output_format": "png", "size": "32x32", "model": "faces@3f2a9c0d17be",
 *      "seed": 7, "sampler": "sde-2m", "nfe": 20, "warnings": ["prompt is ignored: ..."],
 *      "data": [{"b64_json": "..", "url": "http://host/v1/models/faces@..", "seed": 7}, ..]}
 *
 * What is not of that API stands beside it: model, seed, sampler, nfe, warnings. Where a request does
 * not say response_format, images come both ways.
 *
 * Thread: any (made for the pool, off the loop).
 */
#ifndef API_IMAGES_H
#define API_IMAGES_H

#include "api/request.h"

#include <stddef.h>
#include <stdint.h>

struct error;
struct json_t;
struct problem;
struct samples_response;

enum { IMAGES_ORIGIN_BYTES = 300 };

struct images_form {
    enum request_format format;
    char origin[IMAGES_ORIGIN_BYTES]; /* what stands before an address: "http://localhost:8080" */
    int64_t created_s;                /* seconds since 1970 */
    unsigned ignored;                 /* of the request: fields that mean nothing here */
};

struct images_png {
    uint8_t *bytes; /* malloc'ed */
    size_t size;
};

/* pngs: [r->n], all zero; the caller frees their bytes in any case. out: malloc'ed JSON.
 * 0, -EINVAL or -ENOMEM. */
int images_response_encode(const struct samples_response *r, const struct images_form *form,
                           struct images_png *pngs, char **out, struct error *err);

/* A problem as {"error": {"message", "type", "param", "code"}}, which is "error" of a problem document
 * in the second. Malloc'ed; NULL without memory. */
char *images_problem_to_json(const struct problem *p, const char *request_id);
char *images_problem_to_both(const struct problem *p, const char *request_id);

/* The first, where there is no memory for it. */
#define IMAGES_NO_MEMORY                                                                  \
    "{\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\",\"param\":null," \
    "\"code\":\"overloaded\"}}"

/* The status that this dialect answers with: it has no 422. */
int images_problem_status(int status);

#endif
