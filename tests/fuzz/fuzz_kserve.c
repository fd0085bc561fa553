/* Any bytes as an inference request: a line that is the header of its JSON's length, none where it is empty,
 * and the body behind it. What comes out is within the limits, or a problem that can be sent.
 */
#include "tests/fuzz/target.h"

#include "api/kserve_request.h"
#include "api/kserve_response.h"
#include "api/problem.h"

#include <stdlib.h>
#include <string.h>

static const struct samples_limits limits = {.n_max = 8,
                                             .job_n_max = 1000,
                                             .nfe_max = 1000,
                                             .timeout_max_ms = 60000};

static void check_request(const struct kserve_request *r)
{
    if (r->n < 1 || r->n > limits.n_max || r->nfe < 0 || r->nfe > limits.nfe_max ||
        r->timeout_ms < 1 || r->timeout_ms > limits.timeout_max_ms || r->n_outputs < 1 ||
        r->n_outputs > KSERVE_OUTPUTS || strlen(r->sampler) > LIMITS_NAME_BYTES ||
        strlen(r->id) > LIMITS_REQUEST_ID_BYTES)
        abort();
    for (int i = 1; i < r->n_outputs; i++)
        if (r->outputs[i].output == r->outputs[0].output)
            abort();
}

static void check_problem(const struct problem *problem)
{
    char *text = kserve_problem_to_json(problem, NULL);

    if (!text || problem->status != 400)
        abort();
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, '\n', size);
    size_t line = end ? (size_t)(end - data) : 0, body_size = size - line - (end != NULL);
    char *header = strndup((const char *)data, line), *body = malloc(body_size + 1);
    struct problem problem = {0};
    struct kserve_request r;

    /* A copy of its own, so that a read behind its end is seen. */
    if (header && body) {
        memcpy(body, data + size - body_size, body_size);
        if (kserve_request_parse(*header ? header : NULL, body, body_size, &limits, &r, &problem) ==
            0)
            check_request(&r);
        else
            check_problem(&problem);
    }
    free(header);
    free(body);
    return 0;
}
