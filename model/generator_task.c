#include "model/generator_task.h"
#include "engine/base/error.h"
#include "model/architecture.h"
#include "model/generator.h"

#include <errno.h>
#include <math.h>

static bool all_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            return false;
    }
    return true;
}

/* What is not finite would stay in the slot: 0 times that is not 0 for the next image there. */
static int check_pictures(const struct generator_task *task, const struct architecture *a,
                          struct error *err)
{
    const struct generator_restoration *r = task->restoration;
    size_t pixels = (size_t)a->image_size * (size_t)a->image_size;
    size_t floats = pixels * (size_t)a->num_channels;

    if (task->start && !all_finite(task->start, floats))
        return error_set(err, -EINVAL, "the picture to start from is not finite");
    if (!r)
        return 0;
    if (!(r->weight > 0 && isfinite(r->weight) && r->blur >= 0 && isfinite(r->blur)))
        return error_set(err, -EINVAL, "a restoration of weight %g and blur %g", (double)r->weight,
                         r->blur);
    if (!all_finite(r->y, floats) || (r->mask && !all_finite(r->mask, pixels)))
        return error_set(err, -EINVAL, "the picture to restore or its mask is not finite");
    return 0;
}

int generator_task_check(const struct generator_task *task, const struct architecture *a,
                         int nfe_max, bool restoration, struct error *err)
{
    if (task->nfe < 1 || task->nfe > nfe_max)
        return error_set(err, -EINVAL, "nfe is 1 to %d, not %d", nfe_max, task->nfe);
    if (task->label < 0 || task->label > a->n_labels)
        return error_set(err, -EINVAL, "label %d is not one of %d", task->label, a->n_labels);
    if (task->guided && task->label == 0)
        return error_set(err, -EINVAL, "guidance needs a label");
    if (task->guided && !isfinite(task->guidance))
        return error_set(err, -EINVAL, "guidance is not %g", (double)task->guidance);
    if (task->guided && 2 * task->nfe > nfe_max)
        return error_set(err, -EINVAL, "%d guided steps take %d evaluations, %d are allowed",
                         task->nfe, 2 * task->nfe, nfe_max);
    if (task->mixed && !(task->mix >= 0 && task->mix <= 1))
        return error_set(err, -EINVAL, "mix is 0 to 1, not %g", task->mix);
    if (task->restoration && !restoration)
        return error_set(err, -EINVAL, "this generator does not restore");
    return check_pictures(task, a, err);
}
