#include "tools/pictures/sheet.h"
#include "api/pictures/png.h"
#include "engine/base/error.h"
#include "engine/base/whole_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { GAP_PX = 2 };

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
    rc = png_encode(w, h, channels, sheet, NULL, 0, &png, &size, err);
    free(sheet);
    if (rc < 0) {
        error_prefix(err, "\"%s\": ", path);
        return rc;
    }
    rc = whole_file_put(path, png, size, false, err);
    free(png);
    return rc;
}
