/* Any bytes as a file of training pictures (ZIP, IDX, CIFAR-10) and as a packed data set: never more than
 * an error.
 */
#include "tests/fuzz/target.h"

#include "engine/base/error.h"
#include "engine/base/log.h"
#include "tools/pictures/pack.h"
#include "tools/pictures/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SIDE = 4, PICTURES_MAX = 16 };

static void read_pictures(const char *path)
{
    const struct dataset_options options = {.side = SIDE, .labels = true};
    struct error err = {""};
    uint8_t out[SIDE * SIDE * 3];
    struct source s;

    if (source_open(path, &options, &s, &err) < 0) {
        if (!*err.text || !memchr(err.text, '\0', sizeof(err.text)))
            abort();
        return;
    }
    for (int i = 0; i < s.n && i < PICTURES_MAX; i++) {
        (void)s.ops->read(&s, i, &options, out, &err);
        if (s.labels[i] < 1 || s.labels[i] > s.n_labels)
            abort();
    }
    source_close(&s);
}

/* The first picture of a packed set; their size is bounded by the file's. */
static void read_pack(const char *path)
{
    struct error err = {""};
    struct pack *p;
    uint8_t *out;

    if (pack_open(path, &p, &err) < 0)
        return;
    out = malloc((size_t)pack_about(p)->side * (size_t)pack_about(p)->side * 3);
    if (out)
        (void)pack_read(p, 0, out, &err);
    free(out);
    pack_close(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("input", MFD_CLOEXEC);
    char path[64];

    log_set_level(LOG_ERROR);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    read_pictures(path);
    read_pack(path);
    close(fd);
    return 0;
}
