/* Any text as what a request says beside its body: in the headers Accept, Prefer, Last-Event-ID,
 * Authorization and If-None-Match, and in the query of a list of jobs. What comes out is within its range,
 * or a problem that can be sent.
 */
#include "tests/fuzz/target.h"

#include "api/accept.h"
#include "api/bearer.h"
#include "api/events.h"
#include "api/job_status.h"
#include "api/permalink.h"
#include "api/prefer.h"
#include "api/problem.h"

#include <stdlib.h>
#include <string.h>

static void check_page(const char *query)
{
    struct problem problem = {0};
    struct job_page page;
    char *document;

    if (job_page_parse(query, &page, &problem) == 0) {
        if (problem.status != 0 || page.limit < 1 || page.limit > JOB_PAGE_MAX ||
            (*page.after && strlen(page.after) != JOB_ID_BYTES - 1))
            abort();
        return;
    }
    document = problem_to_json(&problem, NULL);
    if (!document || (problem.status != 400 && problem.status != 422))
        abort();
    free(document);
}

static void check_weight(const char *accept, const char *type)
{
    int weight = accept_weight(accept, type);

    if (weight < 0 || weight > 1000)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1); /* of its own, so that a read behind its end is seen */
    uint8_t digest[BEARER_DIGEST_BYTES];
    int number;

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    check_weight(text, "image/png");
    check_weight(text, "text/event-stream");
    number = prefer_number(text, "wait");
    if (number < -1 || number > PREFER_NUMBER_MAX || (number >= 0 && !prefer_has(text, "wait")))
        abort();
    if (events_resume(text) < -1)
        abort();
    bearer_digest(text, digest);
    permalink_matches(text, "\"0123456789abcdef0123456789abcdef\"");
    check_page(text);
    free(text);
    return 0;
}
