/* What a daemon reads again. */
#include "server/daemon.h"

#include "api/problem.h"
#include "engine/base/error.h"
#include "engine/base/log.h"
#include "server/batches.h"
#include "server/keys.h"
#include "server/models.h"
#include "server/tls.h"

#include <errno.h>

int daemon_reload_access(struct daemon *d, struct problem *problem)
{
    struct error error = {""};
    int rc = d->tls ? tls_reload(d->tls, &error) : 0;

    if (rc < 0) {
        log_write(LOG_ERROR, "event=certificate_change ok=0 error=%s", LOG_TEXT(error.text));
        problem_set(problem, rc == -ENOMEM ? 503 : 422, "%s; the certificate stays as it was",
                    error.text);
    }
    if (d->batches)
        batches_reload_webhooks(d->batches, problem);
    rc = keys_reload(d->keys, &error);
    if (rc < 0) {
        log_write(LOG_ERROR, "event=access_change ok=0 error=%s", LOG_TEXT(error.text));
        problem_set(problem, rc == -ENOMEM ? 503 : 422, "%s; the keys stay as they were",
                    error.text);
    }
    return problem->status ? -EINVAL : 0;
}

static void on_reloaded(void *arg, const struct problem *problem, const struct json_t *result);

void daemon_reload_models(struct daemon *d)
{
    d->reloads_again = d->reloads;
    if (d->reloads || !daemon_serves(d))
        return;
    d->reloads = true;
    models_reload(d->models, on_reloaded, d);
}

/* What happened is in the log. */
static void on_reloaded(void *arg, const struct problem *problem, const struct json_t *result)
{
    struct daemon *d = arg;

    log_write(problem ? LOG_ERROR : LOG_INFO, "event=reloaded ok=%d", !problem);
    d->reloads = false;
    if (d->reloads_again)
        daemon_reload_models(d);
}
