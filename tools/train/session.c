#include "tools/train/session.h"
#include "engine/communicator/communicator.h"
#include "engine/device.h"
#include "tools/pictures/dataset.h"
#include "tools/train/trainer.h"
#include "tools/train/training.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

bool session_is_first(const struct training *t)
{
    return t->communicator->rank == 0;
}

int session_open_folder(struct training *t, struct error *err)
{
    const char *out = t->options->out;
    int rc;

    t->made = mkdir(out, 0777) == 0;
    if (!t->made && errno != EEXIST) {
        rc = -errno;
        return error_set(err, rc, "could not create folder \"%s\": %s", out, strerror(-rc));
    }
    t->folder = open(out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->folder < 0) {
        rc = -errno;
        return error_set(err, rc, "could not open folder \"%s\": %s", out, strerror(-rc));
    }
    if (flock(t->folder, LOCK_EX | LOCK_NB) < 0) {
        t->made = false; /* it is the other's now */
        return error_set(err, -EBUSY, "another training runs in \"%s\"", out);
    }
    return 0;
}

void session_close_folder(struct training *t)
{
    if (t->folder < 0)
        return;
    if (t->made)
        rmdir(t->options->out); /* while it is locked; fails where there is something in it */
    close(t->folder);
}

char *session_path(const struct training *t, const char *name)
{
    char *path;

    return asprintf(&path, "%s/%s", t->options->out, name) < 0 ? NULL : path;
}

/* A path without its folders, which are nobody else's business. */
static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* Names of the labels, new; NULL without labels or memory. */
static json_t *name_labels(const struct training *t)
{
    const struct dataset *d = t->dataset;
    json_t *names = d->n_labels > 0 ? json_array() : NULL;

    for (int i = 0; names && i < d->n_labels; i++) {
        if (json_array_append_new(names, json_string(d->label_names[i])) < 0) {
            json_decref(names);
            names = NULL;
        }
    }
    return names;
}

int session_view(const struct training *t, uint64_t step, float *weights, struct checkpoint *out,
                 struct error *err)
{
    const struct recipe *r = &t->recipe;
    const char *from = t->options->from;
    char name[64];

    if (t->loaded) /* the training's own start says what that began with */
        from = json_string_value(json_object_get(t->loaded->provenance, "from"));
    device_base(t->device)->ops->describe(t->device, name, sizeof(name));
    *out = (struct checkpoint){.formulation = *t->formulation,
                               .licence = r->licence[0] ? (char *)r->licence : NULL,
                               .weights = weights,
                               .n_weights = trainer_count(t->trainer),
                               .provenance =
                                   json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:s, s:s}", "recipe",
                                             r->name, "dataset", t->dataset->name, "dataset_images",
                                             t->dataset->n, "steps", (json_int_t)step, "images",
                                             (json_int_t)(step * (uint64_t)r->batch), "seed",
                                             (json_int_t)r->seed, "precision",
                                             precision_name(trainer_precision(t->trainer)),
                                             "device", name)};
    out->labels = name_labels(t);
    if (out->provenance && from)
        json_object_set_new(out->provenance, "from", json_string(file_name(from)));
    if (!out->provenance || (r->architecture.n_labels > 0 && !out->labels)) {
        session_view_fini(out);
        return error_set(err, -ENOMEM, "out of memory for a checkpoint");
    }
    return 0;
}

void session_view_fini(struct checkpoint *view)
{
    json_decref(view->provenance);
    json_decref(view->labels);
}

int session_save(const struct training *t, const char *name, uint64_t step, float *weights,
                 int bf16, struct error *err)
{
    struct checkpoint view;
    char *path = session_path(t, name);
    int rc;

    if (!path)
        return error_set(err, -ENOMEM, "out of memory for a path");
    rc = session_view(t, step, weights, &view, err);
    if (rc == 0) {
        rc = checkpoint_save(path, &view, bf16, err);
        session_view_fini(&view);
    }
    free(path);
    return rc;
}

int session_no_memory(struct error *err)
{
    return error_set(err, -ENOMEM, "out of memory for the weights of a network");
}
