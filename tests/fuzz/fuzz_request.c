/* Any bytes as the body of POST /v1/samples: a request within its limits, or a problem document
 * that can be sent.
 */
#include "tests/fuzz/target.h"

#include "api/problem.h"
#include "api/request.h"

#include <stdlib.h>
#include <string.h>

static const struct samples_limits limits = {.n_max = 8,
                                             .job_n_max = 1000,
                                             .nfe_max = 1000,
                                             .timeout_max_ms = 60000};

static bool is_string(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct samples_request r;
    struct problem problem = {0};
    int rc =
        samples_request_parse((const char *)data, size, REQUEST_SAMPLES, &limits, &r, &problem);
    char *document;

    if (!is_string(r.sampler, sizeof(r.sampler)) ||
        !is_string(r.corruption, sizeof(r.corruption)) || !is_string(r.model, sizeof(r.model)))
        abort();
    if (rc == 0) {
        if (problem.status != 0 || r.n < 1 || r.n > limits.n_max || r.nfe < 0 ||
            r.nfe > limits.nfe_max || r.timeout_ms < 1 || r.timeout_ms > limits.timeout_max_ms)
            abort();
        return 0;
    }
    document = problem_to_json(&problem, NULL);
    if (!document || (problem.status != 400 && problem.status != 413 && problem.status != 422))
        abort();
    free(document);
    return 0;
}
