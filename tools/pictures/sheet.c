#include "tools/pictures/sheet.h"
#include "api/pictures/png.h"
#include "engine/base/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GAP_PX = 2 };

static int write_whole(const char *path, const uint8_t *bytes, size_t n, struct error *err)
{
    FILE *file = NULL;
    char *temporary;
    int rc = 0;

    if (asprintf(&temporary, "%s.part", path) < 0)
        return error_set(err, -ENOMEM, "out of memory writing \"%s\"", path);
    file = fopen(temporary, "wb");
    if (!file) {
        rc = error_set(err, -errno, "could not write \"%s\": %s", path, strerror(errno));
        goto out;
    }
    if (fwrite(bytes, 1, n, file) != n)
        rc = -errno;
    if (fclose(file) != 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && rename(temporary, path) < 0)
        rc = -errno;
    if (rc < 0) {
        error_set(err, rc, "could not write \"%s\": %s", path, strerror(-rc));
        unlink(temporary);
    }

out:
    free(temporary);
    return rc;
}

int sheet_write(const char *path, int n, int side, int channels, const uint8_t *pixels, int columns,
                struct error *err)
{
    int rows, w, h, rc;
    size_t line = (size_t)side * (size_t)channels, stride, size;
    uint8_t *sheet, *png;

    if (columns > n)
        columns = n;
    rows = (n + columns - 1) / columns;
    w = columns * (side + GAP_PX) - GAP_PX;
    h = rows * (side + GAP_PX) - GAP_PX;
    stride = (size_t)w * (size_t)channels;
    sheet = calloc((size_t)h, stride);
    if (!sheet)
        return error_set(err, -ENOMEM, "out of memory for a picture of %dx%d", w, h);
    for (int i = 0; i < n; i++) {
        uint8_t *corner = sheet + (size_t)(i / columns) * (size_t)(side + GAP_PX) * stride +
                          (size_t)(i % columns) * (size_t)(side + GAP_PX) * (size_t)channels;

        for (int y = 0; y < side; y++)
            memcpy(corner + (size_t)y * stride,
                   pixels + ((size_t)i * (size_t)side + (size_t)y) * line, line);
    }
    rc = png_encode(w, h, channels, sheet, NULL, NULL, &png, &size, err);
    free(sheet);
    if (rc < 0) {
        error_prefix(err, "\"%s\": ", path);
        return rc;
    }
    rc = write_whole(path, png, size, err);
    free(png);
    return rc;
}
