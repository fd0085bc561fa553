#include "tools/architecture_file.h"
#include "engine/base/error.h"
#include "model/architecture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES_MAX = 1 << 20 };

int architecture_file_read(const char *path, struct architecture *out, struct error *err)
{
    FILE *file = fopen(path, "rb");
    char *text = calloc(1, BYTES_MAX + 1);
    int rc;

    if (!file)
        rc = error_set(err, -errno, "%s", strerror(errno));
    else if (!text)
        rc = error_set(err, -ENOMEM, "out of memory");
    else if (fread(text, 1, BYTES_MAX, file) == BYTES_MAX)
        rc = error_set(err, -EINVAL, "too long");
    else if (ferror(file))
        rc = error_set(err, -EIO, "could not be read");
    else
        rc = architecture_parse(text, out, err);
    if (rc < 0)
        error_prefix(err, "architecture \"%s\": ", path);
    if (file)
        fclose(file);
    free(text);
    return rc;
}
