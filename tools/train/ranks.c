#include "tools/train/ranks.h"
#include "engine/base/whole_file.h"
#include "engine/communicator/communicator.h"
#include "engine/identity.h"
#include "tools/pictures/dataset.h"
#include "tools/train/session.h"
#include "tools/train/trainer.h"
#include "tools/train/training.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Rank 0's bytes go to all others, who own them, with a NUL behind. rc: whether rank 0 has them. */
static int share_bytes(struct communicator *c, int rc, unsigned char **bytes, size_t *size,
                       struct error *err)
{
    rc = communicator_agree(c, rc, err);
    if (rc == 0)
        rc = communicator_broadcast(c, size, sizeof(*size), err);
    if (rc < 0)
        return rc;
    if (c->rank != 0)
        *bytes = calloc(1, *size + 1);
    rc = *bytes ? 0 : error_set(err, -ENOMEM, "out of memory for %zu bytes of rank 0", *size);
    rc = communicator_agree(c, rc, err);
    return rc < 0 ? rc : communicator_broadcast(c, *bytes, *size, err);
}

int ranks_share_recipe(struct training *t, struct error *err)
{
    struct communicator *c = t->communicator;
    unsigned char *text = NULL;
    size_t size = 0;
    int rc = 0;

    if (c->n_ranks == 1)
        return 0;
    if (c->rank == 0) {
        text = (unsigned char *)json_dumps(t->recipe.json, JSON_COMPACT);
        size = text ? strlen((const char *)text) : 0;
        rc = text ? 0 : error_set(err, -ENOMEM, "out of memory for a recipe");
    }
    rc = share_bytes(c, rc, &text, &size, err);
    if (rc == 0 && c->rank != 0)
        rc = recipe_parse((const char *)text, &t->recipe, err);
    free(text);
    return communicator_agree(c, rc, err);
}

/* A checkpoint from memory, by way of a file that has no name. */
static int load_bytes(const unsigned char *bytes, size_t size, struct checkpoint **out,
                      struct error *err)
{
    int fd = memfd_create("start.safetensors", MFD_CLOEXEC), rc = fd < 0 ? -errno : 0;
    char path[64];

    for (size_t done = 0; done < size && rc == 0;) {
        ssize_t n = write(fd, bytes + done, size - done);

        if (n < 0 && errno != EINTR)
            rc = -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    if (rc < 0)
        error_set(err, rc, "could not keep the start of the training: %s", strerror(-rc));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (rc == 0)
        rc = checkpoint_load(path, out, err);
    if (fd >= 0)
        close(fd);
    return rc;
}

int ranks_share_start(struct training *t, struct error *err)
{
    struct communicator *c = t->communicator;
    unsigned char *bytes = NULL;
    char *path = NULL;
    size_t size = 0;
    int rc = 0;

    if (c->n_ranks == 1)
        return 0;
    if (c->rank == 0) {
        path = session_path(t, "start.safetensors");
        rc = path ? whole_file_read(path, SIZE_MAX / 2, &bytes, &size, err)
                  : error_set(err, -ENOMEM, "out of memory for a path");
    }
    rc = share_bytes(c, rc, &bytes, &size, err);
    if (rc == 0 && c->rank != 0)
        rc = load_bytes(bytes, size, &t->loaded, err);
    free(path);
    free(bytes);
    rc = communicator_agree(c, rc, err);
    if (rc == 0)
        rc = communicator_broadcast(c, &t->counters, sizeof(t->counters), err);
    if (rc == 0)
        t->formulation = &t->loaded->formulation;
    return rc;
}

/* What must be the same everywhere. */
struct likeness {
    uint64_t data_digest;
    int n_images;
    char identity[IDENTITY_BYTES];
    char precision[8];
    char device[96];
};

static int describe(const struct training *t, struct likeness *out, struct error *err)
{
    enum precision precision = trainer_precision(t->trainer);

    out->data_digest = t->dataset->digest;
    out->n_images = t->dataset->n;
    snprintf(out->precision, sizeof(out->precision), "%s", precision_name(precision));
    device_base(t->device)->ops->describe(t->device, out->device, sizeof(out->device));
    return identity_of(t->device, precision, out->identity, err);
}

static int compare_with_first(const struct training *t, const struct likeness *first,
                              const struct likeness *own, struct error *err)
{
    if (own->data_digest != first->data_digest)
        return error_set(err, -EINVAL,
                         "the pictures in \"%s\" (%d of them) are not those of rank 0 (%d)",
                         t->options->data, own->n_images, first->n_images);
    if (strcmp(own->identity, first->identity) != 0)
        return error_set(err, -EINVAL,
                         "computes other bytes than rank 0: here in %s on %s, there in %s on %s",
                         own->precision, own->device, first->precision, first->device);
    return 0;
}

int ranks_compare(struct training *t, struct error *err)
{
    struct communicator *c = t->communicator;
    struct likeness *all;
    int rc;

    if (c->n_ranks == 1)
        return 0;
    all = calloc((size_t)c->n_ranks, sizeof(*all));
    rc = all ? describe(t, &all[c->rank], err) : error_set(err, -ENOMEM, "out of memory for ranks");
    rc = communicator_agree(c, rc, err);
    if (rc == 0)
        rc = communicator_gather(c, all, sizeof(*all), err);
    if (rc == 0)
        rc = communicator_agree(c, compare_with_first(t, &all[0], &all[c->rank], err), err);
    free(all);
    return rc;
}

int ranks_ask(struct training *t, int *want, struct error *err)
{
    struct communicator *c = t->communicator;
    int *wants, rc;

    if (c->n_ranks == 1)
        return 0;
    wants = calloc((size_t)c->n_ranks, sizeof(*wants));
    rc = wants ? 0 : error_set(err, -ENOMEM, "out of memory for ranks");
    rc = communicator_agree(c, rc, err);
    if (rc == 0) {
        wants[c->rank] = *want;
        rc = communicator_gather(c, wants, sizeof(*wants), err);
    }
    for (int i = 0; i < c->n_ranks && rc == 0; i++)
        *want = wants[i] > *want ? wants[i] : *want;
    free(wants);
    return rc;
}
