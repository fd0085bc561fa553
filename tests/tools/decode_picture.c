/* The pixels of a picture as data sets take them: decode_picture FILE prints "<w> <h>\n", then RGB. */
#include "api/pictures/picture.h"
#include "engine/base/error.h"
#include "engine/base/whole_file.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    unsigned char *bytes = NULL;
    uint8_t *rgb = NULL;
    struct error err;
    size_t size;
    int w, h, rc;

    if (argc != 2)
        return 2;
    rc = whole_file_read(argv[1], 1 << 30, &bytes, &size, &err);
    if (rc == 0)
        rc = picture_decode(bytes, size, SIZE_MAX, &w, &h, &rgb, &err);
    if (rc == 0) {
        printf("%d %d\n", w, h);
        fwrite(rgb, 3, (size_t)w * (size_t)h, stdout);
    } else {
        fprintf(stderr, "%s\n", err.text);
    }
    free(bytes);
    free(rgb);
    return rc < 0;
}
