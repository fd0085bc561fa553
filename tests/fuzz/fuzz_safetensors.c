/* Any bytes as a safetensors file, and as a checkpoint: never more than an error. */
#include "tests/fuzz/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/base/error.h"
#include "model/checkpoint.h"
#include "model/safetensors.h"

/* Touches everything that the file is said to hold. */
static void read_all(const struct safetensors *file)
{
    for (int i = 0; i < safetensors_n(file); i++) {
        const struct safetensors_tensor *tensor = safetensors_at(file, i);
        float *floats = malloc(safetensors_count(tensor) * sizeof(*floats) + 1);
        struct error err;

        if (floats)
            safetensors_read_floats(tensor, floats, &err);
        free(floats);
        if (!safetensors_find(file, tensor->name))
            abort();
    }
    safetensors_metadata(file, "softdiff");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("input", MFD_CLOEXEC);
    struct safetensors *file;
    struct checkpoint *checkpoint;
    struct error err;
    char path[64];

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (safetensors_open(path, &file, &err) == 0) {
        read_all(file);
        safetensors_close(file);
    } else if (!memchr(err.text, '\0', sizeof(err.text))) {
        abort();
    }
    if (checkpoint_load(path, &checkpoint, &err) == 0)
        checkpoint_destroy(checkpoint);
    close(fd);
    return 0;
}
