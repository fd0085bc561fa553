#include "tools/rewrite.h"

#include <errno.h>
#include <stdio.h>

#include "engine/base/error.h"
#include "engine/base/process.h"
#include "model/checkpoint.h"
#include "tools/output.h"
#include "tools/stop.h"

int rewrite_upgrade(struct checkpoint *c, struct error *err)
{
    struct formulation *f = &c->formulation;

    if (f->sampling.refining_grid)
        return 0;
    f->sampling.refining_grid = true;
    if (f->prior.n_modes > 0 || f->output != OUTPUT_WIENER)
        return 0;
    return prior_start_at(&f->prior, f->corruption, schedule_level(&f->schedule, 1), f->wiener.mean,
                          err);
}

static void may_end(const char *to)
{
    char text[STOP_TEXT_BYTES];

    snprintf(text, sizeof(text), "%s: stopped before \"%s\" was written",
             program_invocation_short_name, to);
    stop_may_end(EXIT_FAILED, text);
}

int rewrite_checkpoint(const char *from, const char *to, bool force,
                       int (*change)(struct checkpoint *c, void *arg, struct error *err), void *arg,
                       struct error *err)
{
    const volatile sig_atomic_t *stop = stop_on_signals();
    struct checkpoint *c = NULL, *written = NULL;
    int rc;

    rc = output_try(to, force, err);
    may_end(to);
    if (rc == 0)
        rc = checkpoint_load(from, &c, err);
    if (rc == 0)
        rc = change(c, arg, err);
    stop_must_not_end(); /* halfway through a file */
    if (rc == 0 && *stop)
        rc = error_set(err, -ECANCELED, "stopped before \"%s\" was written", to);
    if (rc == 0)
        rc = checkpoint_rewrite(from, to, c, err);
    if (rc == 0)
        rc = checkpoint_load(to, &written, err);
    if (rc == 0)
        printf("%s  %s\n", written->digest, to);
    checkpoint_destroy(c);
    checkpoint_destroy(written);
    return rc;
}
