/* Any bytes as the target of a permalink: a path and its query, and a request within its limits or a
 * problem document that can be sent. And as the address of a webhook: what is allowed begins as a rule does, letter for
 * letter but for the case of its host, and would by any reading go to that rule's host.
 */
#include "tests/fuzz/target.h"

#include "api/permalink.h"
#include "api/problem.h"
#include "api/request.h"
#include "config/webhook_url.h"
#include "engine/base/error.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct samples_limits limits = {.n_max = 8,
                                             .job_n_max = 1000,
                                             .nfe_max = 1000,
                                             .timeout_max_ms = 60000};

static void check_request(const struct samples_request *r, int rc, const struct problem *problem)
{
    char *document;

    if (rc == 0) {
        if (problem->status != 0 || r->n != 1 || r->nfe < 0 || r->nfe > limits.nfe_max)
            abort();
        return;
    }
    document = problem_to_json(problem, NULL);
    if (!document || (problem->status != 400 && problem->status != 422))
        abort();
    free(document);
}

static void check_webhook(const char *url)
{
    static const char first[] = "http://127.0.0.1:8080/hook/",
                      second[] = "https://hooks.example.com",
                      both[] = "http://127.0.0.1:8080/hook/,https://hooks.example.com";
    const char *rest = url + sizeof(second) - 1;
    struct error error;

    if (webhook_rules_check(url, &error) == 0)
        webhook_url_is_allowed("https://hooks.example.com/", url);
    if (!webhook_url_is_allowed(url, both))
        return;
    if (webhook_url_check(url, NULL) < 0 || strpbrk(url, "\\# \r\n"))
        abort();
    if (strncmp(url, first, sizeof(first) - 1) == 0) {
        if (memmem(url, strcspn(url, "?"), "/../", 4))
            abort();
        return;
    }
    if (strncasecmp(url, second, sizeof(second) - 1) != 0 || (*rest && !strchr("/:", *rest)))
        abort();
    if (*rest == ':' && strncmp(rest, ":443", 4) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct problem problem = {0};
    struct samples_request r;
    struct permalink link;
    char *target = malloc(size + 1), *query;
    int rc;

    if (!target)
        return 0;
    memcpy(target, data, size);
    target[size] = '\0';
    check_webhook(target);
    query = strchr(target, '?');
    if (query)
        *query++ = '\0';
    if (permalink_parse(target, &link) == 0 &&
        (!*link.model || strlen(link.model) > LIMITS_NAME_BYTES ||
         (*link.checkpoint && strlen(link.checkpoint) < PERMALINK_DIGEST_MIN)))
        abort();
    rc = samples_request_parse_query(query, &limits, &r, &problem);
    check_request(&r, rc, &problem);
    permalink_matches(target, "\"0123456789abcdef0123456789abcdef\"");
    free(target);
    return 0;
}
